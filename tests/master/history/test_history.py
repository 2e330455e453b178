"""What the history takes: confirmed once it is on disk, there once, whatever the disk does."""

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from master.history.family_chunks import unpack_families
from master.history.history import BEHIND_S, COMMIT_S, FAMILY_EVERY_MS
from master.history.taken import LostSamples
from shared.messages import FamilySample
from tests.master.history.histories import NOW_MS, count, journal, opened, sample, stored

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


async def test_history_is_not_behind_where_the_disk_takes_all_however_seldom_something_comes(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    with opened(tmp_path / "history.db") as history:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(history.history.run)
            await wait_all_tasks_blocked()
            for number in range(20):
                history.take(sample(number))
                for _ in range(73):  # never at the same place between two commits
                    assert not history.history.is_behind(trio.current_time())
                    await trio.sleep(COMMIT_S / 10)
            assert history.confirmed == list(range(20))
            nursery.cancel_scope.cancel()


async def test_history_is_behind_while_the_disk_keeps_something_waiting(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    disk = Disk()
    with opened(tmp_path / "history.db", run_sync=disk) as history:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(history.history.run)
            await trio.sleep(60.1)
            disk.gate = trio.Event()
            history.take(sample(1))
            await trio.sleep(COMMIT_S)
            assert not history.history.is_behind(trio.current_time())
            await trio.sleep(BEHIND_S)
            assert history.history.is_behind(trio.current_time())
            await trio.sleep(60)
            assert history.history.is_behind(trio.current_time())
            disk.gate.set()
            await trio.sleep(COMMIT_S)
            assert history.confirmed == [1]
            assert not history.history.is_behind(trio.current_time())
            nursery.cancel_scope.cancel()


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
