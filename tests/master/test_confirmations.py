"""What is confirmed of a link's beats is on disk, all of it, whatever was refused in between."""

from hypothesis import given
from hypothesis import strategies as st

from master.confirmations import RANGES_LIMIT, Confirmations


def test_nothing_is_confirmed_before_it_is_stored() -> None:
    beats = Confirmations()
    beats.taken(41)
    assert (beats.upto, beats.last) == (0, 41)
    beats.stored_next()
    assert beats.upto == 41


def test_beats_are_confirmed_up_to_the_last_that_is_stored() -> None:
    beats = Confirmations()
    for sequence in (7, 8, 9):
        beats.taken(sequence)
    beats.stored_next()
    beats.stored_next()
    assert beats.upto == 8


def test_refused_beat_holds_up_what_comes_behind_it_until_it_has_come_again() -> None:
    beats = Confirmations()
    beats.taken(7)
    beats.refused(8)
    beats.taken(9)
    beats.stored_next()
    beats.stored_next()
    assert beats.upto == 7
    beats.came_again(8, 8)
    assert beats.upto == 9


def test_refused_first_beat_lets_nothing_be_confirmed() -> None:
    beats = Confirmations()
    beats.refused(7)
    beats.taken(8)
    beats.stored_next()
    assert beats.upto == 0


def test_refused_beats_may_come_again_in_several_pieces() -> None:
    beats = Confirmations()
    beats.taken(1)
    beats.stored_next()
    for sequence in range(2, 7):
        beats.refused(sequence)
    beats.taken(7)
    beats.stored_next()
    beats.came_again(1, 3)
    assert beats.upto == 3
    beats.came_again(4, 6)
    assert beats.upto == 7


def test_what_came_again_of_another_stretch_confirms_nothing_here() -> None:
    beats = Confirmations()
    beats.taken(7)
    beats.refused(8)
    beats.stored_next()
    beats.came_again(1, 6)
    beats.came_again(9, 20)
    assert beats.upto == 7


@given(st.lists(st.sampled_from(["taken", "refused", "stored", "again"]), max_size=400))
def test_everything_up_to_what_is_confirmed_is_stored(steps: list[str]) -> None:
    beats, stored, waiting, refused = Confirmations(), set[int](), list[int](), list[int]()
    number = before = 0
    for step in steps:
        if step == "taken":
            number += 1
            beats.taken(number)
            waiting.append(number)
        elif step == "refused":
            number += 1
            beats.refused(number)
            refused.append(number)
        elif step == "stored" and waiting:
            beats.stored_next()
            stored.add(waiting.pop(0))
        elif step == "again" and refused:
            # An agent sends what is not confirmed again, from the first that is missing.
            first, last = refused[0], refused[min(2, len(refused) - 1)]
            beats.came_again(first, last)
            stored |= set(range(first, last + 1))
            refused = refused[3:]
        assert before <= beats.upto <= number
        assert stored >= set(range(1, beats.upto + 1)) - set(waiting)
        before = beats.upto


def test_disk_that_refuses_now_and_then_costs_no_memory_without_bound() -> None:
    beats = Confirmations()
    for number in range(0, 100 * RANGES_LIMIT, 2):
        beats.refused(number)
        beats.taken(number + 1)
        beats.stored_next()
    assert beats.upto == 0
    beats.came_again(0, 100 * RANGES_LIMIT)
    assert beats.upto == 100 * RANGES_LIMIT - 1
