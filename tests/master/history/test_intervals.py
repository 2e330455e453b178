"""A set of numbers as intervals holds what a plain set holds, and grows at its end at once."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.history.intervals import LARGEST_NUMBER, Intervals

NUMBERS = st.integers(0, 60)
RANGES = st.tuples(NUMBERS, st.integers(0, 12)).map(lambda pair: (pair[0], sum(pair)))


def numbers_of(ranges: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(st.lists(RANGES))
def test_holds_what_a_plain_set_holds(ranges: list[tuple[int, int]]) -> None:
    intervals, plain = Intervals(), set[int]()
    for first, last in ranges:
        new = numbers_of([(first, last)]) - plain
        assert intervals.add_range(first, last) == len(new)
        plain |= new
        assert len(intervals) == len(plain)
    assert numbers_of(list(intervals.ranges())) == plain
    assert all((number in intervals) == (number in plain) for number in range(-2, 90))


@given(st.lists(NUMBERS))
def test_number_alone_is_new_when_it_was_not_there(numbers: list[int]) -> None:
    intervals, plain = Intervals(), set[int]()
    for number in numbers:
        assert intervals.add(number) == (number not in plain)
        plain.add(number)
    assert numbers_of(list(intervals.ranges())) == plain


@given(st.lists(RANGES))
def test_intervals_ascend_and_do_not_touch(ranges: list[tuple[int, int]]) -> None:
    held = list(Intervals(ranges).ranges())
    assert all(first <= last for first, last in held)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(held))


@given(st.lists(RANGES), st.lists(RANGES))
def test_merged_holds_what_is_in_either(
    ours: list[tuple[int, int]], theirs: list[tuple[int, int]]
) -> None:
    merged = Intervals(ours).merged(Intervals(theirs))
    assert merged == Intervals(ours + theirs)
    assert len(merged) == len(numbers_of(ours + theirs))


def test_merged_leaves_both_as_they_were() -> None:
    ours, theirs = Intervals([(1, 3)]), Intervals([(4, 6)])
    assert list(ours.merged(theirs).ranges()) == [(1, 6)]
    assert (list(ours.ranges()), list(theirs.ranges())) == ([(1, 3)], [(4, 6)])


@given(st.lists(st.tuples(st.integers(0, 2**53), st.integers(0, 2**20))))
def test_bytes_say_everything(starts: list[tuple[int, int]]) -> None:
    intervals = Intervals((first, first + more) for first, more in starts)
    read = Intervals.from_bytes(intervals.to_bytes())
    assert (read, len(read)) == (intervals, len(intervals))


def test_day_of_samples_without_a_hole_is_seven_bytes() -> None:
    assert len(Intervals([(86_400_000, 86_400_000 + 86_399)]).to_bytes()) == 7


@given(st.binary())
def test_other_bytes_are_a_set_or_an_error(packed: bytes) -> None:
    try:
        intervals = Intervals.from_bytes(packed)
    except ValueError:
        return
    assert Intervals.from_bytes(intervals.to_bytes()) == intervals


@pytest.mark.parametrize(
    ("first", "last"),
    [(-1, 3), (5, 4), (0, LARGEST_NUMBER + 1)],
    ids=["negative", "backwards", "too-large"],
)
def test_what_is_no_interval_is_refused(first: int, last: int) -> None:
    intervals = Intervals([(1, 2)])
    with pytest.raises(ValueError, match="expected numbers"):
        intervals.add_range(first, last)
    assert list(intervals.ranges()) == [(1, 2)]


def test_number_behind_the_largest_is_refused() -> None:
    intervals = Intervals([(LARGEST_NUMBER, LARGEST_NUMBER)])
    with pytest.raises(ValueError, match="expected numbers"):
        intervals.add(LARGEST_NUMBER + 1)


def test_many_holes_are_shown_shortly() -> None:
    assert repr(Intervals([(1, 3), (7, 7)])) == "<Intervals 1-3, 7-7>"
    assert len(repr(Intervals((n, n) for n in range(0, 1000, 2)))) < 100
