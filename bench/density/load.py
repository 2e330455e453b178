"""The processes of the load, ordered about over their standard streams."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.density.histogram import Histogram

SPARE_DESCRIPTORS: Final = 200
"""What a process holds besides its links."""

LOOK_S: Final = 0.2


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
    """Agents that keep linked, whatever the master does."""

    def __init__(self, processes: "list[subprocess.Popen[str]]", links: int) -> None:
        self._processes = processes
        self._links = links

    def wait_linked(self, limit_s: float) -> float:
        """Until every agent is linked; how many seconds that took.

        Raises:
            LoadFailedError: it took longer than `limit_s`.
        """
        began_s = time.monotonic()
        while (linked := self.linked()) < self._links:
            if time.monotonic() - began_s > limit_s:
                errors = self.report().errors
                raise LoadFailedError(
                    f"{linked} of {self._links} links after {limit_s:g} s: {errors}"
                )
            time.sleep(LOOK_S)
        return time.monotonic() - began_s

    def linked(self) -> int:
        """How many are, now."""
        return sum(answer["linked"] for answer in self._ask("status"))

    def begin(self) -> int:
        """Forgets what was counted; returns the beats since the last time."""
        return sum(answer["beats"] for answer in self._ask("begin"))

    def report(self) -> Report:
        """What was counted since."""
        answers = self._ask("report")
        errors: dict[str, int] = {}
        for answer in answers:
            for error, count in answer["errors"].items():
                errors[error] = errors.get(error, 0) + count
        return Report(
            sum(answer["beats"] for answer in answers),
            sum(answer["lost_links"] for answer in answers),
            sum(answer["failed_dials"] for answer in answers),
            _merged(answers, "acknowledged"),
            _merged(answers, "confirmed"),
            _merged(answers, "late"),
            errors,
        )

    def _ask(self, order: str) -> list[dict[str, Any]]:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{order}\n")
            process.stdin.flush()
        answers: list[dict[str, Any]] = []
        for process in self._processes:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise LoadFailedError("a process of the load has ended; it has said why above")
            answers.append(json.loads(line))
        return answers


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
    """So many agents, spread over so many processes, for the length of the block."""
    started: list[subprocess.Popen[str]] = []
    try:
        for number in range(processes):
            first, last = links * number // processes, links * (number + 1) // processes
            command = [
                *(sys.executable, "-m", "bench.density.generator"),
                *(str(fleet), str(first), str(last - first), master),
                *("--period", str(period_s), "--dials-per-s", str(dials_per_s / processes)),
                *("--family-every", str(family_every)),
            ]
            streams = subprocess.PIPE
            started.append(subprocess.Popen(command, stdin=streams, stdout=streams, text=True))
        yield Load(started, links)
    finally:
        for process in started:
            process.kill()
            process.communicate()


def _merged(answers: list[dict[str, Any]], name: str) -> Histogram:
    merged = Histogram()
    for answer in answers:
        merged.merge(Histogram({int(place): count for place, count in answer[name].items()}))
    return merged
