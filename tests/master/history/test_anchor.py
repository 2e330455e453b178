"""Samples have the times at which they were taken, whatever the network does to their arrival."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.history.anchor import DRIFT_MS, REORDERED_MS, WAITED_MS, Anchor

BEGAN_WALL_MS = 1_800_000_000_000
"""When the agent's clock showed 0."""

PERIOD_MS = 5_000
RUN = ("boot", 0)


def linked(welcomed_wall_ms: int = BEGAN_WALL_MS) -> Anchor:
    anchor = Anchor(RUN)
    anchor.linked(welcomed_wall_ms)
    return anchor


def told(anchor: Anchor, delays_ms: list[int], period_ms: int = PERIOD_MS) -> list[int | None]:
    """The times, from `BEGAN_WALL_MS` on, of beats that took so long each; TCP keeps their
    order."""
    arrived_ms = 0
    times: list[int | None] = []
    for number, delay_ms in enumerate(delays_ms):
        mono_ms = number * period_ms
        arrived_ms = max(arrived_ms, mono_ms + delay_ms)
        at_ms = anchor.beat(mono_ms, BEGAN_WALL_MS + arrived_ms)
        times.append(None if at_ms is None else at_ms - BEGAN_WALL_MS)
    return times


def times_of(delays_ms: list[int], period_ms: int = PERIOD_MS) -> list[int]:
    """The same of those that are known."""
    times = told(linked(), delays_ms, period_ms)
    return [at_ms for at_ms in times if at_ms is not None]


def test_jitter_leaves_the_intervals_as_even_as_they_were_taken() -> None:
    times = times_of([20, 35, 900, 0, 400, 3])
    assert times == [20 + n * PERIOD_MS for n in range(6)]


def test_what_waited_for_the_line_has_the_times_at_which_it_was_taken() -> None:
    # The line stalls for 20 s: four beats arrive at once.
    times = times_of([10, 10, 20_000, 0, 0, 0, 10, 10])
    assert times == [10 + n * PERIOD_MS for n in range(8)]


@pytest.mark.parametrize("period_ms", [1_000, 5_000, 60_000])
def test_what_waited_for_the_master_has_the_times_at_which_it_was_taken(period_ms: int) -> None:
    stood_still_ms = 9 * period_ms
    times = times_of([10, 10, stood_still_ms, *[0] * 12], period_ms)
    assert times == [10 + n * period_ms for n in range(15)]


def test_beats_that_waited_at_the_beginning_have_no_time_until_one_is_prompt() -> None:
    # The line stalls right after the welcome: four beats arrive at once.
    times = told(linked(), [3_400, 0, 0, 0, 10, 10], period_ms=1_000)
    assert times == [None, None, None, 3_400, 4_400, 5_400]


def test_first_beats_of_a_welcome_that_was_slow_have_a_time_when_two_are_alike() -> None:
    times = told(linked(BEGAN_WALL_MS - 3_000), [10, 40, 10, 10], period_ms=1_000)
    assert times == [None, 1_010, 2_010, 3_010]


def test_first_beat_of_a_link_that_waited_leaves_an_anchor_that_may_be_right() -> None:
    anchor = linked()
    anchor.beat(0, BEGAN_WALL_MS + 10)
    anchor.linked(BEGAN_WALL_MS + 60_020)
    assert anchor.beat(60_000, BEGAN_WALL_MS + 69_000) == BEGAN_WALL_MS + 60_010
    assert anchor.beat(65_000, BEGAN_WALL_MS + 69_000) == BEGAN_WALL_MS + 65_010
    assert anchor.beat(70_000, BEGAN_WALL_MS + 70_020) == BEGAN_WALL_MS + 70_010


def test_suspended_host_leaves_one_sample_at_the_time_it_fell_asleep() -> None:
    # Its clock stands still for 30 s, and the link survives: everything is late by as much.
    times = times_of([10, 10, 30_010, 30_060, 30_010])
    assert times == [10, 5_010, 10_010, 45_010, 50_010]


def test_link_that_was_silent_for_longer_than_any_can_is_anchored_at_once() -> None:
    late_ms = WAITED_MS + 1
    assert times_of([10, late_ms + 10])[-1] == PERIOD_MS + late_ms + 10


def test_slow_drift_is_followed_a_second_at_a_time() -> None:
    # The agent's clock loses 100 ms with each beat.
    times = times_of([100 * n for n in range(100)])
    behind_ms = [100 * n + n * PERIOD_MS - at_ms for n, at_ms in enumerate(times)]
    assert max(behind_ms) <= DRIFT_MS + 100
    assert min(behind_ms) >= 0


def test_agents_clock_that_is_fast_never_puts_a_sample_a_second_ahead() -> None:
    anchor = linked()
    for number in range(100):
        arrived_ms = BEGAN_WALL_MS + number * PERIOD_MS
        at_ms = anchor.beat(number * (PERIOD_MS + 300), arrived_ms)
        assert at_ms is not None
        assert 0 <= at_ms - arrived_ms <= DRIFT_MS


def test_next_link_of_the_same_run_goes_on_with_the_anchor() -> None:
    anchor = linked()
    anchor.beat(0, BEGAN_WALL_MS + 10)
    anchor.linked(BEGAN_WALL_MS + 60_000)
    assert anchor.beat(60_000, BEGAN_WALL_MS + 60_800) == BEGAN_WALL_MS + 60_010


@pytest.mark.parametrize("apart_ms", [3_600_000, -30_000], ids=["suspended", "clock-set-back"])
def test_first_beat_of_a_link_sets_an_anchor_that_is_off(apart_ms: int) -> None:
    anchor = linked()
    anchor.beat(0, BEGAN_WALL_MS)
    arrived_ms = BEGAN_WALL_MS + 60_000 + apart_ms
    anchor.linked(arrived_ms - 30)
    assert anchor.beat(60_000, arrived_ms) == arrived_ms


def test_nothing_is_placed_before_the_first_beat_of_a_link() -> None:
    anchor = linked(BEGAN_WALL_MS + 990)
    assert anchor.at_wall_ms(5) is None
    anchor.beat(1_000, BEGAN_WALL_MS + 1_000)
    assert anchor.at_wall_ms(-7) == BEGAN_WALL_MS - 7
    anchor.linked(BEGAN_WALL_MS + 2_000)
    assert anchor.at_wall_ms(5) is None


def test_masters_clock_that_was_set_back_far_is_followed_at_once() -> None:
    anchor = linked()
    anchor.beat(0, BEGAN_WALL_MS)
    set_back_ms = REORDERED_MS + 2 * PERIOD_MS
    arrived_ms = BEGAN_WALL_MS + PERIOD_MS - set_back_ms
    assert anchor.beat(PERIOD_MS, arrived_ms) == arrived_ms


@given(
    st.lists(st.integers(0, 40_000), min_size=1, max_size=60),
    st.sampled_from([1_000, 5_000, 60_000]),
)
def test_times_ascend_and_no_sample_is_taken_a_second_after_it_arrived(
    delays_ms: list[int], period_ms: int
) -> None:
    times = told(linked(), delays_ms, period_ms)
    known = [at_ms for at_ms in times if at_ms is not None]
    assert all(before < after for before, after in pairwise(known))
    arrived_ms = 0
    for number, (at_ms, delay_ms) in enumerate(zip(times, delays_ms, strict=True)):
        arrived_ms = max(arrived_ms, number * period_ms + delay_ms)
        assert at_ms is None or at_ms <= arrived_ms + DRIFT_MS + number


@given(st.lists(st.integers(0, 2**53) | st.integers(0, 2_000_000), min_size=1))
def test_whatever_a_hostile_agent_says_its_samples_are_of_the_last_minutes(
    said: list[int],
) -> None:
    anchor, arrived_ms = linked(), BEGAN_WALL_MS
    for mono_ms in said:
        arrived_ms += 10
        at_ms = anchor.beat(mono_ms, arrived_ms)
        assert at_ms is not None
        assert arrived_ms - WAITED_MS <= at_ms <= arrived_ms + DRIFT_MS + len(said)
