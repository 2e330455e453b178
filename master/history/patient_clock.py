"""The wall clock as those see it who remove what is too old: one that is set years ahead must not
make a whole history too old before anybody has noticed.

A jump ahead of more than `TOLERATED_MS` is believed when the clock has stayed there for `HELD_MS`;
until then time goes on from where it was. Smaller ones cost little, and any jump back costs
nothing, so these are followed at once. Where time was when this process began is what the history's
files say: when they were last written to, by the same clock.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

DAY_MS: Final = 86_400_000

TOLERATED_MS: Final = 3 * DAY_MS
"""A long weekend: a master that was switched off for it has no reason to keep anything longer."""

HELD_MS: Final = DAY_MS
"""Long enough for time synchronisation, or for somebody to see where all the samples are."""


class PatientClock:
    """`written_wall_ms` is where time was before; None: nothing is known of that."""

    __slots__ = ("_ahead_ms", "_offset_ms", "_since_ms", "_steady_ms", "_wall_ms")

    def __init__(
        self,
        wall_ms: Callable[[], int],
        steady_ms: Callable[[], int],
        written_wall_ms: int | None,
    ) -> None:
        self._wall_ms = wall_ms
        self._steady_ms = steady_ms
        began_ms = wall_ms() if written_wall_ms is None else written_wall_ms
        self._since_ms = steady_ms()
        self._offset_ms = began_ms - self._since_ms
        self._ahead_ms = 0

    def __repr__(self) -> str:
        return f"<PatientClock{f', behind by {self._ahead_ms} ms' if self._ahead_ms else ''}>"

    def now_wall_ms(self) -> int:
        """Unix milliseconds: the wall clock's, or less."""
        steady_ms = self._steady_ms()
        ahead_ms = self._wall_ms() - steady_ms - self._offset_ms
        if ahead_ms <= TOLERATED_MS:
            self._believe(ahead_ms)
        elif abs(ahead_ms - self._ahead_ms) > TOLERATED_MS:
            self._ahead_ms, self._since_ms = ahead_ms, steady_ms
        elif steady_ms - self._since_ms >= HELD_MS:
            self._believe(ahead_ms)
        return steady_ms + self._offset_ms

    def _believe(self, ahead_ms: int) -> None:
        self._offset_ms += ahead_ms
        self._ahead_ms = 0


def last_written_ms(path: Path) -> int | None:
    """When the database at `path` was last written to; None: there is none."""
    files = (path, path.with_name(f"{path.name}-wal"))
    times = [each.stat().st_mtime_ns // 1_000_000 for each in files if each.exists()]
    return max(times, default=None)
