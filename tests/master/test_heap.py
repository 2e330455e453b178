"""Memory goes back to the system after a burst of handshakes, and not for a few."""

import platform
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from master.admission import Admission, Ticket
from master.heap import BURST, LOOK_S, REGULARLY_S, c_library, give_back, keep_trimmed
from master.relay_pipe import RelayPipe
from master.worker import Worker
from tests.master.assembled import assembled


class Door:
    """Handshakes that are counted, and what was trimmed when."""

    def __init__(self) -> None:
        self.handshakes = 0
        self.trimmed_s: list[float] = []

    def trim(self) -> None:
        self.trimmed_s.append(trio.current_time())


@pytest.fixture
async def door(nursery: trio.Nursery) -> Door:
    door = Door()
    door.handshakes = 1000  # those of earlier are not news
    nursery.start_soon(keep_trimmed, lambda: door.handshakes, door.trim)
    await trio.testing.wait_all_tasks_blocked()
    return door


async def test_memory_goes_back_once_after_a_burst(door: Door, autojump_clock: MockClock) -> None:
    began_s = trio.current_time()
    door.handshakes += BURST
    await trio.sleep(5 * LOOK_S)
    assert door.trimmed_s == [began_s + LOOK_S]


async def test_memory_goes_back_now_and_then_without_any_handshakes(
    door: Door, autojump_clock: MockClock
) -> None:
    began_s = trio.current_time()
    await trio.sleep(2 * REGULARLY_S + LOOK_S / 2)
    assert door.trimmed_s == [began_s + REGULARLY_S, began_s + 2 * REGULARLY_S]


async def test_few_handshakes_are_not_worth_it_until_they_are_many(
    door: Door, autojump_clock: MockClock
) -> None:
    door.handshakes += BURST - 1
    await trio.sleep(5 * LOOK_S)
    assert door.trimmed_s == []
    door.handshakes += 1
    await trio.sleep(2 * LOOK_S)
    assert len(door.trimmed_s) == 1


async def test_burst_that_lasts_is_looked_after_while_it_does(
    door: Door, autojump_clock: MockClock
) -> None:
    for _ in range(30):
        door.handshakes += BURST
        await trio.sleep(1)
    assert 2 <= len(door.trimmed_s) <= 30 / LOOK_S


async def test_master_gives_back_what_those_at_its_door_have_used(
    tmp_path: Path, trims: list[int], autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        await trio.testing.wait_all_tasks_blocked()
        come_and_go(master.entry.admission)
        await trio.sleep(5 * LOOK_S)
        assert trims == [0]


async def test_worker_gives_back_what_those_at_its_door_have_used(
    trims: list[int], autojump_clock: MockClock
) -> None:
    near, far = socket.socketpair()
    pipe = RelayPipe(near)
    with far:
        async with trio.open_nursery() as nursery:
            worker = Worker(pipe, (), nursery)
            nursery.start_soon(worker.serve)
            await trio.testing.wait_all_tasks_blocked()
            come_and_go(worker.admission)
            await trio.sleep(5 * LOOK_S)
            nursery.cancel_scope.cancel()
    pipe.close()
    assert trims == [0]


@pytest.fixture
def trims(monkeypatch: pytest.MonkeyPatch) -> Generator[list[int]]:
    """What the C library was asked to keep."""
    trims = list[int]()

    def library(_: str | None) -> CLibrary:
        return CLibrary(trims)

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", library)
    c_library.cache_clear()
    yield trims
    c_library.cache_clear()


class CLibrary:
    """One that is glibc, as far as this is concerned."""

    def __init__(self, trims: list[int]) -> None:
        self._trims = trims

    def malloc_trim(self, keep_bytes: int) -> int:
        self._trims.append(keep_bytes)
        return 1


def come_and_go(admission: Admission) -> None:
    """A burst of handshakes."""
    for number in range(BURST):
        ticket = admission.knock(f"192.0.2.{number}", trio.current_time() + number)
        assert isinstance(ticket, Ticket)
        admission.release(ticket)


@pytest.mark.usefixtures("trims")
def test_nothing_is_asked_of_a_system_without_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert not give_back()
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", without_the_call)
    c_library.cache_clear()
    assert not give_back()


def test_library_is_loaded_once(trims: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    assert give_back()
    monkeypatch.setattr("ctypes.CDLL", without_the_call)
    assert give_back()
    assert trims == [0, 0]


def without_the_call(name: str | None) -> object:
    return object()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps nothing")
def test_what_lies_between_what_stays_goes_back_to_the_system() -> None:
    blocks = [bytearray(16_000) for _ in range(4_000)]
    full_kib = own_kib()
    kept = blocks[::50]
    del blocks
    assert give_back()
    assert own_kib() < full_kib - 40_000
    assert len(kept) == 80


def own_kib() -> int:
    (line,) = (
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("RssAnon:")
    )
    return int(line.split()[1])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the heap of another C library")
def test_large_blocks_are_the_system_s_again_when_they_are_freed() -> None:
    measured = """
import numpy as np
from master.heap import keep_large_blocks_apart
def own():
    return int(next(l for l in open("/proc/self/status") if l.startswith("RssAnon")).split()[1])
assert keep_large_blocks_apart()
np.ones(4 << 17)  # from the first on, glibc by itself takes blocks of this size from the heap
before = own()
tables = [np.ones(1 << 17) for _ in range(64)]
stays = [np.ones(1 << 10) for _ in range(64)]
del tables
print(own() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", measured], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) < 8 * 1024  # of 64 MB
