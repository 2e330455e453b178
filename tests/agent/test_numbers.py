"""Sets of numbers as stretches: whatever is done to them, they hold what a plain set would."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.numbers import Numbers

STRETCHES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda pair: (pair[0], sum(pair)))
)


def numbers_of(stretches: list[tuple[int, int]]) -> Numbers:
    numbers = Numbers()
    for first, last in stretches:
        numbers.add(first, last)
    return numbers


def plain(stretches: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in stretches for number in range(first, last + 1)}


def assert_same(numbers: Numbers, expected: set[int]) -> None:
    assert list(numbers) == sorted(expected)
    assert len(numbers) == len(expected)
    assert bool(numbers) == bool(expected)
    assert {number for number in range(-1, 80) if number in numbers} == expected
    # Stretches that touched would be one.
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(numbers.stretches()))


@given(STRETCHES, STRETCHES)
def test_numbers_are_added_and_taken_out(
    added: list[tuple[int, int]], taken: list[tuple[int, int]]
) -> None:
    numbers, expected = numbers_of(added), plain(added)
    assert_same(numbers, expected)
    for first, last in taken:
        numbers.discard(first, last)
        expected -= plain([(first, last)])
        assert_same(numbers, expected)


@given(STRETCHES, STRETCHES, st.integers(-5, 70), st.integers(-5, 70), st.integers(0, 30))
def test_parts_of_a_set_are_sets_of_their_own(
    some: list[tuple[int, int]], others: list[tuple[int, int]], first: int, last: int, count: int
) -> None:
    numbers, expected = numbers_of(some), plain(some)
    assert_same(numbers.common(numbers_of(others)), expected & plain(others))
    assert_same(numbers.between(first, last), {n for n in expected if first <= n <= last})
    assert_same(numbers.least(count), set(sorted(expected)[:count]))
    copied = numbers.copy()
    copied.discard_all(numbers_of(others))
    assert_same(copied, expected - plain(others))
    copied.add_all(numbers_of(others))
    assert_same(copied, expected | plain(others))
    assert_same(numbers, expected)
