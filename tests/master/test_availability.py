"""How much of a day, a week and a month a node was there, from its outages."""

from hypothesis import given
from hypothesis import strategies as st

from master.availability import WINDOWS_S, availabilities
from shared.causes import Cause
from shared.messages import Availability, Outage

NOW_MS = 1_795_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def outage(
    ago_ms: int, lasted_ms: int | None, cause: str = Cause.NETWORK_CUT, *, planned: bool = False
) -> Outage:
    begin_ms = NOW_MS - ago_ms
    end_ms = None if lasted_ms is None else begin_ms + lasted_ms
    return Outage(1, "node", "web", begin_ms, begin_ms, end_ms, cause, (), planned)


def of_a_day(*outages: Outage, known_ms: int = 40 * DAY_MS) -> Availability:
    return availabilities(outages, NOW_MS - known_ms, NOW_MS)[0]


def test_node_that_was_always_there_was_there_all_of_each_window() -> None:
    day, week, month = availabilities((), NOW_MS - 40 * DAY_MS, NOW_MS)
    assert [each.window_s for each in (day, week, month)] == list(WINDOWS_S)
    assert [each.known_s for each in (day, week, month)] == list(WINDOWS_S)
    assert day.down_s == day.planned_s == day.unobserved_s == 0


def test_time_before_the_node_was_known_does_not_count() -> None:
    day, week, _ = availabilities((), NOW_MS - 2 * HOUR_MS, NOW_MS)
    assert day.known_s == week.known_s == 7_200


def test_each_kind_of_absence_is_counted_by_itself() -> None:
    day = of_a_day(
        outage(10 * HOUR_MS, HOUR_MS),
        outage(8 * HOUR_MS, HOUR_MS // 2, planned=True),
        outage(6 * HOUR_MS, HOUR_MS // 4, Cause.MASTER_AWAY),
    )
    assert (day.down_s, day.planned_s, day.unobserved_s) == (3_600, 1_800, 900)


def test_outage_counts_as_far_as_it_reaches_into_the_window() -> None:
    day, week, _ = availabilities([outage(25 * HOUR_MS, 3 * HOUR_MS)], NOW_MS - 40 * DAY_MS, NOW_MS)
    assert (day.down_s, week.down_s) == (2 * 3_600, 3 * 3_600)


def test_outage_that_is_not_over_lasts_until_now() -> None:
    assert of_a_day(outage(HOUR_MS, None, "")).down_s == 3_600


def test_outage_from_before_the_node_was_known_counts_from_then() -> None:
    assert of_a_day(outage(HOUR_MS, None, ""), known_ms=HOUR_MS // 2).down_s == 1_800


wall_ms = st.integers(-(10**12), 10**12)


@given(st.lists(st.tuples(wall_ms, st.none() | wall_ms, st.booleans()), max_size=10), wall_ms)
def test_clock_that_was_set_makes_no_time_negative(
    outages: list[tuple[int, int | None, bool]], known_ms: int
) -> None:
    shares = availabilities(
        [outage(ago_ms, lasted_ms, planned=planned) for ago_ms, lasted_ms, planned in outages],
        NOW_MS - known_ms,
        NOW_MS,
    )
    for each in shares:
        assert min(each.known_s, each.down_s, each.planned_s, each.unobserved_s) >= 0
