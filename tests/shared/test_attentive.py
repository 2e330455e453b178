"""The attentive clock, under real event loops whose monotonic clock is made to jump."""

import time
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from shared.attentive import STALL_S, TICK_S, AttentiveClock, tell_of_stalls

FROZEN_S = 40.0


class Monotonic:
    """A monotonic clock on which the process can be made to have been frozen."""

    def __init__(self) -> None:
        self.frozen_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.frozen_s


def run_frozen(scenario: Callable[[Monotonic, AttentiveClock], Awaitable[None]]) -> AttentiveClock:
    monotonic = Monotonic()
    clock = AttentiveClock(monotonic)

    async def main() -> None:
        with trio.fail_after(20):
            await scenario(monotonic, clock)

    trio.run(main, clock=clock)
    return clock


def test_deadline_that_was_ahead_is_as_far_ahead_after_a_freeze() -> None:
    async def scenario(monotonic: Monotonic, clock: AttentiveClock) -> None:
        begun_s, begun_real_s = trio.current_time(), time.monotonic()
        with trio.move_on_after(1.0) as scope:
            await trio.sleep(0.1)
            monotonic.frozen_s += FROZEN_S
            await trio.sleep_forever()
        assert scope.cancelled_caught
        assert 1.0 <= trio.current_time() - begun_s < 1.0 + TICK_S + STALL_S
        # Of the freeze a tick is counted; the rest of the second was waited for.
        assert time.monotonic() - begun_real_s >= 0.7

    clock = run_frozen(scenario)
    assert clock.stalls == 1
    assert clock.missed_s == pytest.approx(FROZEN_S, abs=TICK_S + 0.1)


def test_time_never_goes_back_across_freezes() -> None:
    async def scenario(monotonic: Monotonic, clock: AttentiveClock) -> None:
        seen = [trio.current_time()]
        for freeze_s in (0.1, 0.6, 0.74, 0.76, 1.0, FROZEN_S):
            monotonic.frozen_s += freeze_s
            seen += [trio.current_time() for _ in range(10)]
            await trio.lowlevel.checkpoint()
        assert seen == sorted(seen)
        assert seen[-1] - seen[0] < 3.0

    run_frozen(scenario)


def test_idle_loop_sleeps_as_long_as_it_is_asked_to_and_nothing_is_missed() -> None:
    async def scenario(monotonic: Monotonic, clock: AttentiveClock) -> None:
        begun_s = time.monotonic()
        await trio.sleep(1.3)
        assert 1.3 <= time.monotonic() - begun_s < 3.0

    clock = run_frozen(scenario)
    assert (clock.stalls, clock.missed_s) == (0, 0.0)


def test_stall_is_told_of_once_with_its_length() -> None:
    told: list[float] = []

    async def scenario(monotonic: Monotonic, clock: AttentiveClock) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(tell_of_stalls, told.append, clock))
            await trio.sleep(0.1)
            monotonic.frozen_s += FROZEN_S
            await trio.sleep(1.0)
            nursery.cancel_scope.cancel()

    run_frozen(scenario)
    assert told == [pytest.approx(FROZEN_S, abs=TICK_S + 0.1)]


@given(st.lists(st.floats(0, 100), max_size=50))
def test_clock_counts_every_short_gap_and_a_tick_of_every_long_one(gaps_s: list[float]) -> None:
    now_s = 1_000.0
    clock = AttentiveClock(lambda: now_s)
    clock.start_clock()
    begun_s = clock.current_time()
    counted_s = 0.0
    for gap_s in gaps_s:
        now_s += gap_s
        counted_s += gap_s if gap_s <= TICK_S + STALL_S else TICK_S
        assert clock.current_time() - begun_s == pytest.approx(counted_s, abs=1e-6)
    assert clock.stalls == sum(gap_s > TICK_S + STALL_S for gap_s in gaps_s)


@given(st.floats(-10, 1e6))
def test_loop_never_sleeps_so_long_that_it_would_look_like_a_stall(ahead_s: float) -> None:
    clock = AttentiveClock(lambda: 5.0)
    clock.start_clock()
    assert clock.deadline_to_sleep_time(5.0 + ahead_s) == pytest.approx(min(TICK_S, ahead_s))
