"""The waits between dials: within their bounds, spread over them, endless."""

from itertools import islice
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from shared.backoff import BACKOFF_CAP_S, BACKOFF_FLOOR_S, FIRST_RETRY_JITTER_S, delays_s

FLEET = 2_000


@given(st.integers(0, 2**32))
def test_first_retry_is_within_half_a_second(seed: int) -> None:
    assert 0 <= next(delays_s(Random(seed))) <= FIRST_RETRY_JITTER_S == 0.5


@given(st.integers(0, 2**32))
def test_ceiling_doubles_up_to_the_cap_and_the_floor_holds(seed: int) -> None:
    later = islice(delays_s(Random(seed)), 1, 101)
    for n, delay_s in enumerate(later, start=1):
        assert BACKOFF_FLOOR_S <= delay_s <= min(BACKOFF_CAP_S, BACKOFF_FLOOR_S * 2**n)


@given(st.integers(0, 2**32), st.floats(0.01, 1), st.floats(1, 100))
def test_bounds_are_the_callers(seed: int, floor_s: float, cap_s: float) -> None:
    later = islice(delays_s(Random(seed), floor_s=floor_s, cap_s=cap_s), 1, 40)
    assert all(floor_s <= delay_s <= cap_s for delay_s in later)


def test_fleet_that_lost_its_master_at_once_comes_back_evenly_spread() -> None:
    tenth = [next(islice(delays_s(Random(seed)), 10, None)) for seed in range(FLEET)]
    fifths = [0] * 5
    for delay_s in tenth:
        fifths[
            min(4, int((delay_s - BACKOFF_FLOOR_S) / (BACKOFF_CAP_S - BACKOFF_FLOOR_S) * 5))
        ] += 1
    assert all(0.8 * FLEET / 5 < count < 1.2 * FLEET / 5 for count in fifths), fifths
