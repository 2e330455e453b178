"""The watchdog ends a process whose event loop stalls, and no other."""

import subprocess
import sys
import threading

import trio

from agent.watchdog import EXIT_CODE, TICKS, Watchdog
from tests.eventually import eventually

STALLING = """
import time, trio
from agent.watchdog import Watchdog

async def main():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Watchdog(0.3).run)
        await trio.sleep(0.1)
        print("stalling", flush=True)
        time.sleep(600)

trio.run(main)
"""


def test_process_whose_loop_stalls_is_ended_and_says_where() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STALLING], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == EXIT_CODE
    assert done.stdout == "stalling\n"
    assert "in main" in done.stderr


class SteppedClock(threading.Event):
    """What the watchdog's thread waits for: its ticks come when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self._ticks = threading.Semaphore(0)
        self._waits = threading.Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        self._waits.release()
        self._ticks.acquire()
        return self.is_set()

    def tick(self) -> None:
        """One tick, seen to its end: the thread waits for the next one, or has ended."""
        self._until_it_waits()
        self._ticks.release()
        self._until_it_waits()
        self._waits.release()

    def _until_it_waits(self) -> None:
        while not self._waits.acquire(timeout=0.01) and is_watched():
            pass

    def set(self) -> None:
        super().set()
        self._ticks.release()


def stepped(stalls: list[int]) -> tuple[Watchdog, SteppedClock]:
    watchdog, clock = Watchdog(0.006, lambda: stalls.append(1)), SteppedClock()
    watchdog._stop = clock
    return watchdog, clock


async def test_loop_that_turns_is_left_alone() -> None:
    stalls: list[int] = []
    watchdog, clock = stepped(stalls)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watchdog.run)
        await eventually(is_watched)
        for _ in range(5 * TICKS):
            clock.tick()
            await eventually(lambda: watchdog._missed == 0)
        nursery.cancel_scope.cancel()
    assert not stalls


async def test_loop_that_stalls_is_noticed_once() -> None:
    stalls: list[int] = []
    watchdog, clock = stepped(stalls)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watchdog.run)
        await eventually(is_watched)
        for _ in range(TICKS + 1):  # no turn of the loop in between
            clock.tick()
        await eventually(lambda: not is_watched())
        nursery.cancel_scope.cancel()
    assert stalls == [1]


async def test_stall_that_is_over_in_time_is_forgiven() -> None:
    stalls: list[int] = []
    watchdog, clock = stepped(stalls)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watchdog.run)
        for _ in range(3):
            await eventually(is_watched)
            for _ in range(TICKS - 1):
                clock.tick()
            await eventually(lambda: watchdog._missed == 0)
        nursery.cancel_scope.cancel()
    assert not stalls


async def test_thread_ends_with_the_task() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Watchdog(60.0).run)
        await eventually(is_watched)
        nursery.cancel_scope.cancel()
    await eventually(lambda: not is_watched())


def is_watched() -> bool:
    return any(thread.name == "watchdog" for thread in threading.enumerate())
