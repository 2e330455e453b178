"""When samples were taken, on the clock that the beats of this process are on.

Within one boot the host's clock since boot says how long ago that was, suspended or not. Samples of
another boot are placed by the wall clock: by the last reading of it in that boot, which is the one
most likely to have been set right, and never later than this boot's beginning.
"""

from collections.abc import Callable
from typing import TypeAlias

import trio

from agent.clocks import ReadClocks
from shared.metrics import LARGEST

MonoMs: TypeAlias = Callable[[str, int, int], int]
"""From a boot's id and the readings of its clocks, since boot and of the wall, to the time on this
process's monotonic clock; negative where it is older."""


class SpoolClock:
    """One for the life of the process, which runs in this boot."""

    def __init__(self, boot_id: str, clocks: ReadClocks) -> None:
        self._boot_id = boot_id
        self._clocks = clocks
        self._latest: dict[str, tuple[int, int]] = {}
        """Of each other boot: the last reading of its two clocks."""

    def saw(self, boot_id: str, boot_ms: int, wall_ms: int) -> None:
        """In that boot, the wall clock showed this at that time since boot."""
        if boot_id != self._boot_id:
            self._latest[boot_id] = max(self._latest.get(boot_id, (0, 0)), (boot_ms, wall_ms))

    def now(self) -> MonoMs:
        """How to tell times now."""
        now, now_mono_ms = self._clocks(), int(trio.current_time() * 1000)

        def mono_ms(boot_id: str, boot_ms: int, wall_ms: int) -> int:
            if boot_id == self._boot_id:
                return now_mono_ms - (now.boot_ms - boot_ms)
            last_boot_ms, last_wall_ms = self._latest.get(boot_id, (boot_ms, wall_ms))
            last_ago_ms = max(now.wall_ms - last_wall_ms, now.boot_ms)
            at_ms = now_mono_ms - last_ago_ms - (last_boot_ms - boot_ms)
            return max(-LARGEST, min(LARGEST, at_ms))

        return mono_ms
