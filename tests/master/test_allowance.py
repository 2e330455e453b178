"""A node may put into the history what an honest agent can have, and no more."""

from master.allowance import SAMPLES_AT_ONCE, SAMPLES_PER_S, Allowance


def taken(allowance: Allowance, wanted: int, now_s: float) -> int:
    """How many single samples of so many are let in at once."""
    return sum(allowance.take(1, now_s) for _ in range(wanted))


def test_day_of_samples_a_second_apart_comes_in_at_once() -> None:
    allowance = Allowance()
    assert all(allowance.take(128, 1000.0) for _ in range(86_400 // 128))


def test_more_than_any_spool_holds_is_not_let_in_at_once() -> None:
    assert taken(Allowance(), 2 * SAMPLES_AT_ONCE, 1000.0) == SAMPLES_AT_ONCE


def test_afterwards_it_is_as_many_as_come_back_with_time() -> None:
    allowance = Allowance()
    taken(allowance, SAMPLES_AT_ONCE, 1000.0)
    assert taken(allowance, 10_000, 1060.0) == 60 * SAMPLES_PER_S


def test_what_is_refused_costs_nothing() -> None:
    allowance = Allowance()
    assert not allowance.take(SAMPLES_AT_ONCE + 1, 1000.0)
    assert allowance.take(SAMPLES_AT_ONCE, 1000.0)


def test_what_was_not_taken_after_all_is_given_back() -> None:
    allowance = Allowance()
    for second in range(1000, 90_000):  # a disk that is full for a day
        assert allowance.take(128, float(second))
        allowance.give_back(128)
    assert allowance.take(SAMPLES_AT_ONCE, 90_000.0)


def test_honest_beats_never_run_out() -> None:
    allowance = Allowance()
    assert all(allowance.take(1, float(second)) for second in range(1000, 300_000))
