"""From the journal to chunks and roll-ups: each sample once, exactly, whenever it came."""

import random
import sqlite3
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from master.history import compaction, marked
from master.history.files import Files
from master.history.journal import BLOCK
from master.history.marked import Marked
from master.history.rollup import roll_up
from master.history.tiers import HOURS, MINUTES, SAMPLES, TIERS
from tests.master.history.histories import (
    HOUR_MS,
    NOW_MS,
    Clock,
    assert_same_buckets,
    buckets,
    count,
    opened,
    sample,
    stored,
)


def chunks(path: Path, tier_ms: int = 0) -> list[tuple[int, int, bool]]:
    """Of the first node: where each window begins, how many samples, whether it is open."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute(
            "SELECT from_ms, is_open, marks, body FROM chunks WHERE node = 1 AND tier_ms = ?"
            " ORDER BY from_ms, number",
            (tier_ms,),
        ).fetchall()
    return [
        (from_ms, len(marked.unpack(marks, body)), bool(is_open))
        for from_ms, is_open, marks, body in rows
    ]


def whole(path: Path) -> Marked:
    """All samples in chunks."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT marks, body FROM chunks WHERE tier_ms = 0").fetchall()
    return marked.joined(marked.unpack(*row) for row in rows)


def test_windows_of_each_tier_are_whole_ones_of_the_one_before_and_of_all_buckets() -> None:
    for finer, coarser in pairwise(TIERS):
        assert coarser.window_ms % finer.window_ms == 0
        assert finer.window_ms % coarser.tier_ms == 0 or finer == SAMPLES
        assert coarser.tier_ms % (finer.tier_ms or 1) == 0
    assert HOUR_MS % MINUTES.tier_ms == 0


async def test_samples_come_out_of_chunks_as_they_went_into_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    taken = [
        sample(1),
        sample(2, period_ms=1_000),
        sample(3, core=b"\xc0", is_late=True),
        sample(4, started_mono_ms=5_000),
    ]
    with opened(path) as history:
        await history.store(*taken)
        await history.compact()
    assert count(path, "journal") == 0
    both = whole(path)
    assert both.samples.sequence.tolist() == [1, 2, 3, 4]
    assert both.samples.at_ms.tolist() == [each.at_wall_ms for each in taken]
    assert both.samples.run.tolist() == [1, 1, 1, 2]
    assert both.samples.values[:, 0].tolist() == [1, 2, np.iinfo(np.int64).min, 4]
    assert both.marks.period_ms.tolist() == [5_000, 1_000, 5_000, 5_000]
    assert both.marks.is_late.tolist() == [False, False, True, False]


async def test_window_is_folded_into_one_chunk_when_it_is_over_and_not_before(
    tmp_path: Path,
) -> None:
    path, clock = tmp_path / "history.db", Clock()
    with opened(path, clock=clock) as history:
        for begin in (0, 120, 240):
            await history.store(*(sample(each) for each in range(begin, begin + 120)))
            await history.compact()
        clock.now_ms = NOW_MS + HOUR_MS - 1
        await history.fold()
        assert chunks(path) == [(NOW_MS, 120, True)] * 3
        clock.now_ms = NOW_MS + HOUR_MS
        await history.fold()
        assert chunks(path) == [(NOW_MS, 360, False)]
        assert count(path, "chunks WHERE tier_ms = 60000 AND is_open") == 1
        clock.now_ms = NOW_MS - NOW_MS % HOURS.window_ms + HOURS.window_ms
        await history.fold()
    assert count(path, "chunks WHERE is_open") == 0
    assert [count(path, f"chunks WHERE tier_ms = {tier.tier_ms}") for tier in TIERS] == [1] * 4


async def test_late_samples_open_their_window_again_and_every_tier_has_them_once(
    tmp_path: Path,
) -> None:
    path, clock = tmp_path / "history.db", Clock(NOW_MS + 40 * 24 * HOUR_MS)
    early = [sample(each) for each in range(700) if each % 7]
    late = [sample(each, is_late=True) for each in range(0, 700, 7)]
    with opened(path, clock=clock) as history:
        await history.store(*early)
        await history.compact()
        await history.fold()
        await history.store(*late)
        await history.compact()
        await history.fold()
    assert [(number, is_open) for _, number, is_open in chunks(path)] == [(700, False)]
    assert whole(path).marks.is_late.tolist() == [not each % 7 for each in range(700)]
    for tier in TIERS[1:]:
        assert_same_buckets(buckets(path, "aa11", tier), roll_up(whole(path).samples, tier.tier_ms))


@pytest.mark.parametrize("seed", range(6))
async def test_tiers_are_exact_whatever_was_done_in_which_order(tmp_path: Path, seed: int) -> None:
    path, clock, chance = tmp_path / "history.db", Clock(), random.Random(seed)
    shuffled = [sample(each, at_wall_ms=NOW_MS + each * 97_000) for each in range(300)]
    chance.shuffle(shuffled)
    with opened(path, clock=clock) as history:
        while shuffled:
            size = chance.randint(1, 150)
            await history.store(*shuffled[:size])
            del shuffled[:size]
            if chance.random() < 0.8:
                await history.compact()
            clock.now_ms += chance.choice([0, HOUR_MS, 7 * HOUR_MS])
            await history.fold()
            if count(path, "journal") == 0:
                for tier in TIERS[1:]:
                    assert_same_buckets(
                        buckets(path, "aa11", tier), roll_up(whole(path).samples, tier.tier_ms)
                    )
    assert stored(path) == {("aa11", each): 1 for each in range(300)}
    assert buckets(path, "aa11", HOURS).count.sum() == 300


async def test_nodes_keep_apart_whichever_shard_they_are_in(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    nodes = [f"{number:04x}" for number in range(3 * BLOCK)]
    with opened(path) as history:
        for each in range(3):
            await history.store(*(sample(each, node) for node in nodes))
        assert count(path, "journal") == 3 * 4  # numbers begin with 1: four blocks
        await history.compact()
    assert count(path, "journal") == 0
    assert count(path, "chunks") == len(nodes)
    assert stored(path) == {(node, each): 1 for node in nodes for each in range(3)}


class CrashError(Exception):
    """The end of the process."""


async def test_crash_before_the_end_of_a_transaction_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, clock = tmp_path / "history.db", Clock(NOW_MS + 2 * HOUR_MS)
    write = Files.write_now

    def crash_at_the_end(files: Files, work: Callable[[sqlite3.Connection], object]) -> object:
        def crash(connection: sqlite3.Connection) -> object:
            work(connection)
            raise CrashError

        return write(files, crash)

    def rows() -> list[int]:
        return [count(path, table) for table in ("journal", "chunks WHERE is_open", "chunks")]

    with opened(path, clock=clock) as history:
        await history.store(sample(1), sample(2))
        for work, before in ((history.compact, [1, 0, 0]), (history.fold, [0, 1, 1])):
            assert rows() == before
            with monkeypatch.context() as patch:
                patch.setattr(Files, "write_now", crash_at_the_end)
                with pytest.raises(CrashError):
                    await work()
            assert rows() == before
            await work()
    assert stored(path) == {("aa11", 1): 1, ("aa11", 2): 1}
    assert chunks(path) == [(NOW_MS, 2, False)]


async def test_long_journal_is_compacted_slice_by_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "SLICE_ROWS", 2)
    path = tmp_path / "history.db"
    with opened(path) as history:
        for each in range(5):
            await history.store(sample(each))
        await history.compact()
    assert [number for _, number, _ in chunks(path)] == [2, 2, 1]


async def test_damaged_row_of_the_journal_is_set_aside_and_the_others_are_compacted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "history.db"
    with opened(path) as history:
        await history.store(sample(1))
        await history.store(sample(2))
        history.files._writer.execute(
            "UPDATE journal SET body = x'00' WHERE number = (SELECT min(number) FROM journal)"
        )
        await history.compact()
        assert "damaged row" in caplog.text
    assert stored(path) == {("aa11", 2): 1}
    assert count(path, "damaged") == 1


async def test_damaged_chunk_is_set_aside_when_its_window_is_folded_and_roll_ups_stay(
    tmp_path: Path,
) -> None:
    path, clock = tmp_path / "history.db", Clock(NOW_MS + HOUR_MS)
    with opened(path, clock=clock) as history:
        await history.store(*(sample(each) for each in range(100)))
        await history.compact()
        await history.fold()
        damage(history.files._writer, "tier_ms = 0")
        await history.store(*(sample(each) for each in range(100, 110)))
        await history.compact()
        await history.fold()
    assert stored(path) == {("aa11", each): 1 for each in range(100, 110)}
    assert buckets(path, "aa11", MINUTES).count.sum() == 110
    assert count(path, "damaged") == 1


async def test_checks_go_through_all_chunks_and_set_damaged_ones_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, clock = tmp_path / "history.db", Clock(NOW_MS + HOUR_MS)
    with opened(path, clock=clock) as history:
        nodes = [f"{number:04x}" for number in range(10)]
        await history.store(*(sample(each, node) for node in nodes for each in range(5)))
        await history.compact()
        damage(history.files._writer, "node IN (3, 7)")
        monkeypatch.setattr("master.history.checking.SLICE_BYTES", 100)
        for _ in range(30):
            await history.upkeep.check()
    assert count(path, "damaged") == 2
    assert sum(stored(path).values()) == 8 * 5


async def test_small_history_is_checked_once_an_hour_and_not_all_the_time(tmp_path: Path) -> None:
    path, clock = tmp_path / "history.db", Clock(NOW_MS + HOUR_MS)
    with opened(path, clock=clock) as history:
        await history.store(*(sample(each) for each in range(5)))
        await history.compact()
        await history.upkeep.check()  # chunks
        await history.upkeep.check()  # families
        damage(history.files._writer, "node = 1")
        clock.now_ms += HOUR_MS - 1
        await history.upkeep.check()
        assert count(path, "damaged") == 0
        clock.now_ms += 1
        await history.upkeep.check()
        assert count(path, "damaged") == 1


async def test_damaged_account_of_what_is_known_is_made_anew_from_the_chunks(
    tmp_path: Path,
) -> None:
    path = tmp_path / "history.db"
    with opened(path) as history:
        await history.store(sample(1), sample(2, started_mono_ms=2_000), sample(3, "bb22"))
        await history.compact()
        history.files._writer.execute("UPDATE known SET intervals = CAST(intervals || 'x' AS BLOB)")
        history.files._writer.execute("UPDATE stretches SET body = x'c1'")
        await history.store(sample(5))
        await history.compact()
        history.files._writer.execute("UPDATE known SET intervals = x''")
    with opened(path) as history:
        known = [each for each in range(7) if history.history.has("aa11", "boot", each)]
        assert known == [1, 2, 5]
        assert history.history.has("bb22", "boot", 3)
        assert not history.history.has("bb22", "boot", 1)


def damage(connection: sqlite3.Connection, which: str) -> None:
    """Changes a byte in the middle of chunks."""
    for number, body in connection.execute(
        f"SELECT number, body FROM chunks WHERE {which}"
    ).fetchall():
        middle = len(body) // 2
        changed = body[:middle] + bytes([body[middle] ^ 4]) + body[middle + 1 :]
        connection.execute("UPDATE chunks SET body = ? WHERE number = ?", (changed, number))
