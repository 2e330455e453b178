"""Samples for the tests of the spool, and disks without threads."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TypeVar
from unittest import mock

import trio

from agent.numbers import Numbers
from agent.spool_records import RunKey, Sample
from shared.messages import encode_body
from shared.metrics import Core

Result = TypeVar("Result")

RUN = RunKey("boot-1", 1_000_000)
PERIOD_MS = 5_000
WALL_MS = 1_795_000_000_000


def sample(number: int, run: RunKey = RUN, period_ms: int = PERIOD_MS) -> Sample:
    """The sample that a run takes as its so-manyeth; its content says which it is."""
    sequence = run.started_mono_ms + number
    boot_ms = run.started_mono_ms + number * period_ms
    core = encode_body(Core(cpu_busy_bp=number % 10_000, cpu_count=4, uptime_s=boot_ms // 1000))
    return Sample(*run, sequence, boot_ms, WALL_MS + boot_ms, period_ms, core)


def samples(first: int, last: int, run: RunKey = RUN) -> list[Sample]:
    return [sample(number, run) for number in range(first, last + 1)]


def numbers_of(taken: Iterable[Sample]) -> Numbers:
    numbers = Numbers()
    for each in taken:
        numbers.add(each.sequence)
    return numbers


@contextmanager
def no_threads() -> Generator[None]:
    """What is given to a thread is done at once: virtual time does not wait for threads."""

    async def inline(work: Callable[[], Result], *, abandon_on_cancel: bool) -> Result:
        await trio.lowlevel.checkpoint()
        return work()

    with mock.patch.object(trio.to_thread, "run_sync", inline):
        yield
