"""Processes of a benchmark that are ordered about over their standard streams: a line each way is
an order and its answer, which is JSON. They end with their standard input."""

import json
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from bench.density.histogram import Histogram

Answer: TypeAlias = dict[str, Any]


class EndedError(Exception):
    """One of the processes has ended; it has said why on standard error."""


class Ordered:
    """Processes that all do the same."""

    def __init__(self, processes: "Sequence[subprocess.Popen[str]]") -> None:
        self._processes = processes

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def ask(self, order: str) -> list[Answer]:
        """Gives the order to all at once; what each answers.

        Raises:
            EndedError: one of them has ended.
        """
        for process in self._processes:
            assert process.stdin is not None
            try:
                process.stdin.write(f"{order}\n")
                process.stdin.flush()
            except BrokenPipeError as error:
                raise EndedError(
                    f"process {process.pid} of the load has ended; it has said why above"
                ) from error
        return self.answers()

    def answers(self) -> list[Answer]:
        """The next line of each.

        Raises:
            EndedError: one of them has ended.
        """
        answers: list[Answer] = []
        for process in self._processes:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise EndedError(
                    f"process {process.pid} of the load has ended; it has said why above"
                )
            answers.append(json.loads(line))
        return answers


@contextmanager
def ordered(commands: Sequence[Sequence[str]]) -> Generator[Ordered]:
    """Runs Python with these arguments, for the length of the block. Every process says a first
    line when it is ready: that is waited for."""
    started: list[subprocess.Popen[str]] = []
    try:
        for command in commands:
            pipe = subprocess.PIPE
            process = subprocess.Popen(
                [sys.executable, *command], stdin=pipe, stdout=pipe, text=True
            )
            started.append(process)
        processes = Ordered(started)
        processes.answers()
        yield processes
    finally:
        for process in started:
            process.kill()
            process.communicate()


def merged(answers: Sequence[Answer], name: str) -> Histogram:
    """One histogram of all processes."""
    result = Histogram()
    for answer in answers:
        result.merge(Histogram({int(place): count for place, count in answer[name].items()}))
    return result
