"""Series: whatever tier tells it, and wherever the newest samples are, each sample counts once."""

import sqlite3
from pathlib import Path

import pytest

from master.history.series import SeriesData
from master.history.tiers import HOURS, MINUTES, QUARTERS, SAMPLES
from tests.master.history.pasts import (
    BEGAN_MS,
    CPU,
    DAY_MS,
    HOUR_MS,
    PERIOD_MS,
    Past,
    at,
    past,
    sample,
)

USERS = CPU + 1
"""A metric that these samples do not know."""


async def asked(made: Past, from_ms: int, to_ms: int, points: int) -> SeriesData:
    found = await made.queries.series("aa11", [CPU, USERS], from_ms, to_ms, points)
    assert found is not None
    return found


def check(found: SeriesData, from_number: int, to_number: int) -> None:
    """Each step has exactly the samples of its time; those from one number up to another are all
    there are. The value of a sample is its number."""
    steps = found.steps
    assert steps.count.sum() == to_number - from_number
    for place, start_ms in enumerate(steps.start_ms.tolist()):
        first = max(from_number, -(-(start_ms - BEGAN_MS) // PERIOD_MS))
        end = min(to_number, -(-(start_ms + steps.bucket_ms - BEGAN_MS) // PERIOD_MS))
        numbers = range(first, end)
        assert len(numbers) > 0
        assert steps.count[place] == len(numbers)
        assert steps.known[place].tolist() == [len(numbers), 0]
        assert steps.least[place, 0] == numbers[0]
        assert steps.greatest[place, 0] == numbers[-1]
        assert steps.total[place, 0] == sum(numbers)


async def staged(made: Past, count: int) -> None:
    """Samples of three hours: the first folded, the next in open chunks, the last in the
    journal."""
    third = count // 3
    await made.take(map(sample, range(third)))
    await made.compact(at(third) + HOUR_MS)
    await made.take(map(sample, range(third, 2 * third)))
    await made.compact(at(2 * third))
    await made.take(map(sample, range(2 * third, count)))


@pytest.mark.parametrize(
    ("points", "tier_ms"),
    [(1, HOURS.tier_ms), (2, QUARTERS.tier_ms), (12, QUARTERS.tier_ms), (13, MINUTES.tier_ms),
     (180, MINUTES.tier_ms), (181, SAMPLES.tier_ms), (10_000, SAMPLES.tier_ms)],
)  # fmt: skip
async def test_tier_is_the_coarsest_that_has_as_many_points_as_are_wanted(
    tmp_path: Path, points: int, tier_ms: int
) -> None:
    async with past(tmp_path) as made:
        await staged(made, 540)
        found = await asked(made, BEGAN_MS, BEGAN_MS + 3 * HOUR_MS, points)
        assert found.tier_ms == tier_ms
        check(found, 0, 540)
        assert len(found.steps) <= 1.5 * points + 1


@pytest.mark.parametrize("points", [1, 7, 50, 300, 1000])
@pytest.mark.parametrize("stage", range(4))
async def test_every_sample_counts_once_at_every_stage_of_its_life(
    tmp_path: Path, points: int, stage: int
) -> None:
    async with past(tmp_path) as made:
        await made.take(map(sample, range(300)))
        for now_ms in (BEGAN_MS, at(300) + 2 * HOUR_MS, BEGAN_MS + DAY_MS)[:stage]:
            await made.compact(now_ms)
        check(await asked(made, BEGAN_MS, BEGAN_MS + 2 * HOUR_MS, points), 0, 300)


async def test_samples_outside_of_the_span_are_left_out(tmp_path: Path) -> None:
    async with past(tmp_path) as made:
        await staged(made, 540)
        check(await asked(made, at(100), at(401), 10_000), 100, 401)
        # A bucket of a minute holds three samples: those that begin in the span are whole.
        found = await asked(made, at(99), at(399), 100)
        assert found.tier_ms == MINUTES.tier_ms
        check(found, 99, 399)


async def test_late_samples_are_in_the_steps_of_their_time(tmp_path: Path) -> None:
    async with past(tmp_path) as made:
        await made.take(sample(number) for number in range(300) if not 50 <= number < 90)
        await made.compact(at(300) + 2 * HOUR_MS)
        await made.take(sample(number, is_late=True) for number in range(50, 90))
        for now_ms in (at(300), BEGAN_MS + DAY_MS):
            for points in (4, 100, 1000):
                check(await asked(made, BEGAN_MS, BEGAN_MS + 2 * HOUR_MS, points), 0, 300)
            await made.compact(now_ms)


async def test_what_a_finer_tier_has_dropped_is_told_by_a_coarser_one(tmp_path: Path) -> None:
    async with past(tmp_path) as made:
        await made.take(map(sample, range(540)))
        await made.compact(BEGAN_MS + DAY_MS)
        with sqlite3.connect(made.path) as connection:
            connection.execute(
                "DELETE FROM chunks WHERE tier_ms = 0 AND from_ms < ?", (BEGAN_MS + 2 * HOUR_MS,)
            )
        everything = await asked(made, BEGAN_MS, BEGAN_MS + 3 * HOUR_MS, 1000)
        assert everything.tier_ms == MINUTES.tier_ms
        check(everything, 0, 540)
        recent = await asked(made, BEGAN_MS + 2 * HOUR_MS, BEGAN_MS + 3 * HOUR_MS, 1000)
        assert recent.tier_ms == SAMPLES.tier_ms
        check(recent, 360, 540)


async def test_span_without_samples_has_no_steps(tmp_path: Path) -> None:
    async with past(tmp_path) as made:
        await made.take(map(sample, range(10)))
        assert len((await asked(made, 0, 1000, 10)).steps) == 0
        later_ms = BEGAN_MS + DAY_MS
        assert len((await asked(made, later_ms, later_ms + DAY_MS, 10)).steps) == 0


async def test_damaged_chunk_leaves_a_hole_and_the_rest(tmp_path: Path) -> None:
    async with past(tmp_path) as made:
        await made.take(map(sample, range(540)))
        await made.compact(at(540))
        with sqlite3.connect(made.path) as connection:
            connection.execute(
                "UPDATE chunks SET body = zeroblob(100) WHERE tier_ms = 0 AND from_ms = ?",
                (BEGAN_MS + HOUR_MS,),
            )
        steps = (await asked(made, BEGAN_MS, BEGAN_MS + 3 * HOUR_MS, 1000)).steps
        assert steps.count.sum() == 360
        found = await made.queries.samples("aa11", at(0), at(540), 1000)
        assert [each.sequence - 1_001 for each in found] == [*range(180), *range(360, 540)]
