"""The master's memory: what is said to be on disk is there, whatever the disk and the caller do."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from master import store as store_module
from master.events import EventLog
from master.rows import ROWS_AT_ONCE
from master.store import (
    LATER_LIMIT,
    LATER_S,
    RETRY_S,
    SCHEMA_STEPS,
    SCHEMA_VERSION,
    Statement,
    Store,
    StoreError,
)
from shared.errors import UserError
from shared.messages import Event
from tests.master.assembled import inline, memory_store

Result = TypeVar("Result")


def event(number: int, text: str = "") -> Statement:
    return (
        "INSERT INTO events VALUES (?, 0, 'test', '', '', '', '', ?, '')",
        (number, text),
    )


def numbers(store: Store) -> list[int]:
    return [row["number"] for row in store.load("SELECT number FROM events ORDER BY number")]


class Disk:
    """Runs a store's work inline, counts it, and can keep it waiting."""

    def __init__(self) -> None:
        self.commits = 0
        self.gate = trio.Event()
        self.gate.set()

    async def __call__(self, work: Callable[[], Result], /) -> Result:
        await trio.lowlevel.checkpoint()
        await self.gate.wait()
        self.commits += 1
        return work()


@contextmanager
def opened(path: Path, disk: Disk | None = None) -> Generator[Store]:
    store = Store.open(path, disk or inline)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def full(store: Store) -> Generator[None]:
    """SQLite's own idea of a full disk: not a page more."""
    (pages,) = store.load("PRAGMA page_count")[0]
    store.load(f"PRAGMA max_page_count = {pages}")
    yield
    store.load("PRAGMA max_page_count = 1000000")


BIG = "x" * 100_000


# --- writing -------------------------------------------------------------------------------------


@contextmanager
def executed(store: Store) -> Generator[list[str]]:
    """The beginnings of what SQLite is told meanwhile."""
    statements = list[str]()
    store._connection.set_trace_callback(lambda each: statements.append(each[:6]))
    yield statements
    store._connection.set_trace_callback(None)


@pytest.mark.parametrize("rows", [1, ROWS_AT_ONCE, 2 * ROWS_AT_ONCE + 1])
async def test_rows_that_follow_each_other_into_a_table_are_few_statements(rows: int) -> None:
    store = memory_store()
    insert = "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?)"
    with executed(store) as statements:
        await store.write(
            *((insert, (bytes([each]), b"", "agent", each, 0, 1, 0)) for each in range(rows))
        )
    assert statements == ["BEGIN ", *["INSERT"] * -(-rows // ROWS_AT_ONCE), "COMMIT"]
    stored = store.load("SELECT created_wall_ms FROM tokens ORDER BY token_id")
    assert [row["created_wall_ms"] for row in stored] == list(range(rows))
    store.close()


async def test_rows_are_written_in_the_order_in_which_they_came() -> None:
    store = memory_store()
    insert = "INSERT OR REPLACE INTO runs VALUES (?, ?, ?)"
    await store.write(
        (insert, ("web", "first", 1)),
        (insert, ("web", "second", 2)),
        (insert, ("db", "first", 1)),
        ("DELETE FROM runs WHERE node_id = ?", ("db",)),
        (insert, ("old", "first", 1)),
        ("UPDATE runs SET boot_id = ? WHERE node_id = ?", ("last", "old")),
    )
    rows = store.load("SELECT * FROM runs ORDER BY node_id")
    assert [tuple(row) for row in rows] == [("old", "last", 1), ("web", "second", 2)]
    store.close()


async def test_one_row_that_is_not_taken_takes_the_others_of_its_commit_with_it() -> None:
    store = memory_store()
    insert = "INSERT INTO master_lives VALUES (?, ?, ?, ?)"
    await store.write((insert, (7, 1, 1, 0)))
    with pytest.raises(sqlite3.IntegrityError):
        await store.write(event(1), *((insert, (each, 1, 1, 0)) for each in range(6, 9)))
    assert [row["number"] for row in store.load("SELECT number FROM master_lives")] == [7]
    assert numbers(store) == []
    store.close()


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path / "master.db") as store:
        await store.write(event(1), event(2))
    with opened(tmp_path / "master.db") as store:
        assert numbers(store) == [1, 2]


async def test_concurrent_writers_share_one_commit() -> None:
    disk = Disk()
    with opened(store_module.IN_MEMORY, disk) as store:
        disk.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(store.write, event(number))
            await wait_all_tasks_blocked()
            disk.gate.set()
        assert numbers(store) == list(range(10))
        assert disk.commits <= 2  # who came first, and everybody else


async def test_writer_is_not_answered_before_the_disk_has_it() -> None:
    disk = Disk()
    with opened(store_module.IN_MEMORY, disk) as store:
        disk.gate = trio.Event()
        answered = list[int]()

        async def write(number: int) -> None:
            await store.write(event(number))
            answered.append(number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, 1)
            nursery.start_soon(write, 2)
            await wait_all_tasks_blocked()
            assert answered == []
            disk.gate.set()
        assert sorted(answered) == [1, 2]


async def test_cancelled_writer_takes_nothing_from_those_who_wait_with_it() -> None:
    disk = Disk()
    with opened(store_module.IN_MEMORY, disk) as store:
        store.write_later(event(1))
        disk.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()

            async def impatient() -> None:
                with scope:
                    await store.write(event(2))

            nursery.start_soon(impatient)
            nursery.start_soon(store.write, event(3))
            await wait_all_tasks_blocked()
            scope.cancel()
            await wait_all_tasks_blocked()
            disk.gate.set()
        assert numbers(store) == [1, 2, 3]


async def test_writer_cancelled_before_its_turn_loses_nothing_of_others() -> None:
    disk = Disk()
    with opened(store_module.IN_MEMORY, disk) as store:
        disk.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.write, event(1))
            await wait_all_tasks_blocked()
            with trio.move_on_after(0):
                await store.write(event(2))
            store.write_later(event(3))
            disk.gate.set()
        await store.flush()
        assert {1, 3} <= set(numbers(store))


async def test_write_is_all_or_nothing() -> None:
    with opened(store_module.IN_MEMORY) as store:
        with pytest.raises(sqlite3.IntegrityError):
            await store.write(event(1), event(1))
        assert numbers(store) == []


async def test_statement_that_can_never_succeed_is_a_bug_and_stays_nobody_elses_secret() -> None:
    disk = Disk()
    with opened(store_module.IN_MEMORY, disk) as store:
        await store.write(event(1))
        disk.gate = trio.Event()
        outcomes = list[type[Exception]]()

        async def write(number: int) -> None:
            try:
                await store.write(event(number))
            except (StoreError, sqlite3.IntegrityError) as error:
                outcomes.append(type(error))

        store.write_later(event(0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.flush)  # holds the turn, so that the two share a commit
            await wait_all_tasks_blocked()
            nursery.start_soon(write, 1)
            nursery.start_soon(write, 2)
            await wait_all_tasks_blocked()
            disk.gate.set()
        assert sorted(each.__name__ for each in outcomes) == ["IntegrityError", "StoreError"]
        assert numbers(store) == [0, 1]


# --- writing later -------------------------------------------------------------------------------


async def test_later_is_within_half_a_second(autojump_clock: MockClock) -> None:
    disk = Disk()
    with opened(store_module.IN_MEMORY, disk) as store:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.run)
            await trio.sleep(10)
            assert disk.commits == 0  # nothing waits, nothing is done
            for number in range(100):
                store.write_later(event(number))
            await trio.sleep(LATER_S)
            await wait_all_tasks_blocked()
            assert numbers(store) == list(range(100))
            assert disk.commits == 1
            nursery.cancel_scope.cancel()


async def test_reader_sees_what_was_to_be_written_later() -> None:
    store = memory_store()
    store.write_later(event(1))
    assert [row["number"] for row in await store.read("SELECT number FROM events")] == [1]
    store.close()


async def test_close_commits_what_waits(tmp_path: Path) -> None:
    with opened(tmp_path / "master.db") as store:
        store.write_later(event(1))
    with opened(tmp_path / "master.db") as store:
        assert numbers(store) == [1]


# --- a disk that refuses -------------------------------------------------------------------------


async def test_full_disk_is_told_to_the_writer_and_nothing_of_its_change_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with opened(store_module.IN_MEMORY) as store:
        with full(store), pytest.raises(StoreError, match="full"):
            await store.write(event(1), event(2, BIG))
        assert numbers(store) == []
        assert "does not take changes" in caplog.text
        await store.write(event(3))
        assert numbers(store) == [3]


async def test_what_a_full_disk_refuses_is_kept_in_order_and_stored_when_there_is_room(
    autojump_clock: MockClock,
) -> None:
    with opened(store_module.IN_MEMORY) as store:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.run)
            with full(store):
                store.write_later(event(1, BIG), ("UPDATE events SET text = 'first'", ()))
                await trio.sleep(1)
                store.write_later(("UPDATE events SET text = 'second'", ()))
                await trio.sleep(60)
                assert numbers(store) == []
            await trio.sleep(RETRY_S + LATER_S)
            assert [row["text"] for row in store.load("SELECT text FROM events")] == ["second"]
            nursery.cancel_scope.cancel()
        assert store.dropped == 0


async def test_what_is_refused_stays_ahead_of_what_came_meanwhile() -> None:
    disk = Disk()
    with opened(store_module.IN_MEMORY, disk) as store:
        with full(store):
            store.write_later(event(1, BIG))
            disk.gate = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(store.flush)
                await wait_all_tasks_blocked()
                store.write_later(("UPDATE events SET text = 'later'", ()))
                disk.gate.set()
        assert await store.flush()
        assert [row["text"] for row in store.load("SELECT text FROM events")] == ["later"]


async def test_waiting_for_a_full_disk_is_bounded_and_the_oldest_go_first_and_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_module, "LATER_LIMIT", 3)
    assert LATER_LIMIT == 250_000
    with opened(store_module.IN_MEMORY) as store:
        with full(store):
            store.write_later(event(1), event(2), event(3, BIG))
            assert not await store.flush()
            store.write_later(event(4), event(5))
        assert store.dropped == 2
        assert await store.flush()
        assert numbers(store) == [3, 4, 5]


async def test_refused_writer_does_not_hold_up_what_was_to_be_written_later() -> None:
    with opened(store_module.IN_MEMORY) as store:
        store.write_later(event(1))
        with full(store), pytest.raises(StoreError):
            await store.write(event(2, BIG))
        assert await store.flush()
        assert numbers(store) == [1]


async def test_reading_goes_on_while_the_disk_refuses_and_does_not_ask_it_again_each_time() -> None:
    disk = Disk()
    with opened(store_module.IN_MEMORY, disk) as store:
        await store.write(event(1))
        with full(store):
            store.write_later(event(2, BIG))
            for _ in range(10):
                rows = await store.read("SELECT number FROM events")
                assert [row["number"] for row in rows] == [1]
        assert disk.commits == 1 + 1 + 10


async def test_broken_query_of_a_broken_file_is_an_error_that_requests_can_tell() -> None:
    with opened(store_module.IN_MEMORY) as store:
        store.load("DROP TABLE events")
        with pytest.raises(StoreError, match="no such table"):
            await store.read("SELECT * FROM events")


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounts a file system of its own"
)
async def test_file_system_without_room_loses_nothing_that_was_confirmed(tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(mounted)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount here")
    try:
        confirmed = list[int]()
        with opened(mounted / "master.db") as store:

            async def write_until_it_is_full() -> None:
                for number in range(1_000):
                    await store.write(event(number, BIG[:20_000]))
                    confirmed.append(number)

            with pytest.raises(StoreError):
                await write_until_it_is_full()
            store.write_later(event(2_000, BIG[:20_000]))
            assert not await store.flush()
            assert numbers(store) == confirmed
            await trio.run_process(["mount", "-o", "remount,size=4m", str(mounted)])
            assert await store.flush()
            assert numbers(store) == [*confirmed, 2_000]
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


# --- files of all kinds --------------------------------------------------------------------------


def test_database_is_its_owners_alone(tmp_path: Path) -> None:
    with opened(tmp_path / "master.db"):
        assert (tmp_path / "master.db").stat().st_mode & 0o777 == 0o600


def test_database_of_a_later_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "master.db"
    with opened(path) as store:
        store.load(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(UserError, match="later version of Heartline"):
        Store.open(path)


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
async def test_database_of_an_earlier_version_is_brought_up_to_date(
    tmp_path: Path, version: int
) -> None:
    path = tmp_path / "master.db"
    steps = [resources.files("master").joinpath(name) for name in SCHEMA_STEPS[:version]]
    earlier = sqlite3.connect(path)
    earlier.executescript("".join(step.read_text("utf-8") for step in steps))
    earlier.execute(
        "INSERT INTO events (number, wall_ms, event, node_id, name, before, after, text)"
        " VALUES (1, 2, 'state', 'aa11', 'web', 'up', 'late', '')"
    )
    earlier.execute(f"PRAGMA user_version = {version}")
    earlier.commit()
    earlier.close()
    with opened(path) as store:
        log = EventLog(store, lambda: 3, 100)
        log.record("mass", nodes=("aa11", "bb22"))
        stored = await log.latest(2)
    assert stored == (
        Event(1, 2, "state", "aa11", "web", "up", "late"),
        Event(2, 3, "mass", nodes=("aa11", "bb22")),
    )


def test_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "master.db"
    path.write_bytes(b"not a database, by far " * 100)
    with pytest.raises(UserError, match="cannot be used"):
        Store.open(path)
    assert path.read_bytes().startswith(b"not a database")


def test_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "master.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE nodes (something TEXT)")
    connection.close()
    with pytest.raises(UserError, match="nodes already exists"):
        Store.open(path)


def test_damage_inside_the_file_is_told_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "master.db"
    with opened(path) as store:
        store.write_later(*(event(number, BIG[:500]) for number in range(100)))
    content = bytearray(path.read_bytes())
    content[-40_000:] = bytes(40_000)
    path.write_bytes(content)
    with opened(path) as store, pytest.raises(UserError, match="restore a copy"):
        store.load("SELECT * FROM events")


@pytest.mark.parametrize("where", ["folder", "nowhere/master.db"])
def test_path_that_cannot_hold_a_file_is_refused(tmp_path: Path, where: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="cannot be"):
        Store.open(tmp_path / where)


WRITER = """
import sys
from pathlib import Path
import trio
from master.store import Store

async def main() -> None:
    store = Store.open(Path(sys.argv[1]))
    number = 0
    while True:
        number += 1
        row = (number, 0, *[""] * 7)
        await store.write(("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row))
        print(number, flush=True)

trio.run(main)
"""


def test_killed_process_loses_nothing_that_was_confirmed(tmp_path: Path) -> None:
    path = tmp_path / "master.db"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 50:
                break
        process.send_signal(signal.SIGKILL)
        confirmed = 50 + len(process.stdout.readlines())
    with opened(path) as store:
        assert numbers(store)[:confirmed] == list(range(1, confirmed + 1))
