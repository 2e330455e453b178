"""The ledger: every sample that should be there is in one of its columns, and in one only."""

import random
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.history.ledger import UNDER_WAY_MS, Account, Ledger, Outlook, Tally
from master.history.stretches import Loss, Seen, Stretch, joined, stretches_of
from shared.messages import Gap

BEGAN_MS = 1_000_000
PERIOD_MS = 5_000
ALWAYS = (0, 2**50)
GAPS = 1000


def at(number: int) -> int:
    return BEGAN_MS + number * PERIOD_MS


def stretches(
    numbers: Iterable[int],
    run: int = 1,
    *,
    shift_ms: int = 0,
    late: frozenset[int] = frozenset(),
    period_ms: int = PERIOD_MS,
) -> list[Stretch]:
    """Samples of a run that are stored; the number 0 is taken at `BEGAN_MS`."""
    kept = list(numbers)
    seen = Seen(
        np.ones(len(kept), np.int64),
        np.full(len(kept), run, np.int32),
        np.array(kept, np.int64),
        np.array([BEGAN_MS + shift_ms + number * period_ms for number in kept], np.int64),
        np.full(len(kept), period_ms, np.int64),
        np.array([number in late for number in kept], np.bool_),
    )
    return stretches_of(seen).get(1, [])


def tally(
    kept: list[Stretch],
    losses: Iterable[Loss] = (),
    first_numbers: dict[int, int] | None = None,
    outlook: Outlook | None = None,
    span: tuple[int, int] = ALWAYS,
) -> Tally:
    account = Account(kept, list(losses), first_numbers or {})
    last_ms = max(stretch.last_wall_ms for stretch in kept)
    return Ledger(account, outlook or Outlook(last_ms)).over(*span, GAPS)


def counts(found: Tally) -> tuple[int, int, int, int, int]:
    return found[:5]


# --- stretches -----------------------------------------------------------------------------------


def test_samples_that_follow_each_other_are_one_stretch_however_they_come() -> None:
    numbers = list(range(100))
    random.Random(1).shuffle(numbers)
    assert stretches(numbers) == [Stretch(1, 0, 99, at(0), at(99), PERIOD_MS, is_late=False)]


def test_stretch_ends_where_a_number_is_missing_and_where_some_came_late() -> None:
    found = stretches([0, 1, 2, 4, 5, 6, 7], late=frozenset({6, 7}))
    assert [(each.first, each.last, each.is_late) for each in found] == [
        (0, 2, False),
        (4, 5, False),
        (6, 7, True),
    ]


def test_stretch_ends_where_more_time_passed_than_a_period() -> None:
    times = np.array([0, 5_000, 10_040, 14_960, 30_000, 35_000], np.int64)
    periods = np.full(6, PERIOD_MS, np.int64)
    numbers = np.arange(6, dtype=np.int64)
    ones = np.ones(6, np.int64)
    found = stretches_of(Seen(ones, ones.astype(np.int32), numbers, times, periods, ones > 1))
    assert [(each.first, each.last) for each in found[1]] == [(0, 3), (4, 5)]


def test_stretch_ends_where_the_cadence_changes_and_not_for_its_jitter() -> None:
    periods = np.array([5_000, 4_988, 5_000, 1_000, 1_000], np.int64)
    times = np.cumsum(np.array([0, 5_000, 4_988, 5_000, 1_000], np.int64))
    numbers = np.arange(5, dtype=np.int64)
    ones = np.ones(5, np.int64)
    found = stretches_of(Seen(ones, ones.astype(np.int32), numbers, times, periods, ones > 1))
    assert [(each.first, each.last) for each in found[1]] == [(0, 2), (3, 4)]


def test_stretches_of_nodes_keep_apart_even_where_run_and_numbers_go_on() -> None:
    node = np.array([2, 1, 2, 1], np.int64)
    number = np.array([4, 1, 3, 2], np.int64)
    ones = np.ones(4, np.int64)
    found = stretches_of(
        Seen(node, ones.astype(np.int32), number, number * PERIOD_MS, ones * PERIOD_MS, ones > 1)
    )
    assert {each: (kept.first, kept.last) for each, [kept] in found.items()} == {
        1: (1, 2),
        2: (3, 4),
    }


@given(st.sets(st.integers(0, 200), min_size=1), st.lists(st.integers(0, 200)))
def test_stretches_that_were_made_apart_are_joined_to_the_same(
    numbers: set[int], cuts: list[int]
) -> None:
    parts: list[Stretch] = []
    bounds = [0, *sorted(cuts), 201]
    for begin, end in pairwise(bounds):
        parts += stretches(sorted(numbers & set(range(begin, end))))
    random.Random(2).shuffle(parts)
    assert joined(parts) == stretches(sorted(numbers))


# --- the ledger ----------------------------------------------------------------------------------


def test_all_that_is_there_is_stored_and_nothing_is_missing() -> None:
    assert counts(tally(stretches(range(100)))) == (100, 0, 0, 0, 0)


def test_numbers_that_are_missing_within_a_run_are_lost() -> None:
    found = tally(stretches([*range(10), *range(15, 20)]))
    assert counts(found) == (15, 0, 5, 0, 0)
    assert found.gaps == (Gap(at(10), at(15), "lost", 5),)


def test_time_without_a_number_was_not_collected() -> None:
    before, after = stretches(range(10)), stretches(range(10, 20), shift_ms=60_000)
    found = tally([*before, *after])
    assert counts(found) == (20, 0, 0, 12, 0)
    assert [gap.kind for gap in found.gaps] == ["never-collected"]


def test_numbers_and_time_that_are_missing_together_are_both_told() -> None:
    before, after = stretches(range(10)), stretches(range(13, 20), shift_ms=60_000)
    assert counts(tally([*before, *after])) == (17, 0, 3, 12, 0)


def test_between_two_runs_nothing_was_collected() -> None:
    found = tally([*stretches(range(10)), *stretches(range(10), 2, shift_ms=120_000)])
    # The last of the first run was taken at 45 s, the first of the second at 120 s.
    assert counts(found) == (20, 0, 0, 14, 0)


def test_run_whose_first_numbers_are_not_there_has_lost_them() -> None:
    second = stretches(range(4, 10), 2, shift_ms=120_000)
    found = tally([*stretches(range(10)), *second], first_numbers={2: 0})
    assert counts(found) == (16, 0, 4, 14, 0)


def test_losses_between_runs_are_counted_as_told() -> None:
    told = Loss(1, 10, 15, at(10), at(15))
    second = stretches(range(10), 2, shift_ms=120_000)
    assert counts(tally([*stretches(range(10)), *second], [told])) == (20, 0, 6, 8, 0)


def test_run_of_which_nothing_is_left_but_what_was_told_is_in_the_account() -> None:
    told = Loss(2, 0, 5, at(20), at(25))
    third = stretches(range(5), 3, shift_ms=40 * PERIOD_MS)
    found = tally([*stretches(range(10)), *third], [told])
    assert counts(found) == (15, 0, 6, 10 + 14, 0)


def test_single_sample_that_is_all_that_a_run_lost_is_one_period_long() -> None:
    kept = [*stretches(range(5), run=1), *stretches(range(11, 16), run=3)]
    found = tally(kept, [Loss(2, 70, 70, at(7), at(7))], {1: 0, 2: 70, 3: 11})
    assert counts(found) == (10, 0, 1, 5, 0)
    assert [(gap.kind, gap.samples) for gap in found.gaps] == [
        ("never-collected", 2),
        ("lost", 1),
        ("never-collected", 3),
    ]


def test_loss_that_is_told_again_and_that_came_all_the_same_counts_once_or_not_at_all() -> None:
    told = [Loss(1, 8, 12, at(8), at(12)), Loss(1, 11, 13, at(11), at(13))]
    found = tally(stretches([*range(10), *range(13, 20)]), told)
    assert counts(found) == (17, 0, 3, 0, 0)


def test_late_samples_are_stored_and_told_of() -> None:
    found = tally(stretches(range(20), late=frozenset(range(5, 12))))
    assert counts(found) == (20, 7, 0, 0, 0)
    assert found.gaps == (Gap(at(5), at(12), "late", 7),)


def test_after_the_last_sample_more_are_awaited() -> None:
    kept = stretches(range(10))
    now_ms = at(9) + 4 * PERIOD_MS + UNDER_WAY_MS
    found = tally(kept, outlook=Outlook(now_ms))
    assert counts(found) == (10, 0, 0, 0, 4)
    assert found.gaps == (Gap(at(10), at(14), "awaited", 4),)
    assert counts(tally(kept, outlook=Outlook(now_ms - 1))) == (10, 0, 0, 0, 3)


def test_sample_that_is_just_due_is_not_awaited_yet() -> None:
    found = tally(stretches(range(10)), outlook=Outlook(at(10) + UNDER_WAY_MS - 1))
    assert counts(found) == (10, 0, 0, 0, 0)


def test_nobody_is_awaited_who_took_his_leave() -> None:
    outlook = Outlook(at(19) + UNDER_WAY_MS, is_expected=False)
    assert counts(tally(stretches(range(10)), outlook=outlook)) == (10, 0, 0, 10, 0)


def test_what_a_spool_may_still_hold_is_awaited_and_not_lost() -> None:
    kept = [*stretches([*range(10), *range(15, 20)]), *stretches(range(5), 2, shift_ms=200_000)]
    outlook = Outlook(BEGAN_MS + 220_000, spooled_since_wall_ms=0)
    found = tally(kept, outlook=outlook)
    assert (found.lost, found.never_collected) == (0, 0)
    assert found.awaited == 5 + 20
    # What lies before is as it is.
    older = Outlook(BEGAN_MS + 220_000, spooled_since_wall_ms=at(16))
    assert tally(kept, outlook=older).lost == 5


def test_what_was_told_lost_is_not_awaited() -> None:
    told = Loss(1, 10, 14, at(10), at(14))
    outlook = Outlook(at(19), spooled_since_wall_ms=0)
    kept = stretches([*range(10), *range(15, 20)])
    assert counts(tally(kept, [told], outlook=outlook)) == (15, 0, 5, 0, 0)


def test_only_the_newest_gaps_are_named_and_all_are_counted() -> None:
    account = Account(stretches(range(0, 100, 2)), [], {})
    found = Ledger(account, Outlook(at(98))).over(*ALWAYS, 3)
    assert found.lost == 49
    assert [gap.from_wall_ms for gap in found.gaps] == [at(93), at(95), at(97)]
    assert Ledger(account, Outlook(at(98))).over(*ALWAYS, 0).gaps == ()


def test_two_hosts_with_one_identity_break_no_account() -> None:
    # Two runs at the same time: there is no order between them, and no negative count.
    found = tally([*stretches(range(100)), *stretches(range(100), 2, shift_ms=2_500)])
    assert found.stored == 200
    assert min(counts(found)) >= 0


@given(
    st.sets(st.integers(0, 300), min_size=2),
    st.sets(st.integers(0, 300)),
    st.lists(st.integers(-10, 320), max_size=6),
)
def test_spans_that_follow_each_other_add_up(
    numbers: set[int], late: set[int], cuts: list[int]
) -> None:
    kept = stretches(sorted(numbers), late=frozenset(late))
    outlook = Outlook(at(max(numbers)) + 60_000)
    bounds = [0, *sorted(at(cut) + 1_234 for cut in cuts), 2**50]
    parts = [tally(kept, outlook=outlook, span=span) for span in pairwise(bounds)]
    whole = tally(kept, outlook=outlook)
    summed = tuple(sum(column) for column in zip(*map(counts, parts), strict=True))
    assert summed == counts(whole)
    assert whole.stored == len(numbers)
    assert whole.stored + whole.lost == max(numbers) - min(numbers) + 1
    assert whole.late == len(numbers & late)


@given(st.integers(0, 99), st.integers(0, 99))
def test_span_has_the_samples_that_were_taken_in_it(first: int, last: int) -> None:
    span = (at(min(first, last)), at(max(first, last)))
    assert tally(stretches(range(100)), span=span).stored == abs(last - first)


@pytest.mark.parametrize("missing", [1, 2, 17])
def test_hole_lies_in_the_day_in_which_it_was(missing: int) -> None:
    kept = stretches([*range(50), *range(50 + missing, 100)])
    assert tally(kept, span=(0, at(50))).lost == 0
    assert tally(kept, span=(at(50), at(50 + missing))).lost == missing
    assert tally(kept, span=(at(50 + missing), 2**50)).lost == 0
