"""The heart: beats on an absolute grid, whatever the collectors do.

The grid begins at a random instant, so that a fleet does not beat in unison; each beat promises the
next. The first beat on a link goes out at once, off the grid, and promises the instant on it that
is at least half a period away. Another cadence begins with the beat that was promised, or sooner
where the new period says so: no promise is broken, and however often the cadence changes, two beats
are at least `least_s` apart.
"""

import math
import random
from collections.abc import Callable
from typing import Final, Protocol

import trio

from shared import messages as m
from shared.clock import wall_ms
from shared.metrics import Core

LEAST_PROMISE: Final = 0.5
"""The shortest time to the next beat, in periods: two beats in a row say no more than one."""

_ROUNDING_S: Final = 1e-6
"""What floating point may lose on the grid."""


class Vitals(Protocol):
    """What a beat reports: the latest that is known, without waiting."""

    def core(self) -> Core: ...

    def troubles(self) -> tuple[m.Trouble, ...]: ...

    def align(self, next_beat_s: float, period_s: float) -> None:
        """The next beat goes out then, and one every period from there."""
        ...


class Heart:
    """Makes beats. One for the life of the process: sequence numbers go on across links."""

    def __init__(
        self,
        vitals: Vitals,
        period_s: float,
        rng: random.Random,
        now_wall_ms: Callable[[], int] = wall_ms,
        *,
        least_s: float = 0.0,
    ) -> None:
        self._vitals = vitals
        self._period_s = period_s
        self._phase = rng.uniform(LEAST_PROMISE, 1.0)
        self._origin_s = 0.0
        self._sequence = 0
        self._now_wall_ms = now_wall_ms
        self._least_s = least_s
        self._changed = trio.Event()

    def __repr__(self) -> str:
        return f"<Heart every {self._period_s:g} s, {self._sequence} beats>"

    @property
    def period_s(self) -> float:
        return self._period_s

    @property
    def sequence(self) -> int:
        """Of the last beat; 0 before the first."""
        return self._sequence

    def set_period(self, period_s: float) -> None:
        """Another cadence, from the next beat on."""
        if period_s != self._period_s:
            self._period_s = period_s
            self._changed.set()

    async def run(self, send: Callable[[m.Beat], None]) -> None:
        """Beats at once, and then on the grid for ever."""
        due_s = trio.current_time()
        self._origin_s = due_s + self._phase * self._period_s
        while True:
            now_s = trio.current_time()
            next_s = self._next_s(due_s, now_s)
            send(self.beat(now_s, next_s - now_s))
            self._vitals.align(next_s, self._period_s)
            due_s = await self._rest(due_s, next_s)

    def beat(self, now_s: float, next_in_s: float) -> m.Beat:
        """The beat of this instant."""
        self._sequence += 1
        return m.Beat(
            self._sequence,
            int(now_s * 1000),
            self._now_wall_ms(),
            max(100, math.ceil(next_in_s * 1000)),
            m.raw(self._vitals.core()),
            self._vitals.troubles(),
        )

    async def _rest(self, beaten_s: float, next_s: float) -> float:
        # Until the next beat is due, and when that was. `beaten_s` is when the last one was.
        period_s, due_s = self._period_s, next_s
        while True:
            self._changed = trio.Event()
            with trio.move_on_at(due_s):
                await self._changed.wait()
                due_s = next_s
                if self._period_s != period_s:
                    sooner_s = max(beaten_s + self._period_s, trio.current_time())
                    due_s = min(next_s, sooner_s)
                continue
            return due_s

    def _next_s(self, due_s: float, now_s: float) -> float:
        # The loop may be late: a beat that was due on the grid is followed by the next one on it.
        period_s = self._period_s
        earliest_s = max(now_s + LEAST_PROMISE * period_s, due_s + self._least_s) - _ROUNDING_S
        steps = math.ceil((earliest_s - self._origin_s) / period_s)
        return self._origin_s + steps * period_s
