"""What changed before an outage: metrics that left their band, processes that grew; its screen."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from itertools import count

import pytest
from msgspec import structs

from shared import families as f
from shared import messages as m
from shared.liveness import State
from shared.metrics import metrics
from tests.tui import details, then
from tests.tui.fleets import WALL_MS, snapshot
from tests.tui.scripted import LIVE, ScriptedSource, dashboard, screen_lines
from tui.changes import SHOWN_MOST, grown, ranked
from tui.inquiry import Inquiry
from tui.look import Symbols
from tui.pages.changes import course, value

MINUTE_MS = 60_000
STEPS = 65
END_MS = WALL_MS
BEGIN_MS = END_MS - STEPS * MINUTE_MS
BY_NAME = {metric.name: metric for metric in metrics()}


def noisy(middle: float, spread: float, seed: int = 1) -> list[float]:
    rng = random.Random(seed)
    return [rng.gauss(middle, spread) for _ in range(STEPS)]


def series(
    told: Mapping[str, Sequence[float | None]], begin_ms: int = BEGIN_MS, request: int = 1
) -> m.Series:
    """Values of each minute."""
    return m.Series(
        request,
        "id-db-1",
        MINUTE_MS,
        0,
        tuple(begin_ms + step * MINUTE_MS for step in range(STEPS)),
        (12,) * STEPS,
        tuple(m.SeriesOf(name, (), tuple(values), ()) for name, values in told.items()),
    )


def names(told: Mapping[str, Sequence[float | None]], before: m.Series | None = None) -> list[str]:
    return [change.metric.name for change in ranked(series(told), before, END_MS)]


# --- metrics --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_change(seed: int) -> None:
    told = {"cpu_busy_bp": noisy(3_000, 400, seed), "users": [2.0] * STEPS}
    assert names(told) == []


def test_what_left_its_band_furthest_comes_first() -> None:
    memory = noisy(5_000, 60)
    memory[-5:] = [6_000, 7_000, 8_000, 9_000, 9_900]
    load = noisy(200, 40)
    load[-1] = 900
    assert names({"load_1m_centi": load, "memory_used_bp": memory}) == [
        "memory_used_bp",
        "load_1m_centi",
    ]


def test_change_says_what_was_usual_and_what_it_came_to() -> None:
    (change,) = ranked(series({"processes": [100.0] * 62 + [100.0, 150.0, 260.0]}), None, END_MS)
    assert (change.usual, change.then) == (100, 260)
    assert len(change.course) == STEPS


def test_one_wild_value_in_the_hour_before_hides_nothing() -> None:
    told = [100.0] * 60 + [300.0] * 5
    told[7] = 90_000
    assert names({"processes": told}) == ["processes"]


def test_what_happens_every_day_at_this_time_is_not_unusual() -> None:
    told = {"disk_read_bytes_per_s": [1e6] * 60 + [9e7] * 5}
    daily = series({"disk_read_bytes_per_s": [9e7] * STEPS}, BEGIN_MS - 86_400_000)
    other = series({"disk_read_bytes_per_s": [1e6] * STEPS}, BEGIN_MS - 86_400_000)
    assert names(told) == names(told, other) == ["disk_read_bytes_per_s"]
    assert names(told, daily) == []


def test_values_that_hardly_move_are_compared_by_what_matters() -> None:
    assert names({"cpu_busy_bp": [200.0] * 60 + [290.0] * 5}) == []
    assert names({"filesystem_used_max_bp": [9_000.0] * 60 + [9_990.0] * 5}) == []
    assert names({"filesystem_used_max_bp": [6_000.0] * 60 + [9_990.0] * 5}) != []


def test_metrics_of_one_kind_tell_one_story() -> None:
    used = [5_000.0] * 60 + [9_500.0] * 5
    free = [8e6] * 60 + [1e5] * 5
    assert len(names({"memory_used_bp": used, "memory_free_kib": free})) == 1
    assert names({"uptime_s": [float(step * 60) for step in range(STEPS)]}) == []


def test_gaps_and_short_histories_claim_nothing() -> None:
    assert names({"processes": [None] * 60 + [260.0] * 5}) == []
    assert names({"processes": [100.0] * 60 + [None] * 5}) == []
    assert names({"no_such_metric": [100.0] * 60 + [900.0] * 5}) == []


def test_only_the_first_few_are_shown() -> None:
    jump = [100.0] * 60 + [90_000.0] * 5
    counted = [name for name, metric in BY_NAME.items() if metric.unit == "count"]
    assert len(names(dict.fromkeys(counted, jump))) == SHOWN_MOST


# --- processes ------------------------------------------------------------------------------------


def process(pid: int, name: str, mib: int, cpu: float | None = 0.01) -> f.Process:
    return f.Process(pid, 1, name, "sleeping", 1, mib * 2**20, "app", cpu, 60.0, None, None)


def test_processes_that_grew_are_told_with_what_they_were() -> None:
    before = [process(1, "postgres", 400), process(2, "worker", 100), process(3, "idle", 50)]
    later = [
        process(1, "postgres", 410),
        process(2, "worker", 900),
        process(3, "idle", 50, 0.9),
        process(4, "import", 300),
        process(2, "another", 10),
    ]
    found = grown(before, later)
    assert [(each.process.name, each.before is None) for each in found] == [
        ("worker", False),
        ("import", True),
        ("idle", False),
    ]


# --- how it is said -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "wire", "said"),
    [
        ("cpu_busy_bp", 9_730, "97%"),
        ("swap_used_bp", 42, "0.4%"),
        ("memory_free_kib", 2_048, "2.0M"),
        ("disk_read_bytes_per_s", 3 * 2**20, "3.0M/s"),
        ("load_1m_centi", 1_234, "12.3"),
        ("temperature_max_dc", 812, "81°"),
        ("context_switches_per_s", 48_210.4, "48,210/s"),
        ("fan_min_rpm", 1_204, "1,204 rpm"),
        ("users", 3.4, "3"),
    ],
)
def test_values_have_their_units(metric: str, wire: float, said: str) -> None:
    assert value(BY_NAME[metric], wire) == said


def test_course_is_drawn_between_its_lowest_and_highest() -> None:
    drawn = course([1.0] * 30 + [None] * 2 + [9.0] * 32, 4, Symbols.BLOCKS)
    assert (drawn[0], drawn[-1], len(drawn)) == ("▁", "█", 4)
    assert course([None, None], 4, Symbols.BLOCKS) == ""


# --- the questions, and the screen ----------------------------------------------------------------


def test_inquiry_asks_for_the_hour_the_day_before_and_both_process_tables() -> None:
    sent: list[m.FromViewer] = []
    outage = then.outage("db-1", 30, 4)
    inquiry = Inquiry(outage, sent.append, count(1))
    spans = [(e.from_wall_ms, e.to_wall_ms) for e in sent if isinstance(e, m.GetSeries)]
    assert spans == [
        (outage.from_wall_ms - STEPS * MINUTE_MS, outage.from_wall_ms + 1),
        (
            outage.from_wall_ms - STEPS * MINUTE_MS - 86_400_000,
            outage.from_wall_ms + 1 - 86_400_000,
        ),
    ]
    instants = [each.at_wall_ms for each in sent if isinstance(each, m.GetNodeAt)]
    assert instants == [outage.from_wall_ms, outage.from_wall_ms - 60 * MINUTE_MS]
    for request in (1, 2, 3, 4):
        assert inquiry.is_open
        assert inquiry.take(m.Failed(request, "not-read", "the disk is on fire"))
    assert not inquiry.is_open
    assert inquiry.problem == "the disk is on fire"
    assert not inquiry.take(m.Failed(1, "not-read", ""))


def test_w_shows_what_changed_and_t_leads_there() -> None:
    async def scenario() -> None:
        source = ScriptedSource(LIVE, snapshot({"db-1": State.UP}))
        async with dashboard(source, size=(100, 30)) as (app, pilot, _):
            await pilot.press("enter", "o")
            (asked,) = [each for each in source.sent if isinstance(each, m.ListOutages)]
            told = details.outages_of("id-db-1", "db-1", is_away=False)
            source.say(m.Outages(asked.request, told))
            await pilot.press("w")
            hour, _, at_end, before = source.sent[-4:]
            assert isinstance(hour, m.GetSeries)
            assert isinstance(at_end, m.GetNodeAt)
            assert isinstance(before, m.GetNodeAt)
            assert "Asking the master" in "\n".join(screen_lines(app))
            jump = [5_000.0] * 60 + [9_900.0] * 5
            source.say(series({"memory_used_bp": jump}, hour.from_wall_ms, hour.request))
            source.say(then.node_at(before), larger(then.node_at(at_end)))
            await pilot.pause()
            shown = "\n".join(screen_lines(app))
            assert "▸ outages ▸ what changed" in screen_lines(app)[0]
            assert "Memory not available to new programs" in shown
            assert "50%" in shown
            assert "99%" in shown
            assert "postgres -D" in shown
            await pilot.press("t")
            await pilot.pause()
            latest = [each for each in source.sent if isinstance(each, m.GetNodeAt)][-1]
            assert latest.at_wall_ms == told[-1].from_wall_ms
            assert "THE PAST" in "\n".join(screen_lines(app))

    asyncio.run(scenario())


def larger(answer: m.NodeAt) -> m.NodeAt:
    """The same with processes of four times the size."""
    table = details.processes()
    largest = tuple(structs.replace(p, rss_bytes=4 * p.rss_bytes) for p in table.largest)
    sample = m.FamilySample(
        "processes", 0, answer.at_wall_ms, 0, m.raw(structs.replace(table, largest=largest))
    )
    rest = tuple(each for each in answer.families if each.family != "processes")
    return structs.replace(answer, families=(*rest, sample))
