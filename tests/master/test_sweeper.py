"""The one owner of deadlines: never early, hardly late, and moving one later costs nothing."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from master.sweeper import GRANULARITY_S, NOT_SCHEDULED, Sweeper


class Item:
    """Something with a deadline; `expired_s` are the instants at which it came."""

    def __init__(self, at_s: float | None, every_s: float | None = None) -> None:
        self.scheduled_s = NOT_SCHEDULED
        self.at_s = at_s
        self.every_s = every_s
        self.expired_s: list[float] = []

    def deadline_s(self) -> float | None:
        return self.at_s

    def expire(self, now_s: float) -> None:
        assert self.at_s is not None
        assert now_s >= self.at_s, "early"
        self.expired_s.append(now_s)
        self.at_s = None if self.every_s is None else self.at_s + self.every_s


# --- the slots, without a clock -------------------------------------------------------------------


def test_item_expires_when_its_deadline_has_come_and_not_before() -> None:
    sweeper, item = Sweeper(), Item(10.0)
    sweeper.schedule(item)
    assert sweeper.sweep(9.999) == 10.0
    assert item.expired_s == []
    assert sweeper.sweep(10.0) == NOT_SCHEDULED
    assert item.expired_s == [10.0]


def test_deadline_that_moved_later_is_put_off_without_a_call() -> None:
    sweeper, item = Sweeper(), Item(10.0)
    sweeper.schedule(item)
    item.at_s = 15.0
    assert sweeper.sweep(10.0) == 15.0
    assert item.expired_s == []
    sweeper.sweep(15.0)
    assert item.expired_s == [15.0]


def test_deadline_that_moved_earlier_is_kept_once_it_is_scheduled() -> None:
    sweeper, item = Sweeper(), Item(10.0)
    sweeper.schedule(item)
    item.at_s = 5.0
    sweeper.schedule(item)
    assert 5.0 < sweeper.sweep(5.0) <= 10.0  # where it was is looked at once more
    assert item.expired_s == [5.0]
    assert sweeper.sweep(10.0) == NOT_SCHEDULED
    assert item.expired_s == [5.0]


def test_deadline_that_went_away_does_not_come() -> None:
    sweeper, item = Sweeper(), Item(10.0)
    sweeper.schedule(item)
    item.at_s = None
    assert sweeper.sweep(10.0) == NOT_SCHEDULED
    assert item.expired_s == []


def test_item_with_two_deadlines_gone_by_expires_for_both_in_one_sweep() -> None:
    sweeper, item = Sweeper(), Item(1.0, every_s=1.0)
    sweeper.schedule(item)
    assert sweeper.sweep(2.5) == 3.0
    assert item.expired_s == [2.5, 2.5]


def test_item_that_moves_later_all_the_time_keeps_one_place() -> None:
    sweeper, item = Sweeper(), Item(5.0)
    for beat in range(1_000):
        item.at_s = 5.0 + beat
        sweeper.schedule(item)
    assert repr(sweeper) == "<Sweeper of 1 deadlines>"


def test_item_that_moves_back_and_forth_leaves_nothing_behind() -> None:
    sweeper, item = Sweeper(), Item(None)
    for second in range(1_000):
        item.at_s = second + 10.0
        sweeper.schedule(item)
        item.at_s = second + 2.0
        sweeper.schedule(item)
        item.at_s = second + 10.0
        sweeper.sweep(float(second))
        places = sum(map(len, sweeper._slots.values()))
        assert places <= 12  # one a second, for as long as its time has not come
    assert item.expired_s == []
    item.at_s = 3_000.0
    assert sweeper.sweep(2_000.0) == 3_000.0
    assert repr(sweeper) == "<Sweeper of 1 deadlines>"


moves = st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(0, 60)), max_size=40)


@given(st.lists(st.none() | st.integers(0, 60), min_size=6, max_size=6), moves)
def test_however_deadlines_move_each_comes_at_the_sweep_that_is_due(
    deadlines: list[int | None], later_moves: list[tuple[int, int | None]]
) -> None:
    sweeper = Sweeper()
    items = [Item(None if at_s is None else float(at_s)) for at_s in deadlines]
    for item in items:
        sweeper.schedule(item)
    for now_s, (index, at_s) in enumerate(later_moves):
        items[index].at_s = None if at_s is None else float(now_s + at_s)
        sweeper.schedule(items[index])
        next_s = sweeper.sweep(float(now_s))
        due = [item.at_s for item in items if item.at_s is not None]
        assert all(at_s > now_s for at_s in due), "one was overlooked"
        assert next_s <= min(due, default=NOT_SCHEDULED), "one would be"


# --- the task, in virtual time -------------------------------------------------------------------


@pytest.fixture
def sweeper(nursery: trio.Nursery) -> Sweeper:
    sweeper = Sweeper()
    nursery.start_soon(sweeper.run)
    return sweeper


async def test_running_sweeper_is_never_early_and_at_most_its_granularity_late(
    sweeper: Sweeper, autojump_clock: MockClock
) -> None:
    began_s = trio.current_time()
    items = [Item(began_s + 0.003 * number) for number in range(1, 1_000)]
    for item in items:
        sweeper.schedule(item)
    await trio.sleep(4)
    lateness = [
        item.expired_s[0] - (began_s + 0.003 * number) for number, item in enumerate(items, 1)
    ]
    assert min(lateness) >= 0
    assert max(lateness) <= GRANULARITY_S + 1e-9


async def test_idle_sweeper_wakes_for_a_deadline_that_is_scheduled_later(
    sweeper: Sweeper, autojump_clock: MockClock
) -> None:
    await trio.sleep(100)
    item = Item(trio.current_time() + 1)
    sweeper.schedule(item)
    await trio.sleep(1.1)
    assert len(item.expired_s) == 1


async def test_earlier_deadline_wakes_a_sweeper_that_sleeps_until_a_later_one(
    sweeper: Sweeper, autojump_clock: MockClock
) -> None:
    began_s = trio.current_time()
    late, early = Item(began_s + 1_000), Item(began_s + 2)
    sweeper.schedule(late)
    await trio.sleep(1)
    sweeper.schedule(early)
    await trio.sleep(1.5)
    assert 2 <= early.expired_s[0] - began_s <= 2 + GRANULARITY_S
    assert late.expired_s == []


async def test_deadline_scheduled_by_an_expiry_is_not_overlooked(
    sweeper: Sweeper, autojump_clock: MockClock
) -> None:
    began_s = trio.current_time()
    second = Item(began_s + 1.5)

    class First(Item):
        def expire(self, now_s: float) -> None:
            super().expire(now_s)
            sweeper.schedule(second)

    sweeper.schedule(First(began_s + 1))
    await trio.sleep(2)
    assert 1.5 <= second.expired_s[0] - began_s <= 1.5 + GRANULARITY_S


async def test_sweeper_with_nothing_due_does_not_turn(
    sweeper: Sweeper, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeper.schedule(Item(trio.current_time() + 1_000))
    await trio.sleep(1)
    sweeps = list[float]()
    monkeypatch.setattr(sweeper, "sweep", sweeps.append)
    await trio.sleep(900)
    assert sweeps == []
