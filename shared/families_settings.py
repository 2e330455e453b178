"""What an agent measures, how often, and how much of it leaves the host.

One Struct per family, so that a configuration that names only `period_s` keeps the family's other
defaults. `period_s` is how often the family is read; its numbers in the core sample are as old as
that at most. `detail_s` is how often the family is also sent in full, which costs the link and the
master more than the reading costs the host. What may hold secrets (`command_line`, `environment`,
`open_file_names`) is off unless it is switched on here: a master cannot widen it.
"""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from shared.families import ROWS_LIMIT
from shared.metrics import FAMILIES, Family

_Period = Annotated[float, Meta(ge=1, le=86_400, description="seconds, 1 to 86400")]
_Deadline = Annotated[float, Meta(ge=0.1, le=60, description="seconds, 0.1 to 60")]


class FamilySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One family: whether and how often it is read. The defaults are those of a host's counters."""

    enabled: bool = True
    period_s: _Period = 5.0
    """Between two readings."""
    detail_s: _Period = 60.0
    """Between two reports of the whole family; a period longer than this takes its place."""
    deadline_s: _Deadline = 2.0
    """A reading that takes longer counts as stuck, and is not started again until it returns."""


class FilesystemsSettings(FamilySettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filesystems fill slowly, and a network filesystem may take its time to answer."""

    period_s: _Period = 30.0
    deadline_s: _Deadline = 5.0


class SensorsSettings(FamilySettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Chips on slow buses take tens of milliseconds each."""

    period_s: _Period = 30.0
    deadline_s: _Deadline = 5.0


class UsersSettings(FamilySettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is logged in."""

    period_s: _Period = 60.0


class ProcessSettings(FamilySettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The process table: read in full, reported by its largest."""

    period_s: _Period = 30.0
    deadline_s: _Deadline = 5.0
    top: Annotated[int, Meta(ge=1, le=100, description="processes, 1 to 100")] = 10
    """So many by CPU and so many by memory are reported, or all there are; the rest is counted."""
    watched_top: Annotated[
        int, Meta(ge=1, le=ROWS_LIMIT // 2, description="processes, 1 to 128")
    ] = 100
    """The same while somebody looks at this node; not less than `top`."""
    command_line: bool = False
    """Send the arguments of the reported processes. They may hold passwords and tokens."""
    environment: bool = False
    """Send the environment of the reported processes. It often holds credentials."""
    open_file_names: bool = False
    """Send the names of their open files, not just how many there are."""


class ConnectionsSettings(FamilySettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The kernel walks its whole connection table for each reading, which takes milliseconds."""

    period_s: _Period = 60.0
    deadline_s: _Deadline = 5.0


class RoutesSettings(FamilySettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Routes change rarely."""

    period_s: _Period = 300.0
    detail_s: _Period = 300.0


class FamiliesSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every family's settings; the fields are named as in `shared.metrics.Family`."""

    cpu: FamilySettings = FamilySettings()
    memory: FamilySettings = FamilySettings()
    swap: FamilySettings = FamilySettings()
    disks: FamilySettings = FamilySettings()
    filesystems: FilesystemsSettings = FilesystemsSettings()
    network: FamilySettings = FamilySettings()
    sensors: SensorsSettings = SensorsSettings()
    users: UsersSettings = UsersSettings()
    system: FamilySettings = FamilySettings()
    processes: ProcessSettings = ProcessSettings()
    connections: ConnectionsSettings = ConnectionsSettings()
    routes: RoutesSettings = RoutesSettings()

    def each(self) -> Iterator[tuple[Family, FamilySettings]]:
        """Every family with its settings, in the order of `shared.metrics.FAMILIES`."""
        for family in FAMILIES:
            settings: FamilySettings = getattr(self, family)
            yield family, settings
