"""Viewers of the master under load, each a process of its own, and what they report together."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

from bench.density.cost import cpu_s
from bench.density.histogram import Histogram
from bench.density.load import LoadFailedError
from bench.density.orders import EndedError, Ordered, merged, ordered
from shared.paths import StateFolder


class Sight(NamedTuple):
    """What all viewers have seen since `begin`."""

    beats: int
    """By all of them together."""
    seen: Histogram
    """From a beat's being written to its being in a viewer's model."""
    behind: int
    """Deltas that a viewer was not ready for."""


class Viewers:
    """So many, that have the whole fleet."""

    def __init__(self, processes: Ordered) -> None:
        self._processes = processes

    def begin(self) -> None:
        """Forgets what was counted."""
        self._processes.ask("begin")

    def report(self) -> Sight:
        """What was counted since."""
        answers = self._processes.ask("report")
        return Sight(
            sum(answer["beats"] for answer in answers),
            merged(answers, "seen"),
            sum(answer["behind"] for answer in answers),
        )

    def cpu_s(self) -> float:
        """What they have used, together."""
        return sum(map(cpu_s, self._processes.pids))


class Dashboard:
    """One dashboard in a terminal."""

    def __init__(self, process: Ordered) -> None:
        self._process = process

    def begin(self) -> None:
        """Forgets what was counted."""
        self._process.ask("begin")

    def report(self) -> tuple[Histogram, float]:
        """From a beat's being written to its standing on the screen, of the nodes that do; and the
        seconds of processor time that the dashboard has used. Both since `begin`."""
        answers = self._process.ask("report")
        return merged(answers, "seen"), answers[0]["cpu_s"]


@contextmanager
def viewers(folder: StateFolder, count: int) -> Generator[Viewers]:
    """So many viewers of the master on this folder, for the length of the block.

    Raises:
        LoadFailedError: one of them has ended.
    """
    with _started("viewer", folder, count) as started:
        yield Viewers(started)


@contextmanager
def dashboard(folder: StateFolder) -> Generator[Dashboard]:
    """The dashboard of the master on this folder, for the length of the block.

    Raises:
        LoadFailedError: it has ended.
    """
    with _started("screen", folder, 1) as started:
        yield Dashboard(started)


@contextmanager
def _started(module: str, folder: StateFolder, count: int) -> Generator[Ordered]:
    command = ["-m", f"bench.density.{module}", str(folder.root)]
    try:
        with ordered([command] * count) as started:
            yield started
    except EndedError as error:
        raise LoadFailedError(str(error)) from error
