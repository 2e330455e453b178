"""When a key is renewed: spread over the fleet, early enough, and by the master's clock alone."""

import random

import pytest

from shared import messages as m
from shared.renewal import EARLIEST, LATEST, RETRY, RETRY_LEAST_S, renewal_due_in_s, renewal_retry_s

LIFE_S = 30 * 86_400


def welcome(life_s: int, remaining_s: int) -> m.Welcome:
    return m.Welcome(1, "id", "web", 5000, life_s, remaining_s, "0.1.0")


def test_fleet_that_joined_together_does_not_renew_together() -> None:
    fresh = welcome(LIFE_S, LIFE_S)
    delays = [renewal_due_in_s(fresh, random.Random(seed)) / LIFE_S for seed in range(1000)]
    assert EARLIEST <= min(delays) < EARLIEST + 0.01
    assert LATEST - 0.01 < max(delays) <= LATEST
    tenths = [sum(1 for delay in delays if low <= delay < low + 0.1) for low in (0.5, 0.6, 0.7)]
    assert all(count > 250 for count in tenths)


def test_time_already_spent_counts() -> None:
    for seed in range(100):
        fresh = renewal_due_in_s(welcome(LIFE_S, LIFE_S), random.Random(seed))
        later = renewal_due_in_s(welcome(LIFE_S, LIFE_S - 1000), random.Random(seed))
        assert round(fresh - later, 3) == 1000


@pytest.mark.parametrize("remaining_s", [0, 1, LIFE_S // 10])
def test_certificate_that_is_nearly_over_is_renewed_at_once(remaining_s: int) -> None:
    assert renewal_due_in_s(welcome(LIFE_S, remaining_s), random.Random(1)) == 0.0


def test_master_that_does_not_answer_is_asked_again_in_measure() -> None:
    assert renewal_retry_s(welcome(LIFE_S, LIFE_S)) == RETRY * LIFE_S
    assert renewal_retry_s(welcome(0, 0)) == RETRY_LEAST_S
