"""Batches in real threads: what hangs is left behind, and only that."""

import threading

import pytest
import trio

from agent.batch import Batch, run_in_thread, trio_clock
from agent.collectors.reading import Collector, Reading
from shared.families import Users
from shared.metrics import Family

DEADLINE_S = 10


class Quick:
    """Returns at once, or raises what it is given."""

    def __init__(self, family: Family, error: Exception | None = None) -> None:
        self.family: Family = family
        self.error = error

    def collect(self, now_s: float) -> Reading:
        if self.error is not None:
            raise self.error
        return Reading(Users(), {})


class Hanging:
    """Does not return before it is released."""

    def __init__(self) -> None:
        self.family: Family = "disks"
        self.entered = threading.Event()
        self.release = threading.Event()

    def collect(self, now_s: float) -> Reading:
        self.entered.set()
        self.release.wait(DEADLINE_S)
        return Reading(Users(), {})


async def started(*collectors: Collector) -> Batch:
    batch = Batch(collectors, trio_clock())
    run_in_thread(batch)
    return batch


async def test_collectors_are_read_in_order() -> None:
    batch = await started(Quick("cpu"), Quick("memory"))
    with trio.fail_after(DEADLINE_S):
        await batch.done.wait()
    assert [each.collector.family for each in batch.results()] == ["cpu", "memory"]


async def test_failure_is_a_result_and_the_next_collector_is_read() -> None:
    failure = FileNotFoundError("gone")
    batch = await started(Quick("cpu", failure), Quick("memory"))
    with trio.fail_after(DEADLINE_S):
        await batch.done.wait()
    cpu, memory = batch.results()
    assert cpu.result is failure
    assert isinstance(memory.result, Reading)


async def test_bug_is_raised_where_the_results_are_taken() -> None:
    batch = await started(Quick("cpu", TypeError("a bug")))
    with trio.fail_after(DEADLINE_S):
        await batch.done.wait()
    with pytest.raises(TypeError, match="a bug"):
        batch.results()


async def test_abandoned_batch_tells_finished_from_hanging_from_never_begun() -> None:
    hanging = Hanging()
    batch = await started(Quick("cpu"), hanging, Quick("network"))
    await trio.to_thread.run_sync(hanging.entered.wait, DEADLINE_S)
    assert batch.current()[0] is hanging

    finished, stuck, rest = batch.abandon()

    assert [each.collector.family for each in finished] == ["cpu"]
    assert stuck is hanging
    assert [collector.family for collector in rest] == ["network"]
    hanging.release.set()
    with trio.fail_after(DEADLINE_S):
        await batch.done.wait()
    families = [each.collector.family for each in batch.results()]
    assert families == ["cpu", "disks"], "what comes after the one that hung is not begun"


async def test_clock_of_threads_is_trios() -> None:
    clock = trio_clock()
    before_s = trio.current_time()
    in_thread_s = await trio.to_thread.run_sync(clock)
    assert before_s <= in_thread_s <= trio.current_time()


def test_reading_that_outlives_the_agent_harms_nobody() -> None:
    hanging = Hanging()
    threads: list[threading.Thread] = []

    class Witness(Hanging):
        def collect(self, now_s: float) -> Reading:
            threads.append(threading.current_thread())
            return hanging.collect(now_s)

    async def leave_it_behind() -> None:
        await started(Witness())
        await trio.to_thread.run_sync(hanging.entered.wait, DEADLINE_S)

    trio.run(leave_it_behind)
    hanging.release.set()
    (thread,) = threads
    assert thread.daemon, "it cannot keep the process from ending"
