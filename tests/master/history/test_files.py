"""The file itself: damaged, full of nonsense, of another version; copied while it is written to."""

import os
import random
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from master.history import salvage
from master.history.database import (
    PAGE_BYTES,
    SCHEMA_VERSION,
    LaterVersionError,
    connect,
    migrate,
    schema_steps,
)
from master.history.tiers import MINUTES
from shared.errors import UserError
from tests.master.history.histories import (
    HOUR_MS,
    NODES,
    NOW_MS,
    Clock,
    buckets,
    everything,
    fill,
    opened,
    sample,
    stored,
)
from tests.power_cut import PowerCut, power_cut_before

LEAF_OF_A_TABLE = 0x0D
"""The first byte of such a page."""


async def filled(path: Path) -> None:
    with opened(path, clock=Clock(NOW_MS + 2 * HOUR_MS)) as history:
        await fill(history)
        history.files._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def damage(path: Path, begin: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(random.Random(begin).randbytes(length))


def set_aside(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.damaged-*"))


# --- damage --------------------------------------------------------------------------------------


def page_of(path: Path, name: str) -> int:
    """Where the root of a table or index begins."""
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)
        ).fetchone()
    return (int(page) - 1) * PAGE_BYTES


@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.7, 0.9])
async def test_damaged_page_costs_what_was_on_it(tmp_path: Path, part: float) -> None:
    path = tmp_path / "history.db"
    await filled(path)
    pages = range(0, path.stat().st_size, PAGE_BYTES)
    content = path.read_bytes()
    leaves = [page for page in pages if page and content[page] == LEAF_OF_A_TABLE]
    damage(path, leaves[int(part * len(leaves))], PAGE_BYTES)
    before = path.read_bytes()
    with opened(path) as history:
        await history.store(sample(2_000))
        await history.compact()
        found = stored(path)
    assert set(found.values()) == {1}
    assert set(found) <= {*everything(), ("aa11", 2_000)}
    assert len(found) > 0.7 * len(everything())
    assert set_aside(path)[0].read_bytes() == before


@pytest.mark.parametrize(
    ("name", "is_all_there"),
    [("chunks", False), ("journal", False), ("chunks_by_node", True), ("lost", True)],
)
async def test_lost_table_does_not_take_the_others_with_it(
    tmp_path: Path, name: str, is_all_there: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "history.db"
    await filled(path)
    damage(path, page_of(path, name), PAGE_BYTES)
    with opened(path):
        assert "the history is damaged" in caplog.text
    found = stored(path)
    assert set(found.values()) == {1}
    assert (found == everything()) == is_all_there
    sequences = {sequence for _, sequence in found}
    assert (1_000 in sequences) == (name != "journal")
    assert (398 in sequences) == (name != "chunks")


async def test_file_that_is_no_database_is_kept_and_a_new_one_begun(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    path.write_bytes(b"not a database, by far " * 1_000)
    with opened(path) as history:
        await history.store(sample(1))
    assert stored(path) == {("aa11", 1): 1}
    assert set_aside(path)[0].read_bytes().startswith(b"not a database")


async def test_file_whose_beginning_is_lost_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    await filled(path)
    damage(path, 0, PAGE_BYTES)
    with opened(path) as history:
        await history.store(sample(1))
    assert stored(path) == {("aa11", 1): 1}
    assert len(set_aside(path)) == 1


async def test_torn_file_is_salvaged(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    await filled(path)
    os.truncate(path, path.stat().st_size * 19 // 20 // PAGE_BYTES * PAGE_BYTES)
    with opened(path) as history:
        await history.store(sample(2_000))
    assert ("aa11", 2_000) in stored(path)
    assert len(stored(path)) > 0.5 * len(everything())


async def test_salvaging_what_is_not_damaged_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    await filled(path)
    salvage.copy(path)
    salvage.finish(path, NOW_MS)
    assert stored(path) == everything()
    assert buckets(path, NODES[3], MINUTES).count.sum() == 201
    with opened(path) as history:
        assert all(history.history.has(node, "boot", 1_000) for node in NODES)
        assert all(history.history.has(node, "boot", 398) for node in NODES)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_power_cut_while_salvaging_leaves_the_old_file_or_the_new_one(
    tmp_path: Path,
) -> None:
    original = tmp_path / "history.db"
    with opened(original) as history:
        await history.store(sample(1), sample(2, "bb22"))
        await history.compact()
        await history.store(sample(3))
    step = 0
    is_over = False
    while not is_over:
        path = tmp_path / str(step) / "history.db"
        path.parent.mkdir()
        shutil.copy(original, path)
        try:
            with power_cut_before(step):
                salvage.copy(path)
                salvage.finish(path, NOW_MS)
            is_over = True
        except PowerCut:
            pass
        with opened(path):
            pass
        assert stored(path) == stored(original), f"step {step}"
        step += 1
    assert step > 4


async def test_damage_that_shows_while_running_is_repaired_and_nothing_confirmed_is_lost(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "history.db"
    with opened(path) as history:
        await fill(history)
        history.files._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        damage(path, page_of(path, "lost"), PAGE_BYTES)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(history.history.run)
            await trio.sleep(1)
            assert len(set_aside(path)) == 1
            history.take(sample(2_000))
            await trio.sleep(1)
            assert history.confirmed[-1] == 2_000
            nursery.cancel_scope.cancel()
    assert stored(path) == {**everything(), ("aa11", 2_000): 1}


# --- versions ------------------------------------------------------------------------------------


def test_file_of_a_later_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with opened(path) as history:
        history.files._writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(UserError, match="later version of Heartline"), opened(path):
        pass
    assert set_aside(path) == []


async def test_earlier_version_is_brought_up_to_date_and_keeps_what_it_has(
    tmp_path: Path,
) -> None:
    path = tmp_path / "history.db"
    await filled(path)
    steps = [*schema_steps(), "ALTER TABLE nodes ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';"]
    for _ in range(2):
        with closing(connect(path)) as connection:
            migrate(connection, path, steps)
            assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION + 1,)
            assert connection.execute("SELECT DISTINCT colour FROM nodes").fetchall() == [("red",)]
    with closing(connect(path)) as connection, pytest.raises(LaterVersionError):
        migrate(connection, path, schema_steps())
    assert stored(path) == everything()


async def test_step_that_fails_leaves_the_earlier_version(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    await filled(path)
    steps = [*schema_steps(), "CREATE TABLE more (number INTEGER); CREATE TABLE nodes (more TEXT);"]
    with closing(connect(path)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="already exists"):
            migrate(connection, path, steps)
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            connection.execute("SELECT * FROM more")
    assert stored(path) == everything()


def test_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with opened(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_folder_that_is_not_there_is_an_error_that_people_can_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be opened"), opened(tmp_path / "no" / "history.db"):
        pass
