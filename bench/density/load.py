"""The processes of the load, and what they report together."""

import resource
import time
from collections.abc import Generator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from bench.density.cost import Tree, cpu_s
from bench.density.histogram import Histogram
from bench.density.orders import EndedError, Ordered, merged, ordered

SPARE_DESCRIPTORS: Final = 200
"""What a process holds besides its links."""

LOOK_S: Final = 0.2

Curve: TypeAlias = list[tuple[float, int]]
"""Seconds since the beginning, and how many links there were then."""


class LoadFailedError(Exception):
    """The links did not come about, or a process of the load has ended."""


class Report(NamedTuple):
    """What happened since `begin`, to all links together."""

    beats: int
    lost_links: int
    failed_dials: int
    acknowledged: Histogram
    confirmed: Histogram
    late: Histogram
    errors: dict[str, int]


def descriptors() -> int:
    """How many links one process may hold."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_DESCRIPTORS


class Load:
    """Agents that keep linked, whatever the master does, once they have been told to dial."""

    def __init__(self, processes: Ordered, links: int) -> None:
        self._processes = processes
        self._links = links

    def dial(self) -> None:
        """All of them, at the pace that was asked for."""
        self._processes.ask("dial")

    def wait_linked(self, limit_s: float) -> Curve:
        """Until every agent is linked; how that went.

        Raises:
            LoadFailedError: it took longer than `limit_s`.
        """
        curve, began_s = Curve(), time.monotonic()
        while True:
            linked, now_s = self.linked(), time.monotonic() - began_s
            curve.append((round(now_s, 2), linked))
            if linked >= self._links:
                return curve
            if now_s > limit_s:
                errors = self.report().errors
                raise LoadFailedError(
                    f"{linked} of {self._links} links after {limit_s:g} s: {errors}"
                )
            time.sleep(LOOK_S)

    def linked(self) -> int:
        """How many are, now."""
        return sum(answer["linked"] for answer in self._processes.ask("status"))

    def begin(self) -> int:
        """Forgets what was counted; returns the beats since the last time."""
        return sum(answer["beats"] for answer in self._processes.ask("begin"))

    def beat_every(self, period_s: float) -> None:
        """Each agent, from its next beat on."""
        self._processes.ask(f"period={period_s}")

    def report(self) -> Report:
        """What was counted since."""
        answers = self._processes.ask("report")
        errors: dict[str, int] = {}
        for answer in answers:
            for error, count in answer["errors"].items():
                errors[error] = errors.get(error, 0) + count
        return Report(
            sum(answer["beats"] for answer in answers),
            sum(answer["lost_links"] for answer in answers),
            sum(answer["failed_dials"] for answer in answers),
            merged(answers, "acknowledged"),
            merged(answers, "confirmed"),
            merged(answers, "late"),
            errors,
        )

    def cpu_s(self) -> list[float]:
        """What each of its processes has used."""
        return [cpu_s(pid) for pid in self._processes.pids]

    def own_bytes(self) -> int:
        """What they keep in memory."""
        return sum(Tree(pid).own_bytes() for pid in self._processes.pids)


@contextmanager
def load(
    fleet: Path,
    links: int,
    master: str,
    *,
    processes: int,
    period_s: float,
    dials_per_s: float,
    family_every: int,
) -> Generator[Load]:
    """So many agents, spread over so many processes, for the length of the block. They have read
    their keys when it begins.

    Raises:
        LoadFailedError: a process has ended.
    """
    bounds = [links * number // processes for number in range(processes + 1)]
    commands = [
        [
            *("-m", "bench.density.generator"),
            *(str(fleet), str(first), str(last - first), master),
            *("--period", str(period_s), "--dials-per-s", str(dials_per_s / processes)),
            *("--family-every", str(family_every)),
        ]
        for first, last in pairwise(bounds)
    ]
    try:
        with ordered(commands) as started:
            yield Load(started, links)
    except EndedError as error:
        raise LoadFailedError(str(error)) from error
