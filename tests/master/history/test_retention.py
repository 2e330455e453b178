"""What goes: the old, and the oldest of what is too much; nothing that is in no coarser tier."""

from pathlib import Path

import msgspec
import pytest

from master.history import retention
from master.history.tiers import HOURS, MINUTES, QUARTERS, SAMPLES, TIERS, Tier
from shared.messages import FamilySample
from shared.settings import HistorySettings
from tests.master.history.histories import (
    HOUR_MS,
    NOW_MS,
    Clock,
    Opened,
    buckets,
    count,
    opened,
    sample,
    stored,
)

DAY_MS = 24 * HOUR_MS
MONTH_MS = HOURS.window_ms
BEGIN_MS = NOW_MS - NOW_MS % MONTH_MS
"""Where a window of every tier begins."""


async def fill(history: Opened, hours: int, nodes: int = 1) -> None:
    """Some samples of every hour."""
    for hour in range(hours):
        for number in range(nodes):
            for each in range(3):
                at_ms = BEGIN_MS + hour * HOUR_MS + each * 60_000
                history.take(sample(10 * hour + each, f"{number:04x}", at_wall_ms=at_ms))
    assert await history.history.flush()
    await history.compact()


def chunks(path: Path, tier: Tier) -> int:
    return count(path, f"chunks WHERE tier_ms = {tier.tier_ms}")


async def test_each_tier_goes_when_it_is_too_old(tmp_path: Path) -> None:
    path, clock = tmp_path / "history.db", Clock(BEGIN_MS + MONTH_MS)
    settings = HistorySettings(
        keep_samples_days=2, keep_1m_days=10, keep_15m_days=100, keep_2h_days=1_000
    )
    with opened(path, settings, clock=clock) as history:
        await fill(history, 24)
        await history.fold()
        left = list[list[int]]()
        for days in (0, 3, 11, 101, 1_033):
            clock.now_ms = BEGIN_MS + MONTH_MS + days * DAY_MS
            for _ in range(3):
                await history.upkeep.retain()
            left.append([chunks(path, tier) for tier in TIERS])
        # The whole month is over: what is of its first day is a month old already.
        assert left == [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
        assert count(path, "stretches") == 0


async def test_samples_that_are_still_kept_stay_and_a_little_more(tmp_path: Path) -> None:
    path, clock = tmp_path / "history.db", Clock(BEGIN_MS + DAY_MS)
    with opened(path, HistorySettings(keep_samples_days=0.5), clock=clock) as history:
        await fill(history, 24)
        await history.fold()
        await history.upkeep.retain()
        # Whole windows go: the one in which the bound lies is kept.
        assert min(number for _, number in stored(path)) // 10 == 12
        assert buckets(path, "0000", MINUTES).count.sum() == 3 * 24


async def test_what_is_in_no_coarser_tier_yet_stays_however_old_it_is(tmp_path: Path) -> None:
    path, clock = tmp_path / "history.db", Clock(BEGIN_MS + 100 * DAY_MS)
    settings = HistorySettings(keep_samples_days=1, keep_1m_days=1)
    with opened(path, settings, clock=clock) as history:
        await fill(history, 2)
        await history.upkeep.retain()
        assert chunks(path, SAMPLES) == 2
        await history.fold()
        await history.upkeep.retain()
        assert [chunks(path, tier) for tier in TIERS] == [0, 0, 1, 1]
        assert buckets(path, "0000", QUARTERS).count.sum() == 6


async def test_too_much_goes_from_the_finest_tier_and_the_oldest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SLICE_BYTES", 1)  # row by row
    path, clock = tmp_path / "history.db", Clock(BEGIN_MS + 30 * HOUR_MS)
    with opened(path, clock=clock) as history:
        await fill(history, 24)
        await history.fold()
        seen = list[tuple[int, int]]()
        while await history.files.write(retention.drop_oldest):
            oldest = min((number for _, number in stored(path)), default=-1)
            seen.append((oldest, chunks(path, MINUTES)))
        first_hours = [hour for hour, _ in seen]
        samples = first_hours[: first_hours.index(-1)]
        assert samples == sorted(samples)
        assert set(samples) >= {10 * hour for hour in range(1, 24)}
        assert seen[first_hours.index(-1)][1] == 4
        assert chunks(path, MINUTES) == 0


async def test_file_stays_within_what_may_be_kept(tmp_path: Path) -> None:
    path, clock = tmp_path / "history.db", Clock(BEGIN_MS + 400 * HOUR_MS)
    settings = HistorySettings(keep_bytes=16 * 1024 * 1024)
    with opened(path, settings, clock=clock) as history:
        writer = history.files._writer
        for number in range(60):  # 30 MB
            writer.execute(
                "INSERT INTO chunks (node, tier_ms, from_ms, is_open, first_ms, last_ms, marks,"
                " body) VALUES (1, 0, ?, 0, 0, 0, x'', zeroblob(500000))",
                (clock.now_ms - (number + 1) * HOUR_MS,),
            )
        for _ in range(40):
            await history.upkeep.retain()
        usage = await history.files.read(retention.usage)
        assert 10 * 1024 * 1024 < usage.used_bytes <= settings.keep_bytes
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert path.stat().st_size < settings.keep_bytes + 4 * 1024 * 1024
        (newest,) = writer.execute("SELECT max(from_ms) FROM chunks").fetchone()
        assert newest == clock.now_ms - HOUR_MS


async def test_families_do_not_take_the_place_of_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "FAMILIES_PART", 0.0)
    path, clock = tmp_path / "history.db", Clock(BEGIN_MS + 10 * HOUR_MS)
    with opened(path, clock=clock) as history:
        await fill(history, 3)
        for hour in range(3):
            data = msgspec.Raw(msgspec.msgpack.encode(hour))
            family = FamilySample("cpu", 0, 0, 60_000, data)
            history.history.take_family("0000", BEGIN_MS + hour * HOUR_MS, family)
        assert await history.history.flush()
        await history.compact()
        assert count(path, "family_chunks") == 3
        await history.upkeep.retain()
        assert count(path, "family_chunks") == 3  # nothing that is still open goes
        await history.fold()
        await history.upkeep.retain()
    assert count(path, "family_chunks") == 0
    assert sum(stored(path).values()) == 9


async def test_what_was_set_aside_does_not_stay_for_ever(tmp_path: Path) -> None:
    path, clock = tmp_path / "history.db", Clock()
    with opened(path, clock=clock) as history:
        await fill(history, 1)
        history.files._writer.execute("UPDATE chunks SET body = x'00'")
        await history.upkeep.check()
        clock.now_ms += 59 * DAY_MS
        await history.upkeep.retain()
        assert count(path, "damaged") == 1
        clock.now_ms += 2 * DAY_MS
        await history.upkeep.retain()
    assert count(path, "damaged") == 0


async def test_boots_that_are_long_over_are_no_longer_known(tmp_path: Path) -> None:
    path, clock = tmp_path / "history.db", Clock(BEGIN_MS)
    with opened(path, clock=clock) as history:
        await fill(history, 1)
        clock.now_ms += retention.KNOWN_MS - DAY_MS
        at_ms = clock.now_ms
        await history.store(sample(1, "0000", boot_id="next", at_wall_ms=at_ms))
        await history.compact()
        assert count(path, "known") == count(path, "runs") == 2
        clock.now_ms += 2 * DAY_MS
        for _ in range(5):
            await history.upkeep.retain()
        assert count(path, "known") == count(path, "runs") == 1
    with opened(path) as history:
        assert history.history.has("0000", "next", 1)
        assert not history.history.has("0000", "boot", 1)
