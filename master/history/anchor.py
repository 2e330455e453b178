"""Where one run of an agent lies on the master's clock: what turns `mono_ms` into the history's
time.

The anchor is the master's time less the agent's, as the first beat showed it. Samples keep the even
intervals at which they were taken, whatever the network does to their arrival, because it stays as
it is for as long as the two clocks go on together. It is set anew when they are seen to be more
than `DRIFT_MS` apart:

- A beat arrives too *early*: it cannot have been taken after it arrived, so the anchor is wrong,
  and is set by this beat at once. The beat before was slow, or the master's clock was set back.
- A beat arrives too *late*. Most often it had to wait: the line stalled, or the master. What waited
  arrives all at once, each beat less late than the one before. The anchor stays, and they get the
  times at which they were taken. When two in a row are late by the same, they came as far apart as
  they were sent, and it is the agent's clock that stood still (its host was suspended) or the
  master's that was set forward: then the anchor is set by the less late of the two. A suspension
  that a link survives so leaves one sample with the time at which its host fell asleep.
- The first beat of a link has waited for nobody, and one that is late by more than `WAITED_MS` has
  not waited on any link: both set the anchor at once.

It outlives links: a sample that is sent again gets the time that it would have had.
"""

from typing import Final

DRIFT_MS: Final = 1000

ALIKE_MS: Final = 500
"""By less than this two beats are late by the same. Beats that waited together differ by a period,
a second at least."""

WAITED_MS: Final = 600_000
"""The longest that a link can be silent and live, as far as settings go."""

REORDERED_MS: Final = 60_000
"""A sample that would come before the one before it by no more than this comes right behind it. By
more: the master's clock was set back, and what is taken now is not to stand still until the clock
is there again."""


class Anchor:
    """Of one run of one agent, which `run` names. All times are in milliseconds."""

    __slots__ = ("_is_first", "_late_ms", "_latest_wall_ms", "_offset_ms", "run")

    def __init__(self, run: tuple[str, int]) -> None:
        self.run: Final = run
        """The boot id, and the `started_mono_ms` of its hello."""
        self._offset_ms: int | None = None
        self._is_first = True
        self._late_ms: int | None = None
        self._latest_wall_ms = 0

    def __repr__(self) -> str:
        return f"<Anchor at {self._offset_ms}>"

    def linked(self) -> None:
        """The next beat is the first of a link."""
        self._is_first = True

    def beat(self, mono_ms: int, arrived_wall_ms: int) -> int:
        """When the sample of a beat was taken that has arrived now, by the master's clock; later
        than that of the beat before."""
        offset_ms = self._offset_ms
        if offset_ms is None or self._is_first:
            offset_ms = self._first(arrived_wall_ms - mono_ms)
        else:
            late_ms = arrived_wall_ms - mono_ms - offset_ms
            if -DRIFT_MS <= late_ms <= DRIFT_MS:
                self._late_ms = None
            else:
                offset_ms = self._apart(offset_ms, late_ms)
        at_wall_ms = offset_ms + mono_ms
        if at_wall_ms <= self._latest_wall_ms < at_wall_ms + REORDERED_MS:
            at_wall_ms = self._latest_wall_ms + 1
        self._latest_wall_ms = at_wall_ms
        return at_wall_ms

    def at_wall_ms(self, mono_ms: int) -> int | None:
        """When that was by the master's clock; None while no beat has said."""
        return None if self._offset_ms is None or self._is_first else self._offset_ms + mono_ms

    def _first(self, offset_ms: int) -> int:
        before_ms, self._is_first, self._late_ms = self._offset_ms, False, None
        if before_ms is not None and abs(offset_ms - before_ms) <= DRIFT_MS:
            return before_ms
        self._offset_ms = offset_ms
        return offset_ms

    def _apart(self, offset_ms: int, late_ms: int) -> int:
        before_ms, self._late_ms = self._late_ms, late_ms
        if 0 < late_ms <= WAITED_MS:
            if before_ms is None or abs(late_ms - before_ms) >= ALIKE_MS:
                return offset_ms
            late_ms = min(late_ms, before_ms)
        self._offset_ms, self._late_ms = offset_ms + late_ms, None
        return self._offset_ms
