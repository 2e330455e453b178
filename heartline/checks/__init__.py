"""What `heartline doctor` looks at. A check yields findings and never raises for what it looks at.

Each module holds the checks of one matter; a finding that is not fine says what to do about it.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

from shared.paths import StateFolder
from shared.settings import Settings


class Verdict(StrEnum):
    """How a finding is meant."""

    FINE = "fine"
    WARNING = "warning"
    """Works, but not as well or as safely as it should."""
    PROBLEM = "problem"
    """Does not work, or is not safe."""


class Finding(Struct, frozen=True):
    """One thing that was looked at."""

    check: str
    verdict: Verdict
    detail: str
    remedy: str = ""
    """What to do about it; empty when it is fine."""


class Subject(Struct, frozen=True):
    """The installation that is looked at."""

    folder: StateFolder
    settings: Settings
    """The defaults, where the configured ones cannot be used."""

    @property
    def has_master(self) -> bool:
        """A master has run on this folder."""
        return self.folder.ca_dir.exists()

    @property
    def has_agent(self) -> bool:
        """An agent has run on this folder."""
        return self.folder.agent_dir.exists()

    @property
    def has_viewer(self) -> bool:
        """A viewer of a master elsewhere has joined on this folder."""
        return self.folder.viewer_dir.exists()


Check: TypeAlias = Callable[[Subject], Iterator[Finding]]


def fine(check: str, detail: str) -> Finding:
    """Nothing to do."""
    return Finding(check, Verdict.FINE, detail)


def warning(check: str, detail: str, remedy: str) -> Finding:
    """Something to do when there is time."""
    return Finding(check, Verdict.WARNING, detail, remedy)


def problem(check: str, detail: str, remedy: str) -> Finding:
    """Something to do now."""
    return Finding(check, Verdict.PROBLEM, detail, remedy)
