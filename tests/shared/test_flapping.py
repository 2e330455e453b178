"""Coming and going: when it counts as flapping, and when that is over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.flapping import (
    BEGINS_AT,
    ENDS_AT,
    HALF_LIFE_S,
    Flapping,
    ends_s,
    penalty_at,
    recovered,
    settled,
)


def after(recoveries_s: list[float]) -> Flapping:
    flapping = Flapping()
    for at_s in recoveries_s:
        flapping = recovered(flapping, at_s)
    return flapping


def test_fourth_return_within_a_few_minutes_begins_it() -> None:
    assert not after([0.0, 30.0, 60.0]).is_on
    assert after([0.0, 30.0, 60.0, 90.0]).is_on


def test_returns_that_are_far_apart_never_do() -> None:
    assert not after([number * HALF_LIFE_S * 1.1 for number in range(100)]).is_on


def test_it_ends_when_the_penalty_has_decayed_and_not_before() -> None:
    flapping = after([0.0, 1.0, 2.0, 3.0])
    over_s = ends_s(flapping)
    assert over_s == pytest.approx(3.0 + HALF_LIFE_S * 2, abs=5)
    assert settled(flapping, over_s - 0.1) is flapping
    assert not settled(flapping, over_s).is_on


def test_another_return_puts_the_end_off() -> None:
    flapping = after([0.0, 1.0, 2.0, 3.0])
    again = recovered(flapping, 500.0)
    assert again.is_on
    assert ends_s(again) > ends_s(flapping)


def test_what_does_not_flap_has_no_end_to_it() -> None:
    assert ends_s(Flapping()) == float("inf")
    assert settled(Flapping(0.5), 1e9) == Flapping(0.5)


@given(st.lists(st.floats(0, 1_000), max_size=50), st.floats(0, 1e6))
def test_it_is_on_between_its_two_marks_only_if_it_was(gaps_s: list[float], wait_s: float) -> None:
    flapping, now_s = Flapping(), 0.0
    for gap_s in gaps_s:
        now_s += gap_s
        was_on = settled(flapping, now_s).is_on
        flapping = recovered(settled(flapping, now_s), now_s)
        assert flapping.is_on == (was_on or flapping.penalty >= BEGINS_AT)
    later = settled(flapping, now_s + wait_s)
    if later.is_on:
        assert penalty_at(flapping, now_s + wait_s) > ENDS_AT
        assert ends_s(later) > now_s + wait_s
    if flapping.is_on:
        assert not settled(flapping, ends_s(flapping)).is_on
