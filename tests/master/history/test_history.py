"""What the history takes: confirmed once it is on disk, there once, whatever the disk does."""

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from master.history import compaction
from master.history import waiting as waiting_module
from master.history.family_chunks import unpack_families
from master.history.history import COMMIT_S, FAMILY_EVERY_MS, RETRY_S
from master.history.taken import LostSamples, size_bytes
from shared.messages import FamilySample
from shared.settings import HistorySettings
from tests.master.history.histories import NOW_MS, Opened, count, journal, opened, sample, stored

Result = TypeVar("Result")


class Disk:
    """Runs the history's work inline, and can keep it waiting."""

    def __init__(self) -> None:
        self.gate = trio.Event()
        self.gate.set()

    async def __call__(self, work: Callable[[], Result], /) -> Result:
        await trio.lowlevel.checkpoint()
        await self.gate.wait()
        return work()


@contextmanager
def full(history: Opened) -> Generator[None]:
    """SQLite's own idea of a full disk: not a page more."""
    writer = history.files._writer
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages}")
    yield
    writer.execute("PRAGMA max_page_count = 1000000")


def big(sequence: int) -> bytes:
    """What does not get smaller by being compressed."""
    return msgspec.msgpack.encode(os.urandom(200_000) + bytes([sequence]))


# --- confirmation --------------------------------------------------------------------------------


async def test_sample_is_confirmed_once_it_is_on_disk(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = tmp_path / "history.db"
    seen = list[list[int]]()
    with opened(path) as history:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(history.history.run)
            await wait_all_tasks_blocked()
            history.history.take(
                sample(1), lambda: seen.append([each.sequence for each in journal(path)])
            )
            assert history.history.has("aa11", "boot", 1)
            await trio.sleep(COMMIT_S * 0.9)
            assert seen == []
            await trio.sleep(COMMIT_S * 0.2)
            assert seen == [[1]]
            nursery.cancel_scope.cancel()


async def test_nobody_is_told_before_the_disk_has_it(tmp_path: Path) -> None:
    disk = Disk()
    with opened(tmp_path / "history.db", run_sync=disk) as history:
        disk.gate = trio.Event()
        history.take(sample(1))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(history.history.flush)
            await wait_all_tasks_blocked()
            assert history.confirmed == []
            disk.gate.set()
        assert history.confirmed == [1]


async def test_what_comes_during_a_commit_waits_for_the_next_one(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = tmp_path / "history.db"
    disk = Disk()
    with opened(path, run_sync=disk) as history:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(history.history.run)
            await wait_all_tasks_blocked()
            history.take(sample(1))
            disk.gate = trio.Event()
            await trio.sleep(COMMIT_S)
            await wait_all_tasks_blocked()
            history.take(sample(2))
            disk.gate.set()
            await trio.sleep(COMMIT_S / 2)
            assert history.confirmed == [1]
            await trio.sleep(COMMIT_S)
            assert history.confirmed == [1, 2]
            nursery.cancel_scope.cancel()
    assert count(path, "journal") == 2


async def test_known_sample_is_confirmed_and_not_stored_again(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with opened(path) as history:
        history.take(sample(1))
        history.take(sample(1))  # while it waits
        assert history.confirmed == []
        await history.store(sample(1))
        await history.store(sample(1))  # when it is there
        assert history.confirmed == [1, 1, 1, 1]
        await history.compact()
        await history.store(sample(1))
    with opened(path) as history:  # after a restart
        assert history.history.has("aa11", "boot", 1)
        await history.store(sample(1), sample(2))
        assert history.confirmed == [1, 2]
    with opened(path) as history:  # while one is in the journal and the other in a chunk
        await history.store(sample(1), sample(2))
    assert stored(path) == {("aa11", 1): 1, ("aa11", 2): 1}


async def test_number_names_another_sample_in_another_boot_and_of_another_node(
    tmp_path: Path,
) -> None:
    path = tmp_path / "history.db"
    with opened(path) as history:
        await history.store(sample(1), sample(1, "bb22"), sample(1, boot_id="next"))
        assert not history.history.has("aa11", "third", 1)
        assert not history.history.has("cc33", "boot", 1)
    assert stored(path) == {("aa11", 1): 2, ("bb22", 1): 1}


async def test_cancelled_commit_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    disk = Disk()
    with opened(path, run_sync=disk) as history:
        disk.gate = trio.Event()
        history.take(sample(1))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(history.history.flush)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            disk.gate.set()
        assert history.confirmed == [1]
        await history.store(sample(2))
    assert stored(path) == {("aa11", 1): 1, ("aa11", 2): 1}


async def test_close_stores_what_waits(tmp_path: Path) -> None:
    with opened(tmp_path / "history.db") as history:
        history.take(sample(1))
    assert stored(tmp_path / "history.db") == {("aa11", 1): 1}


async def test_everything_of_a_sample_is_in_the_journal(tmp_path: Path) -> None:
    taken = sample(7, is_late=True, period_ms=1_234)
    with opened(tmp_path / "history.db") as history:
        await history.store(taken)
    (entry,) = journal(tmp_path / "history.db")
    assert entry[2:] == (taken.sequence, taken.at_wall_ms, 1_234, True, taken.core)


async def test_what_an_agent_lost_is_kept_once(tmp_path: Path) -> None:
    path, told = tmp_path / "history.db", list[int]()
    with opened(path) as history:
        for number in range(2):
            lost = LostSamples("aa11", "boot", 1_000, 5, 9, NOW_MS, NOW_MS + 20_000)
            assert history.history.take_lost(lost, partial(told.append, number))
            assert await history.history.flush()
    assert told == [0, 1]
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT first, last, first_ms, last_ms FROM lost").fetchall()
    assert rows == [(5, 9, NOW_MS, NOW_MS + 20_000)]


async def test_families_are_kept_now_and_then(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with opened(path) as history:
        for second in range(0, 181, 5):
            data = msgspec.Raw(msgspec.msgpack.encode(second))
            family = FamilySample("cpu", second, 0, 5_000, data)
            history.history.take_family("aa11", NOW_MS + second * 1_000, family)
            assert await history.history.flush()
        await history.compact()
    with sqlite3.connect(path) as connection:
        (body,) = connection.execute("SELECT body FROM family_chunks").fetchone()
    kept = unpack_families(body)
    assert [each.at_ms - NOW_MS for each in kept] == [0, 60_000, 120_000, 180_000]
    assert FAMILY_EVERY_MS == 60_000
    assert [msgspec.msgpack.decode(each.data) for each in kept] == [0, 60, 120, 180]


# --- a disk that refuses -------------------------------------------------------------------------


async def test_full_disk_is_told_once_and_what_waits_is_stored_when_there_is_room(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "history.db"
    with opened(path) as history:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(history.history.run)
            with full(history):
                history.take(sample(1, core=big(1)))
                history.take(sample(2))
                await trio.sleep(60)
                assert history.confirmed == []
                assert caplog.text.count("does not take the history") == 1
            await trio.sleep(RETRY_S + COMMIT_S)
            assert history.confirmed == [1, 2]
            nursery.cancel_scope.cancel()
    assert stored(path) == {("aa11", 1): 1, ("aa11", 2): 1}


async def test_beyond_the_bound_nothing_is_taken_and_nothing_is_remembered_as_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_module, "LIMIT_BYTES", 2 * size_bytes(sample(1)))
    path = tmp_path / "history.db"
    with opened(path) as history:
        assert history.take(sample(1))
        assert history.take(sample(2))
        assert not history.take(sample(3))
        assert not history.history.has("aa11", "boot", 3)
        lost = LostSamples("aa11", "boot", 1_000, 5, 9, NOW_MS, NOW_MS)
        assert not history.history.take_lost(lost, lambda: None)
        assert history.take(sample(1))  # it takes no room
        assert await history.history.flush()
        assert history.confirmed == [1, 2, 1]
        await history.store(sample(3))
    assert set(stored(path).values()) == {1}


async def test_refused_batch_leaves_nothing_behind_and_keeps_its_order(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with opened(path) as history:
        with full(history):
            history.take(sample(1, core=big(1)))
            history.take(sample(2, "bb22"))
            assert not await history.history.flush()
            assert count(path, "nodes") == count(path, "runs") == count(path, "journal") == 0
            history.take(sample(3))
        assert await history.history.flush()
        assert history.confirmed == [1, 2, 3]
    assert Counter(each.sequence for each in journal(path)) == {1: 1, 2: 1, 3: 1}


async def test_failing_upkeep_is_told_once_holds_up_no_commit_and_is_made_up_for(
    tmp_path: Path,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    path = tmp_path / "history.db"
    with opened(path, HistorySettings(compact_every_s=32)) as history:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(history.history.run)
            with monkeypatch.context() as patch:
                patch.setattr(compaction, "write", refuse)
                for sequence in range(200):
                    history.take(sample(sequence))
                    await trio.sleep(1)
                assert count(path, "chunks") == 0
                assert len(history.confirmed) == 200
                assert caplog.text.count("does not take the history") == 1
            await trio.sleep(40)
            assert count(path, "journal") == 0
            assert caplog.text.count("does not take the history") == 1
            nursery.cancel_scope.cancel()
    assert stored(path) == {("aa11", sequence): 1 for sequence in range(200)}


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounts a file system of its own"
)
async def test_file_system_without_room_loses_nothing_that_was_confirmed(tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mounted)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount here")
    try:
        with opened(mounted / "history.db") as history:
            sequence = 0
            while await history.history.flush():
                sequence += 1
                history.take(sample(sequence, core=big(sequence)))
            assert history.confirmed == list(range(1, sequence))
            await trio.run_process(["mount", "-o", "remount,size=16m", str(mounted)])
            assert await history.history.flush()
            assert history.confirmed == list(range(1, sequence + 1))
            await history.compact()
        assert stored(mounted / "history.db") == {
            ("aa11", each): 1 for each in range(1, sequence + 1)
        }
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


# --- forgetting ----------------------------------------------------------------------------------


async def test_forgotten_node_leaves_nothing_wherever_it_was(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with opened(path) as history:
        await history.store(sample(1), sample(2, "bb22"))
        await history.compact()
        await history.store(sample(3), sample(4, "bb22"))
        history.take(sample(5))
        history.history.forget("aa11")
        assert not history.history.has("aa11", "boot", 1)
        assert await history.history.flush()
        await history.upkeep.erase()
        assert 5 not in history.confirmed
    assert stored(path) == {("bb22", 2): 1, ("bb22", 4): 1}
    for table in ("nodes", "runs", "stretches", "known"):
        assert count(path, table) == 1
    assert count(path, "forgotten") == 0


async def test_node_that_comes_back_after_it_was_forgotten_is_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with opened(path) as history:
        await history.store(sample(1))
        history.history.forget("aa11")
        await history.store(sample(1), sample(2))
    with opened(path) as history:
        assert history.history.has("aa11", "boot", 2)
        for _ in range(32):
            await history.upkeep.step()
    assert stored(path) == {("aa11", 1): 1, ("aa11", 2): 1}


async def test_node_forgotten_while_the_disk_is_full_is_forgotten_later(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with opened(path) as history:
        await history.store(sample(1))
        with full(history):
            history.history.forget("aa11")
            history.take(sample(9, core=big(9)))
            assert not await history.history.flush()
        assert await history.history.flush()
        await history.upkeep.erase()
    assert stored(path) == {("aa11", 9): 1}
