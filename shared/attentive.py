"""A clock for trio that counts only the time in which the program was paying attention.

A master that was frozen (SIGSTOP, a starved virtual machine, a disk that blocked it) has not seen
what arrived meanwhile, and must not hold its own absence against anybody. Run under this clock, all
its deadlines, of nodes, links and handshakes alike, are moved by the time that was missed:

    trio.run(serve, clock=AttentiveClock())

The event loop reads its clock whenever it turns, and under this one it turns four times a second at
least. When it has not for longer than that, the program was not there, and that time is taken out.
"""

import math
import time
from collections.abc import Callable
from typing import Final

import trio

TICK_S: Final = 0.25
"""The longest that the event loop sleeps."""

STALL_S: Final = 0.5
"""A turn that is later than this is a stall; less is ordinary scheduling."""


class AttentiveClock(trio.abc.Clock):
    """Monotonic time without stalls. `stalls` and `missed_s` only grow."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._read_s = math.inf
        self.stalls = 0
        self.missed_s = 0.0
        """Time taken out so far."""

    def __repr__(self) -> str:
        return f"<AttentiveClock {self.stalls} stalls, {self.missed_s:.1f} s missed>"

    def start_clock(self) -> None:
        """The event loop begins."""
        self._read_s = self._monotonic_s()

    def current_time(self) -> float:
        """Attentive seconds."""
        now_s = self._monotonic_s()
        gap_s = now_s - self._read_s
        self._read_s = now_s
        if gap_s > TICK_S + STALL_S:
            self.stalls += 1
            self.missed_s += gap_s - TICK_S
        return now_s - self.missed_s

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """How long the event loop may sleep: never so long that it would look like a stall."""
        return min(TICK_S, deadline - self.current_time())


async def tell_of_stalls(on_stall: Callable[[float], None], clock: AttentiveClock) -> None:
    """Calls `on_stall` after each stall, with the seconds that were taken out of the clock, for
    ever."""
    told_s = clock.missed_s
    while True:
        await trio.sleep(TICK_S)
        if clock.missed_s > told_s:
            missed_s, told_s = clock.missed_s - told_s, clock.missed_s
            on_stall(missed_s)
