"""The heart: samples on an absolute grid, whatever the collectors do, and beats that carry them.

The grid begins at a random instant, so that a fleet does not beat in unison, and goes on whether
there is a link or not; each beat promises the next. The first beat on a link goes out at once, off
the grid, and promises the instant on it that is at least half a period away. Another cadence begins
with the beat that was promised, or sooner where the new period says so: no promise is broken, and
however often the cadence changes, two beats of a link are at least `least_s` apart.

Samples are numbered from the milliseconds on that the host's clock since boot showed when the run
began. On the grid they are a second apart or more, and one off it takes a new link, which is many
milliseconds of handshakes: so no number is ahead of that clock, and a later run in the same boot
begins beyond all of them.
"""

import math
import random
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, Protocol

import msgspec
import trio

from agent.clocks import ReadClocks, read_clocks
from agent.spool_records import RunKey, Sample
from shared import messages as m
from shared.metrics import Core

LEAST_PROMISE: Final = 0.5
"""The shortest time to the next beat, in periods: two beats in a row say no more than one."""

PHASE_S: Final = 60.0
"""The grid begins at random within so much: evenly spread for any cadence that can be asked for."""

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
    """Takes samples and makes beats. One for the life of the process: numbers go on across
    links."""

    def __init__(
        self,
        vitals: Vitals,
        period_s: float,
        rng: random.Random,
        clocks: ReadClocks = read_clocks,
        *,
        least_s: float = 0.0,
    ) -> None:
        self._vitals = vitals
        self._period_s = period_s
        self._phase_s = rng.uniform(0.0, PHASE_S)
        self._origin_s = 0.0
        self._sequence = 0
        self._clocks = clocks
        self._least_s = least_s
        self._send: Callable[[m.Beat], None] | None = None
        self._is_due_at_once = False
        self._changed = trio.Event()

    def __repr__(self) -> str:
        return f"<Heart every {self._period_s:g} s, last {self._sequence}>"

    @property
    def period_s(self) -> float:
        return self._period_s

    @property
    def sequence(self) -> int:
        """Of the last sample; before the first, one less than its."""
        return self._sequence

    def set_period(self, period_s: float) -> None:
        """Another cadence, from the next beat on."""
        if period_s != self._period_s:
            self._period_s = period_s
            self._changed.set()

    @contextmanager
    def linked(self, send: Callable[[m.Beat], None]) -> Generator[None]:
        """For as long as a link lasts, samples go out as beats: the first one at once."""
        self._send = send
        self._is_due_at_once = True
        self._changed.set()
        try:
            yield
        finally:
            self._send = None
            self._is_due_at_once = False

    async def run(self, key: RunKey, keep: Callable[[Sample], None]) -> None:
        """Takes samples on the grid for ever, and at once when there is a link. `key` is this run
        of the agent; `keep` gets every sample before it goes out."""
        self._sequence = max(self._sequence, key.started_mono_ms)
        due_s = trio.current_time()
        self._origin_s = due_s - self._phase_s
        next_s = self._next_s(due_s, due_s)
        self._vitals.align(next_s, self._period_s)
        while True:
            due_s = await self._rest(due_s, next_s)
            now_s = trio.current_time()
            next_s = self._next_s(due_s, now_s)
            self._beat(key, keep, now_s, next_s - now_s)
            self._vitals.align(next_s, self._period_s)

    def _beat(
        self, key: RunKey, keep: Callable[[Sample], None], now_s: float, next_in_s: float
    ) -> None:
        self._sequence += 1
        next_in_ms = max(100, math.ceil(next_in_s * 1000))
        core = m.encode_body(self._vitals.core())
        now = self._clocks()
        keep(Sample(*key, self._sequence, now.boot_ms, now.wall_ms, next_in_ms, core))
        if self._send is not None:
            self._send(
                m.Beat(
                    self._sequence,
                    int(now_s * 1000),
                    now.wall_ms,
                    next_in_ms,
                    msgspec.Raw(core),
                    self._vitals.troubles(),
                )
            )

    async def _rest(self, beaten_s: float, next_s: float) -> float:
        # Until the next beat is due, and when that was. `beaten_s` is when the last one was.
        period_s, due_s = self._period_s, next_s
        while not self._is_due_at_once:
            self._changed = trio.Event()
            with trio.move_on_at(due_s):
                await self._changed.wait()
                due_s = next_s
                if self._period_s != period_s:
                    sooner_s = max(beaten_s + self._period_s, trio.current_time())
                    due_s = min(next_s, sooner_s)
                continue
            return due_s
        self._is_due_at_once = False
        return trio.current_time()

    def _next_s(self, due_s: float, now_s: float) -> float:
        # The loop may be late: a beat that was due on the grid is followed by the next one on it.
        period_s = self._period_s
        earliest_s = max(now_s + LEAST_PROMISE * period_s, due_s + self._least_s) - _ROUNDING_S
        steps = math.ceil((earliest_s - self._origin_s) / period_s)
        return self._origin_s + steps * period_s
