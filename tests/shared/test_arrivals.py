"""The offset of two clocks, the instant a beat is due, and how lateness is remembered."""

import math
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.arrivals import (
    BUCKET_BEATS,
    BUCKETS,
    DOUBT_HALF_LIFE_S,
    IN_TIME_PERIODS,
    PEAK_HALF_LIFE_S,
    PEAK_MOST_PERIODS,
    Arrivals,
    first,
    none_yet,
    observe,
    peak_s,
)

PERIOD_S = 5.0
MOST = BUCKETS * BUCKET_BEATS
LEAST = MOST - BUCKET_BEATS + 1


def after(delays_s: list[float], *, clock_s: float = 0.0, drift: float = 0.0) -> list[Arrivals]:
    """What is known after each of some beats that took so long, sent on the grid by a clock that
    began at `clock_s` and runs faster by `drift`."""
    known: list[Arrivals] = []
    for number, delay_s in enumerate(delays_s):
        sent_s = number * PERIOD_S
        mono_s = clock_s + sent_s * (1 + drift)
        if known:
            known.append(observe(known[-1], sent_s + delay_s, mono_s, PERIOD_S, PERIOD_S))
        else:
            known.append(first(sent_s + delay_s, mono_s, PERIOD_S))
    return known


def test_window_is_of_fifty_one_to_sixty_beats() -> None:
    assert (LEAST, MOST) == (51, 60)


@given(st.lists(st.floats(0, 4.9), min_size=1, max_size=200))
def test_offset_is_the_least_of_the_last_beats_within_the_bounds_of_the_window(
    delays_s: list[float],
) -> None:
    for number, known in enumerate(after(delays_s)):
        offset_s = known.due_s - (number + 1) * PERIOD_S
        surely = min(delays_s[max(0, number + 1 - LEAST) : number + 1])
        at_most = min(delays_s[max(0, number + 1 - MOST) : number + 1])
        assert at_most - 1e-9 <= offset_s <= surely + 1e-9


def test_fastest_beat_is_remembered_for_the_window_and_then_forgotten() -> None:
    known = after([0.0, *[2.0] * 80])
    offsets = [round(each.due_s - (n + 1) * PERIOD_S, 9) for n, each in enumerate(known)]
    assert offsets[:LEAST] == [0.0] * LEAST
    assert offsets[MOST:] == [2.0] * (81 - MOST)


@given(st.lists(st.floats(0, 30), min_size=2, max_size=100), st.floats(0, 1e9))
def test_clocks_may_begin_anywhere(delays_s: list[float], clock_s: float) -> None:
    ours, theirs = after(delays_s), after(delays_s, clock_s=clock_s)
    for one, other in zip(ours, theirs, strict=True):
        assert math.isclose(one.due_s, other.due_s, abs_tol=1e-5)


@pytest.mark.parametrize("drift", [100e-6, -100e-6])
def test_drifting_clock_costs_no_more_than_the_window_lets_it(drift: float) -> None:
    for number, known in enumerate(after([0.001] * 2_000, drift=drift)):
        # The next beat leaves a period later by the agent's clock.
        next_s = (number + 1) * PERIOD_S + 0.001
        assert abs(known.due_s - next_s) <= 100e-6 * PERIOD_S * (MOST + 1)
        assert known.peak_s <= 100e-6 * PERIOD_S * (MOST + 1)


@given(st.floats(5.01, 1e5), st.integers(1, 100))
def test_clock_that_stood_still_is_learnt_anew_with_the_first_beat_after_it(
    jump_s: float, before: int
) -> None:
    known = after([0.001] * before)[-1]
    for number in range(before, before + 5):
        at_s = number * PERIOD_S + jump_s
        known = observe(known, at_s, number * PERIOD_S, PERIOD_S, PERIOD_S)
        assert math.isclose(known.due_s, at_s + PERIOD_S, abs_tol=1e-6)
    assert known.peak_s <= PEAK_MOST_PERIODS * PERIOD_S


def test_beat_that_was_only_slow_is_made_good_by_the_next_one_on_time() -> None:
    known = after([0.0, 0.0, 4.0, 2.0, 0.0])
    assert [each.due_s for each in known] == [5.0, 10.0, 15.0, 20.0, 25.0]
    assert math.isclose(known[-1].peak_s, 4.0, rel_tol=0.02)
    known = after([0.0, 0.0, 8.0, 3.0, 0.0])
    assert [each.due_s for each in known] == [5.0, 10.0, 23.0, 23.0, 25.0]


# Beats that are late by more than a period, on a link that was in time until then.
IN_TIME = [0.0] * 20
ACCIDENT_S = 8.0


def test_accident_on_a_link_that_was_in_time_is_not_believed() -> None:
    known = after([*IN_TIME, ACCIDENT_S, *IN_TIME])
    assert [each.peak_s for each in known] == [0.0] * len(known)


def test_accident_that_happens_again_is_believed() -> None:
    known = after([*IN_TIME, ACCIDENT_S, *IN_TIME, ACCIDENT_S / 2, *IN_TIME, 2 * ACCIDENT_S, 0.0])
    peaks = [round(each.peak_s, 1) for each in known]
    again, third = 2 * len(IN_TIME) + 1, 3 * len(IN_TIME) + 2
    assert peaks[again - 1] == 0.0
    assert peaks[again] == ACCIDENT_S / 2
    # By now it is a link that is late now and then.
    assert peaks[third] == PEAK_MOST_PERIODS * PERIOD_S


def test_accident_is_half_forgotten_in_an_hour() -> None:
    beats = round(DOUBT_HALF_LIFE_S / PERIOD_S)
    known = after([*IN_TIME, ACCIDENT_S, *[0.0] * (beats - 1), ACCIDENT_S])
    assert math.isclose(known[-1].peak_s, ACCIDENT_S / 2, rel_tol=0.01)


def test_great_lateness_of_a_link_that_is_late_now_and_then_is_believed_at_once() -> None:
    known = after([*IN_TIME, IN_TIME_PERIODS * PERIOD_S + 0.1, 0.0, ACCIDENT_S])
    assert math.isclose(known[-1].peak_s, ACCIDENT_S)


def test_next_link_knows_of_the_accident_on_the_last() -> None:
    last = after([*IN_TIME, ACCIDENT_S, 0.0])[-1]
    linked_s = last.heard_s + 1.0
    known = observe(
        none_yet(linked_s, PERIOD_S, doubt=last.doubt), linked_s, 0.0, PERIOD_S, PERIOD_S
    )
    assert known.peak_s == 0.0
    at_s = linked_s + PERIOD_S + ACCIDENT_S
    known = observe(known, at_s, PERIOD_S, PERIOD_S, PERIOD_S)
    assert math.isclose(known.peak_s, ACCIDENT_S, rel_tol=0.02)


def test_clock_that_jumps_ahead_is_followed_at_once() -> None:
    known = observe(first(0.0, 0.0, PERIOD_S), 5.0, 1e6, PERIOD_S, PERIOD_S)
    assert (known.due_s, known.peak_s) == (10.0, 0.0)


def test_peak_halves_in_ten_minutes_and_is_held_until_then() -> None:
    known = first(100.0, 0.0, PERIOD_S, 4.0)
    assert peak_s(known, 100.0) == 4.0
    assert peak_s(known, 100.0 + PEAK_HALF_LIFE_S) == 2.0
    assert peak_s(known, 100.0 + 3 * PEAK_HALF_LIFE_S) == 0.5


@given(st.lists(st.floats(0, 60), min_size=2, max_size=60))
def test_peak_is_never_below_lateness_that_is_believed_nor_above_what_can_count(
    delays_s: list[float],
) -> None:
    arrived_s = list(accumulate((n * PERIOD_S + d for n, d in enumerate(delays_s)), max))
    known = first(arrived_s[0], 0.0, PERIOD_S)
    for number, at_s in enumerate(arrived_s[1:], 1):
        before, known = known, observe(known, at_s, number * PERIOD_S, PERIOD_S, PERIOD_S)
        most_s = PEAK_MOST_PERIODS * PERIOD_S
        late_s = at_s - before.due_s
        is_believed = late_s <= PERIOD_S or peak_s(before, at_s) >= IN_TIME_PERIODS * PERIOD_S
        assert known.peak_s <= most_s
        assert not is_believed or known.peak_s >= min(late_s, most_s)
        assert known.peak_s >= peak_s(before, at_s) - 1e-9


def test_before_the_first_beat_of_a_link_nothing_is_taken_for_late() -> None:
    known = observe(none_yet(0.0, PERIOD_S, 1.0), 14.0, 3e5, PERIOD_S, PERIOD_S)
    assert (known.due_s, known.filled) == (19.0, 1)
    assert known.peak_s < 1.0
