"""What every part of the master shares."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from master.audit import Audit
from master.events import EventLog
from master.readiness import Readiness
from master.store import Store
from master.sweeper import Sweeper
from shared.settings import LinkSettings, MasterSettings

Spawn: TypeAlias = Callable[[Callable[[], Awaitable[object]]], None]
"""Starts a background task in the master's nursery."""


@dataclass(slots=True)
class Context:
    """Handed to every part. `settings` and `link` are replaced when the configuration is
    reloaded."""

    settings: MasterSettings
    link: LinkSettings
    store: Store
    events: EventLog
    audit: Audit
    sweeper: Sweeper
    readiness: Readiness
    spawn: Spawn
    wall_ms: Callable[[], int]
    missed_s: Callable[[], float]
    """How long in all the master has stood still, in the time that its clock does not count."""
