"""The master's wall clock as the history reads it: it goes on evenly, and is corrected.

Time comes from a monotonic clock, on top of what the wall clock showed. When somebody sets the wall
clock, the history follows, because people ask for the past by that clock:

- set forward, or the master's host was suspended: at once. A gap that nobody lived through stays.
- set back by up to `SLOWED_MS`: the history's clock runs at half speed until the other has caught
  up. Samples stay in order, and closer together for a while.
- set back by more: at once. Standing still for that long would be worse than what it costs: the
  time in between is in the history twice, with samples of before and of after.

Nothing is lost either way: a sample's name is its number, not its time.
"""

from collections.abc import Callable
from typing import Final

JUMP_MS: Final = 1000
"""Less is not worth telling: two clocks are never read at the same instant."""

SLOWED_MS: Final = 60_000


class SteadyClock:
    """`on_jump` is told by how many milliseconds the wall clock was set, forward or back."""

    __slots__ = ("_is_slowed", "_offset_ms", "_on_jump", "_read_ms", "_steady_ms", "_wall_ms")

    def __init__(
        self,
        wall_ms: Callable[[], int],
        steady_ms: Callable[[], int],
        on_jump: Callable[[int], None],
    ) -> None:
        self._wall_ms = wall_ms
        self._steady_ms = steady_ms
        self._on_jump = on_jump
        self._read_ms = steady_ms()
        self._offset_ms = wall_ms() - self._read_ms
        self._is_slowed = False

    def __repr__(self) -> str:
        return f"<SteadyClock{', slowed' if self._is_slowed else ''}>"

    def now_wall_ms(self) -> int:
        """Unix milliseconds. Never less than before, but after a jump that is told."""
        steady_ms = self._steady_ms()
        ahead_ms = self._wall_ms() - steady_ms - self._offset_ms
        if ahead_ms:
            if abs(ahead_ms) >= JUMP_MS:
                # This process may have stood still between the two readings.
                steady_ms = self._steady_ms()
                ahead_ms = self._wall_ms() - steady_ms - self._offset_ms
            self._correct(ahead_ms, steady_ms - self._read_ms)
        self._read_ms = steady_ms
        return steady_ms + self._offset_ms

    def _correct(self, ahead_ms: int, elapsed_ms: int) -> None:
        if -SLOWED_MS <= ahead_ms < 0:
            if ahead_ms <= -JUMP_MS and not self._is_slowed:
                self._is_slowed = True
                self._on_jump(ahead_ms)
            correction_ms = max(ahead_ms, -(elapsed_ms // 2))
            self._offset_ms += correction_ms
            self._is_slowed = self._is_slowed and correction_ms > ahead_ms
            return
        self._is_slowed = False
        self._offset_ms += ahead_ms
        if abs(ahead_ms) >= JUMP_MS:
            self._on_jump(ahead_ms)
