"""Exact samples, and the fleet at an instant: the same whether they are in the journal, in open
chunks, in folded ones, or in several of these."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from master.history.fleet_reading import EXACT_NODES
from master.history.instants import STEP_MS
from master.history.taken import Sample
from shared.messages import FamilySample, raw
from shared.metrics import Core
from tests.master.history.pasts import BEGAN_MS, HOUR_MS, PERIOD_MS, Past, at, past, sample

STAGES = ("journal", "open", "folded", "mixed")


async def filled(made: Past, stage: str, count: int) -> None:
    """So many samples of one node, kept in one of the ways in which they may be."""
    if stage == "mixed":
        third = count // 3
        await made.take(map(sample, range(third)))
        await made.compact(at(third) + 2 * HOUR_MS)
        await made.take(map(sample, range(third, 2 * third)))
        await made.compact(at(2 * third))
        await made.take(map(sample, range(2 * third, count)))
        return
    await made.take(map(sample, range(count)))
    if stage == "open":
        await made.compact(BEGAN_MS)
    elif stage == "folded":
        await made.compact(at(count) + 2 * HOUR_MS)


@pytest.mark.parametrize("stage", STAGES)
async def test_samples_come_back_as_they_were_taken(tmp_path: Path, stage: str) -> None:
    async with past(tmp_path) as made:
        await filled(made, stage, 240)
        assert await made.queries.samples("aa11", at(0), at(240), 1000) == [
            sample(number) for number in range(240)
        ]


@pytest.mark.parametrize("stage", STAGES)
async def test_span_is_met_to_the_sample_its_end_left_out(tmp_path: Path, stage: str) -> None:
    async with past(tmp_path) as made:
        await filled(made, stage, 240)
        found = await made.queries.samples("aa11", at(50), at(190), 1000)
        assert found == [sample(number) for number in range(50, 190)]
        assert await made.queries.samples("aa11", at(50) + 1, at(51), 1000) == []


@pytest.mark.parametrize("stage", STAGES)
async def test_pages_that_follow_each_other_have_every_sample_once(
    tmp_path: Path, stage: str
) -> None:
    async with past(tmp_path) as made:
        await filled(made, stage, 240)
        # Late ones of an hour that others have gone by.
        late = [sample(number, boot_id="before", is_late=True) for number in range(100, 110)]
        await made.take(replace(each, at_wall_ms=each.at_wall_ms + 7) for each in late)
        found = list[Sample]()
        from_ms = at(0)
        while page := await made.queries.samples("aa11", from_ms, at(240), 77):
            assert len(page) <= 77
            found += page
            from_ms = page[-1].at_wall_ms + 1
        assert len(found) == 250
        assert [each.at_wall_ms for each in found] == sorted({each.at_wall_ms for each in found})


async def test_node_without_a_past_has_none(tmp_path: Path) -> None:
    async with past(tmp_path) as made:
        await made.take([sample(0)])
        assert await made.queries.samples("unknown", at(0), at(9), 10) == []
        assert await made.queries.node_at("unknown", at(9)) is None
        assert await made.queries.series("unknown", [0], at(0), at(9), 10) is None
        assert await made.queries.families_at("unknown", at(9)) == []


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("number", [0, 79, 80, 160, 239])
async def test_fleet_is_as_it_was_at_any_instant(tmp_path: Path, stage: str, number: int) -> None:
    async with past(tmp_path) as made:
        await filled(made, stage, 240)
        for instant_ms in (at(number), at(number) + PERIOD_MS - 1):
            fleet = await made.queries.fleet_at(instant_ms)
            assert fleet["aa11"].at_wall_ms == at(number)
            assert fleet["aa11"].period_ms == PERIOD_MS
            assert msgspec.msgpack.decode(fleet["aa11"].core, type=Core).cpu_busy_bp == number
            assert fleet["aa11"] == await made.queries.node_at("aa11", instant_ms)


@pytest.mark.parametrize("stage", STAGES)
async def test_node_that_was_not_there_is_not_in_it(tmp_path: Path, stage: str) -> None:
    async with past(tmp_path) as made:
        await filled(made, stage, 240)
        assert await made.queries.fleet_at(at(0) - 1) == {}
        assert await made.queries.fleet_at(at(239) + 3 * PERIOD_MS) != {}
        assert await made.queries.fleet_at(at(239) + 3 * PERIOD_MS + 1) == {}


async def test_large_fleet_is_known_to_the_minute_and_exactly_where_it_was_just_now(
    tmp_path: Path,
) -> None:
    ids = [f"{number:04x}" for number in range(EXACT_NODES + 1)]
    async with past(tmp_path) as made:
        await made.take(sample(number, node_id) for number in range(40) for node_id in ids)
        await made.compact(at(40))
        await made.take(sample(number, node_id) for number in range(40, 60) for node_id in ids)
        just_now = await made.queries.fleet_at(at(50) + 1)
        assert {each.at_wall_ms for each in just_now.values()} == {at(50)}
        assert set(just_now) == set(ids)
        before = await made.queries.fleet_at(at(30) + 1)
        assert set(before) == set(ids)
        for then in before.values():
            assert at(30) - STEP_MS < then.at_wall_ms <= at(30)
            number = msgspec.msgpack.decode(then.core, type=Core).cpu_busy_bp
            assert then.at_wall_ms == at(number or 0)


async def test_late_samples_are_seen_at_their_time(tmp_path: Path) -> None:
    async with past(tmp_path) as made:
        await made.take(sample(number) for number in range(60) if not 20 <= number < 40)
        assert await made.queries.fleet_at(at(30)) == {}
        await made.take(sample(number, is_late=True) for number in range(20, 40))
        assert (await made.queries.fleet_at(at(30)))["aa11"].at_wall_ms == at(30)
        assert (await made.queries.fleet_at(at(59)))["aa11"].at_wall_ms == at(59)
        await made.compact(at(60))
        assert (await made.queries.fleet_at(at(30)))["aa11"].at_wall_ms == at(30)


async def test_families_are_the_last_of_each_before_the_instant(tmp_path: Path) -> None:
    async with past(tmp_path) as made:

        async def keep(family: str, at_ms: int, value: int) -> None:
            sample = FamilySample(family, 1, 2, 60_000, raw([value]))
            made.history.take_family("aa11", at_ms, sample)
            await made.history.flush()

        for minute in range(10):
            await keep("cpu", BEGAN_MS + minute * 60_000, minute)
        await keep("disks", BEGAN_MS + 120_000, 77)
        for stage in ("journal", "chunks"):
            found = await made.queries.families_at("aa11", BEGAN_MS + 300_001)
            values = {each.family: msgspec.msgpack.decode(each.data) for each in found}
            assert values == {"cpu": [5], "disks": [77]}, stage
            assert [each.wall_ms - BEGAN_MS for each in found if each.family == "cpu"] == [300_000]
            await made.compact(BEGAN_MS + 3 * HOUR_MS)
        assert await made.queries.families_at("aa11", BEGAN_MS - 1) == []
        assert await made.queries.families_at("aa11", BEGAN_MS + 4 * HOUR_MS) == []
