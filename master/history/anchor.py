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
- One that is late by more than `WAITED_MS` has not waited on any link, and sets the anchor at once.

It outlives links: a sample that is sent again gets the time that it would have had. But a host may
have slept in between, so the first beat of each link looks at it anew. That beat was taken between
its agent's welcome and its own arrival. An anchor that agrees with this stays; else, where the two
are no more than `DRIFT_MS` apart, the beat sets it. Where they are further apart, welcome or beat
had to wait, and nobody knows which: then the times are not known before a beat has come promptly,
or two alike, and until then samples are not taken. They come again.
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

    __slots__ = (
        "_earliest_ms",
        "_is_settled",
        "_late_ms",
        "_latest_wall_ms",
        "_offset_ms",
        "_unsure_ms",
        "_welcomed_wall_ms",
        "run",
    )

    def __init__(self, run: tuple[str, int]) -> None:
        self.run: Final = run
        """The boot id, and the `started_mono_ms` of its hello."""
        self._offset_ms: int | None = None
        self._is_settled = False
        self._late_ms: int | None = None
        self._latest_wall_ms = 0
        self._welcomed_wall_ms = 0
        self._earliest_ms: int | None = None
        self._unsure_ms: int | None = None

    def __repr__(self) -> str:
        return f"<Anchor at {self._offset_ms}>"

    def linked(self, welcomed_wall_ms: int) -> None:
        """A link begins, with the agent's welcome at this time: none of its beats is older."""
        self._is_settled = False
        self._welcomed_wall_ms = welcomed_wall_ms
        self._earliest_ms = self._unsure_ms = self._late_ms = None

    def beat(self, mono_ms: int, arrived_wall_ms: int) -> int | None:
        """When the sample of a beat was taken that has arrived now, by the master's clock; later
        than that of the beat before. None: that is not known yet."""
        offset_ms = self._offset_ms
        if offset_ms is None or not self._is_settled:
            offset_ms = self._settle(mono_ms, arrived_wall_ms - mono_ms)
            if offset_ms is None:
                return None
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
        """When that was by the master's clock; None while no beat of this link has said."""
        return (
            None if self._offset_ms is None or not self._is_settled else self._offset_ms + mono_ms
        )

    def _settle(self, mono_ms: int, latest_ms: int) -> int | None:
        # The anchor is no later than `latest_ms`: no beat arrives before it is taken.
        if self._earliest_ms is None:
            self._earliest_ms = self._welcomed_wall_ms - mono_ms
        before_ms, unsure_ms = self._offset_ms, self._unsure_ms
        earliest_ms, self._unsure_ms = self._earliest_ms, latest_ms
        if before_ms is not None and (
            max(earliest_ms - DRIFT_MS, latest_ms - WAITED_MS) <= before_ms <= latest_ms + DRIFT_MS
        ):
            late_ms = latest_ms - before_ms
            self._late_ms = late_ms if late_ms > DRIFT_MS else None
        elif latest_ms - earliest_ms <= DRIFT_MS:
            self._offset_ms = latest_ms
        elif unsure_ms is not None and abs(latest_ms - unsure_ms) < ALIKE_MS:
            self._offset_ms = min(latest_ms, unsure_ms)
        else:
            return None
        self._is_settled = True
        return self._offset_ms

    def _apart(self, offset_ms: int, late_ms: int) -> int:
        before_ms, self._late_ms = self._late_ms, late_ms
        if 0 < late_ms <= WAITED_MS:
            if before_ms is None or abs(late_ms - before_ms) >= ALIKE_MS:
                return offset_ms
            late_ms = min(late_ms, before_ms)
        self._offset_ms, self._late_ms = offset_ms + late_ms, None
        return self._offset_ms
