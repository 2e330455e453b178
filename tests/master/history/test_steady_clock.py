"""The history's clock follows the wall clock, and does not run backwards where it can help it."""

import pytest

from master.history.steady_clock import JUMP_MS, SLOWED_MS, SteadyClock

WALL_MS = 1_800_000_000_000


class Host:
    """Two clocks: one that somebody may set, and one that nobody can."""

    def __init__(self) -> None:
        self.wall_ms = WALL_MS
        self.steady_ms = 5_000
        self.jumps: list[int] = []
        self.clock = SteadyClock(lambda: self.wall_ms, lambda: self.steady_ms, self.jumps.append)

    def after(self, for_ms: int) -> int:
        """What the history's clock shows, from the beginning, so much later."""
        self.wall_ms += for_ms
        self.steady_ms += for_ms
        return self.clock.now_wall_ms() - WALL_MS


def test_untouched_clock_is_shown_as_it_is() -> None:
    host = Host()
    assert [host.after(500) for _ in range(4)] == [500, 1_000, 1_500, 2_000]
    assert host.jumps == []


def test_clock_that_is_set_forward_is_followed_at_once_and_told() -> None:
    host = Host()
    host.wall_ms += 3_600_000
    assert host.after(1_000) == 3_601_000
    assert host.jumps == [3_600_000]


def test_suspension_of_the_masters_host_is_time_that_passed() -> None:
    host = Host()
    host.wall_ms += 60_000  # while the other clock stands still
    assert host.after(0) == 60_000


def test_clock_that_is_set_back_a_little_is_waited_for_at_half_speed() -> None:
    host = Host()
    host.wall_ms -= 4_000
    assert [host.after(2_000) for _ in range(6)] == [1_000, 2_000, 3_000, 4_000, 6_000, 8_000]
    assert host.jumps == [-4_000]


def test_each_time_it_is_set_back_is_told_once() -> None:
    host = Host()
    for _ in range(2):
        host.wall_ms -= 10_000
        for _ in range(30):
            host.after(1_000)
    assert host.jumps == [-10_000, -10_000]


def test_clock_that_is_set_back_far_is_followed_at_once_and_told() -> None:
    host = Host()
    host.wall_ms -= SLOWED_MS + 1
    assert host.after(1_000) == 1_000 - SLOWED_MS - 1
    assert host.jumps == [-SLOWED_MS - 1]


@pytest.mark.parametrize("by_ms", [1, -1, JUMP_MS - 1, 1 - JUMP_MS])
def test_little_corrections_are_not_told(by_ms: int) -> None:
    host = Host()
    host.wall_ms += by_ms
    before = host.after(0)
    for _ in range(4):
        later = host.after(1_000)
        assert later > before
        before = later
    assert before == 4_000 + by_ms
    assert host.jumps == []


def test_standing_still_between_two_readings_is_no_jump() -> None:
    # The process is stopped for 30 s after it has read the one and before it reads the other.
    steady_ms, wall_ms = iter([0, 1_000, 31_000]), iter([0, 31_000, 31_000])
    jumps: list[int] = []
    clock = SteadyClock(lambda: next(wall_ms), lambda: next(steady_ms), jumps.append)
    assert (clock.now_wall_ms(), jumps) == (31_000, [])


def test_rounding_of_two_clocks_never_shows_as_going_back() -> None:
    host, before = Host(), 0
    for turn in range(200):
        host.wall_ms += (-1) ** turn
        now = host.after(1)
        assert now >= before
        before = now
