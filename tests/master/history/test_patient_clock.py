"""A clock that is set far ahead makes nothing too old before it has stayed there for a day."""

import os
from pathlib import Path

import pytest

from master.history.history import History
from master.history.patient_clock import (
    DAY_MS,
    HELD_MS,
    TOLERATED_MS,
    PatientClock,
    last_written_ms,
)
from shared.settings import HistorySettings

WALL_MS = 1_800_000_000_000
YEARS_MS = 10 * 365 * DAY_MS
HOUR_MS = 3_600_000


class Host:
    """Two clocks: one that somebody may set, and one that nobody can."""

    def __init__(self, written_wall_ms: int | None = None) -> None:
        self.wall_ms = WALL_MS
        self.steady_ms = 7
        self.clock = PatientClock(lambda: self.wall_ms, lambda: self.steady_ms, written_wall_ms)

    def after(self, for_ms: int) -> int:
        """What the clock shows, from the beginning, so much later, looked at each hour."""
        for _ in range(for_ms // HOUR_MS):
            self.wall_ms += HOUR_MS
            self.steady_ms += HOUR_MS
            self.clock.now_wall_ms()
        return self.clock.now_wall_ms() - WALL_MS


def test_untouched_clock_is_shown_as_it_is() -> None:
    assert Host().after(10 * HOUR_MS) == 10 * HOUR_MS


def test_clock_set_years_ahead_and_back_made_nothing_older() -> None:
    host = Host()
    host.wall_ms += YEARS_MS
    assert host.after(HELD_MS - HOUR_MS) == HELD_MS - HOUR_MS
    host.wall_ms -= YEARS_MS
    assert host.after(HOUR_MS) == HELD_MS


def test_clock_that_stays_where_it_was_set_is_believed_in_the_end() -> None:
    host = Host()
    host.wall_ms += YEARS_MS
    assert host.after(HELD_MS + HOUR_MS) == YEARS_MS + HELD_MS + HOUR_MS


def test_clock_that_goes_on_jumping_is_not_believed() -> None:
    host = Host()
    for times in range(1, 5):
        host.wall_ms += YEARS_MS
        assert host.after(HELD_MS - HOUR_MS) == times * (HELD_MS - HOUR_MS)


@pytest.mark.parametrize("by_ms", [TOLERATED_MS, -YEARS_MS], ids=["a-weekend", "back"])
def test_what_costs_little_is_followed_at_once(by_ms: int) -> None:
    host = Host()
    host.wall_ms += by_ms
    assert host.after(0) == by_ms


def test_master_that_was_off_for_long_keeps_everything_for_a_day() -> None:
    host = Host(WALL_MS - 30 * DAY_MS)
    assert host.after(0) == -30 * DAY_MS
    assert host.after(HELD_MS) == HELD_MS


def test_files_say_when_they_were_last_written(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    assert last_written_ms(path) is None
    History.open(path, HistorySettings()).close()
    os.utime(path, ns=(0, 1_500_000_000 * 10**9))
    assert last_written_ms(path) == 1_500_000_000_000
