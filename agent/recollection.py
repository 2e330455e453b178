"""What an agent remembers of the time that it is without a master, and how it tells it.

Pure: every instant is an argument. The event loop shows itself with `tick`, the link tells of its
beginning and end, and from the gaps between follows how long the loop stood still, how long the
host was suspended and how many samples were taken meanwhile.

An absence begins when the link ends or, where it had been silent for longer than a good link ever
is, when it fell silent. It is over once a beat that follows the telling of it is acknowledged;
until then it goes on, whatever links come and go, and each new one is told of all of it.
"""

from typing import Final

from msgspec.structs import replace

from agent.clocks import Instant
from agent.lastwords import LastWord, Run, Stretch
from agent.wording import fit
from shared.errors import DeniedError, HeartlineError, NobodyThereError
from shared.messages import EndedRun, Returned

SILENCE_PERIODS: Final = 2
"""Without an acknowledgement for so many periods, the link was not good any more."""

STALL_LEAST_MS: Final = 1_000
"""A loop that comes this late is on a busy host; later, it stood still."""

SUSPENDED_LEAST_MS: Final = 100
"""Clocks that part by less have been read a little apart."""

RUNS_KEPT: Final = 4
"""Runs that no master has been told of: the first, after which the absence began, and the latest.
A host whose agent is killed again and again has no more to tell."""

_ERROR_CHARACTERS: Final = 200
_ENDED_CHARACTERS: Final = 80


class Recollection:
    """The memory of one run. `previous` is the word that the one before left, and `oom` the
    kernel's word on its end. Both ends of a good link see to it that something is heard on it
    within half of `quiet_ms`."""

    def __init__(
        self,
        run: Run,
        period_ms: int,
        quiet_ms: int,
        *,
        previous: LastWord | None = None,
        oom: str = "",
    ) -> None:
        self.run: Final = run
        self._quiet_ms = quiet_ms
        self._period_ms = period_ms
        self._previous_boot_ms = _alive_in_boot(previous, run)
        self._runs, self._left_out = _told_of_nobody(previous, oom)
        self._looked = run.began
        self._stretch = Stretch()
        self._acked: Instant | None = None
        self._since_ms: int | None = None
        """Since when it has been without a master, awake; None while a master has it."""
        self._told_after: int | None = None
        """The last beat before this link was told; None: nobody has been told."""
        self._told = run.began
        self._told_stretch = Stretch()
        """When that was, and how the loop had fared until then."""
        self._link_code = ""
        self._link_error = ""
        self._link_silence_ms = 0
        self._attempts = 0
        self._denied = 0
        self._refused_ms = 0
        self._refused_at_ms: int | None = None
        self._attempt_error = ""
        self._gone_until(run.began)

    def __repr__(self) -> str:
        return f"<Recollection of {self.run.pid}, away since {self._since_ms}, {self._stretch}>"

    @property
    def is_away(self) -> bool:
        """Whether no master has this agent, as far as it knows."""
        return self._since_ms is not None

    def tick(self, now: Instant, period_ms: int, *, sampled: bool) -> None:
        """The loop turns, and means to come back in `period_ms`. `sampled`: there is a sample."""
        self._look(now)
        self._period_ms = period_ms
        if sampled:
            self._stretch = replace(self._stretch, samples=self._stretch.samples + 1)

    def dialling(self, now: Instant) -> None:
        """An attempt to link begins."""
        if self._acked is None and self._since_ms is None:
            self._gone_until(now)
            self._begin_absence(now)
        if self._refused_at_ms is not None:
            self._refused_ms += now.awake_ms - self._refused_at_ms
            self._refused_at_ms = None
        self._attempts += 1

    def failed(self, now: Instant, error: HeartlineError) -> None:
        """It came to nothing, and why."""
        self._attempt_error = fit(str(error), _ERROR_CHARACTERS)
        if isinstance(error, DeniedError):
            self._denied += 1
        if isinstance(error, NobodyThereError):
            self._refused_at_ms = now.awake_ms

    def linked(self, now: Instant, sequence: int) -> Returned:
        """A master has welcomed this agent, whose last beat was `sequence`: what it is told."""
        self._told_after = sequence
        told = self._returned(now)
        self._told, self._told_stretch = now, self._stretch
        return told

    def acknowledged(self, now: Instant, acked: int, sequence: int) -> Returned | None:
        """The beat `acked` has arrived, and `sequence` is the last that was sent: what the master
        is told on this same link, if there was a silence to explain."""
        self._look(now)
        if self._told_after is not None and acked > self._told_after:
            self._forget()
        if self._since_ms is None and (silent_since_ms := self._silent_since_ms(now)) is not None:
            self._since_ms = silent_since_ms
            return self.linked(now, sequence)
        if self._since_ms is None:
            self._acked, self._stretch = now, Stretch()
        return None

    def link_ended(self, now: Instant, code: str, error: str, silence_ms: int) -> None:
        """The link is gone: the master's code if it said one, the error, and how long nothing had
        been heard."""
        self._look(now)
        self._told_after = None
        if self._since_ms is None:
            self._since_ms = self._silent_since_ms(now)
            if self._since_ms is None and silence_ms >= self._quiet_ms:
                self._since_ms = now.awake_ms - silence_ms
            if self._since_ms is None:
                self._begin_absence(now)
        if not self._link_error:
            self._link_code = fit(code, _ENDED_CHARACTERS)
            self._link_error = fit(error, _ERROR_CHARACTERS)
            self._link_silence_ms = max(0, silence_ms)

    def word(self, now: Instant, ended: str = "") -> LastWord:
        """What would be the last word, were it now. Changes nothing: from any thread."""
        since_ms = self._since_ms
        is_told = since_ms is None and self._acked is not None
        if since_ms is None:
            since_ms = self._silent_since_ms(now)
        if since_ms is None and self._stalled_ms(now):
            since_ms = self._looked.awake_ms
        return LastWord(
            self.run,
            now,
            fit(ended, _ENDED_CHARACTERS),
            away_ms=0 if since_ms is None else max(0, now.awake_ms - since_ms),
            stretch=Stretch() if since_ms is None else self._stretch_at(now),
            link_error=self._link_error,
            runs=() if is_told else self._runs,
            left_out=0 if is_told else self._left_out,
        )

    def _returned(self, now: Instant) -> Returned:
        self._look(now)
        acked, stretch = self._acked, self._stretch
        since_ms = now.awake_ms if self._since_ms is None else self._since_ms
        return Returned(
            self.run.boot_id,
            max(0, now.boot_ms),
            self.run.pid,
            self.run.started_mono_ms,
            away_ms=max(0, now.awake_ms - since_ms),
            silent_ms=None if acked is None else max(0, now.boot_ms - acked.boot_ms),
            suspended_ms=stretch.suspended_ms,
            stalled_ms=stretch.stalled_ms,
            longest_stall_ms=stretch.longest_stall_ms,
            samples=stretch.samples,
            link_code=self._link_code,
            link_error=self._link_error,
            link_silence_ms=self._link_silence_ms,
            attempts=self._attempts,
            denied=self._denied,
            refused_ms=max(0, self._refused_ms),
            attempt_error=self._attempt_error,
            runs=self._runs,
            runs_left_out=self._left_out,
        )

    def _begin_absence(self, now: Instant) -> None:
        self._since_ms, self._stretch = now.awake_ms, Stretch()

    def _forget(self) -> None:
        """A master knows all of it, up to the telling: what came between that and its answer may be
        another absence."""
        self._since_ms = self._told_after = None
        self._acked, self._stretch = self._told, _since(self._told_stretch, self._stretch)
        self._runs, self._left_out = (), 0
        self._link_code = self._link_error = self._attempt_error = ""
        self._link_silence_ms = self._attempts = self._denied = self._refused_ms = 0

    def _look(self, now: Instant) -> None:
        self._stretch, self._looked = self._stretch_at(now), now

    def _stretch_at(self, now: Instant) -> Stretch:
        before, stretch = self._looked, self._stretch
        stalled_ms = self._stalled_ms(now)
        suspended_ms = (now.boot_ms - now.awake_ms) - (before.boot_ms - before.awake_ms)
        if suspended_ms < SUSPENDED_LEAST_MS:
            suspended_ms = 0
        return Stretch(
            stretch.stalled_ms + stalled_ms,
            max(stretch.longest_stall_ms, stalled_ms),
            stretch.suspended_ms + suspended_ms,
            stretch.samples,
        )

    def _stalled_ms(self, now: Instant) -> int:
        """How long the loop has been standing still."""
        late_ms = now.awake_ms - self._looked.awake_ms - self._period_ms
        return late_ms if late_ms >= STALL_LEAST_MS else 0

    def _silent_since_ms(self, now: Instant) -> int | None:
        """When the last acknowledgement came, awake, if that was too long ago for a good link."""
        acked = self._acked
        if acked is None or now.boot_ms - acked.boot_ms < SILENCE_PERIODS * self._period_ms:
            return None
        return acked.awake_ms

    def _gone_until(self, now: Instant) -> None:
        """Nobody has run since the last of the runs before, until now."""
        if self._runs and self._previous_boot_ms is not None:
            gone_ms = max(0, now.boot_ms - self._previous_boot_ms)
            self._runs = (*self._runs[:-1], replace(self._runs[-1], gone_ms=gone_ms))


def _since(before: Stretch, now: Stretch) -> Stretch:
    """How the loop has fared since it had fared so."""
    stalled_ms = now.stalled_ms - before.stalled_ms
    return Stretch(
        stalled_ms,
        min(now.longest_stall_ms, stalled_ms),
        now.suspended_ms - before.suspended_ms,
        now.samples - before.samples,
    )


def _alive_in_boot(previous: LastWord | None, run: Run) -> int | None:
    if previous is None or previous.run.boot_id != run.boot_id:
        return None
    return previous.alive.boot_ms


def _told_of_nobody(previous: LastWord | None, oom: str) -> tuple[tuple[EndedRun, ...], int]:
    if previous is None:
        return (), 0
    run, stretch = previous.run, previous.stretch
    ended = EndedRun(
        run.boot_id,
        run.started_mono_ms,
        run.pid,
        previous.ended,
        previous.alive.wall_ms,
        lived_ms=max(0, previous.alive.boot_ms - run.began.boot_ms),
        away_ms=previous.away_ms,
        stalled_ms=stretch.stalled_ms,
        suspended_ms=stretch.suspended_ms,
        samples=stretch.samples,
        gone_ms=None,
        link_error=previous.link_error,
        oom=oom,
    )
    runs = (*previous.runs, ended)
    excess = max(0, len(runs) - RUNS_KEPT)
    return (*runs[:1], *runs[1 + excess :]), previous.left_out + excess
