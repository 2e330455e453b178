"""What agents say goes into the history, and they are told what is on disk.

A beat is acknowledged when its sample is on disk, half a second later at most: one frame says both.
Where the disk keeps the master waiting, the beat is acknowledged without (`Recorder.is_owed`). What
comes from a spool is confirmed by a `Stored` of its own. What the history does not take now is not
confirmed, and the agent sends it again.

Times are the master's (`master.history.anchor`). A time that cannot be is moved to the nearest one
that can: the sample is real, and an agent that finds a wrong clock in its spool would otherwise
send it for ever.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Final, TypeAlias

import trio

from master.allowance import NEW_RUN_COST, Allowance
from master.confirmations import Confirmations
from master.history.anchor import DRIFT_MS, Anchor
from master.history.history import History
from master.history.steady_clock import SteadyClock
from master.history.taken import LostSamples, Sample
from master.ingest import clean_core
from shared import messages as m
from shared.errors import RemoteProtocolError, Violation
from shared.text import NAME_LIMIT_CHARACTERS, clean

OLDEST_MS: Final = 400 * 86_400_000
"""No spool is older. What says it is, has had a clock that was wrong."""

CORE_LIMIT_BYTES: Final = 1024
"""Twice the longest core sample. What is longer is no honest agent's."""

LOST_LIMIT: Final = OLDEST_MS // 1000
"""Samples are a second apart or more."""


Acknowledge: TypeAlias = Callable[[int, int], None]
"""Given the number of the last beat, and up to which everything is on disk."""


class Recording:
    """What the recorders of all links share: the history, its clock, and what is known of nodes
    from one link to the next."""

    def __init__(self, history: History, clock: SteadyClock) -> None:
        self.history: Final = history
        self.clock: Final = clock
        self._anchors: dict[str, Anchor] = {}
        self._allowances: dict[str, Allowance] = {}

    def __repr__(self) -> str:
        return f"<Recording of {len(self._anchors)} nodes>"

    def linked(self, node_id: str, hello: m.AgentHello, acknowledge: Acknowledge) -> "Recorder":
        """A link of the node begins. Its agent's clock goes on from the last one, if it is the
        same run. `acknowledge` is called when its agent is to be told of its beats."""
        run = (clean(hello.boot_id, NAME_LIMIT_CHARACTERS), hello.started_mono_ms)
        anchor = self._anchors.get(node_id)
        if anchor is None or anchor.run != run:
            self._anchors[node_id] = anchor = Anchor(run)
        anchor.linked(self.clock.now_wall_ms())
        allowance = self._allowances.setdefault(node_id, Allowance())
        return Recorder(self, node_id, anchor, allowance, acknowledge)

    def forget(self, node_id: str) -> None:
        """The node is forgotten, and its past too."""
        self._anchors.pop(node_id, None)
        self._allowances.pop(node_id, None)
        self.history.forget(node_id)


class Recorder:
    """Of one link."""

    __slots__ = (
        "_acknowledge",
        "_acknowledged",
        "_allowance",
        "_anchor",
        "_boot_id",
        "_confirmations",
        "_history",
        "_last_run",
        "_node_id",
        "_now_wall_ms",
        "_started_mono_ms",
    )

    def __init__(
        self,
        recording: Recording,
        node_id: str,
        anchor: Anchor,
        allowance: Allowance,
        acknowledge: Acknowledge,
    ) -> None:
        self._history = recording.history
        self._now_wall_ms = recording.clock.now_wall_ms
        self._node_id = node_id
        self._anchor = anchor
        self._allowance = allowance
        self._boot_id, self._started_mono_ms = self._last_run = anchor.run
        self._confirmations = Confirmations()
        self._acknowledge = acknowledge
        self._acknowledged = 0
        """The number of the last beat that the agent knows to have arrived."""

    def __repr__(self) -> str:
        return f"<Recorder of {self._node_id}, {self._confirmations!r}>"

    @property
    def is_owed(self) -> bool:
        """Whether a beat has arrived that is not acknowledged."""
        return self._confirmations.last != self._acknowledged

    def confirm(self) -> None:
        """Acknowledges the last beat, with what is on disk of all of them."""
        confirmations = self._confirmations
        self._acknowledged = sequence = confirmations.last
        if sequence:
            self._acknowledge(sequence, confirmations.upto)

    def end(self) -> None:
        """The link is over: nobody is left to be told. (Whoever is told has the recorder: without
        this, neither would be gone before a collector comes that hardly ever does.)"""
        self._acknowledge = _tell_nobody

    def beat(self, beat: m.Beat, core: bytes, now_s: float) -> None:
        """A beat has arrived; `core` is its sample, checked. It is acknowledged when that is on
        disk, or now, if it is not taken."""
        if self._takes(beat, core, now_s):
            self._confirmations.taken(beat.sequence)
        else:
            self._confirmations.refused(beat.sequence)
            self.confirm()

    def replay(self, replay: m.Replay, now_s: float, post: Callable[[m.Stored], None]) -> int:
        """Samples from the spool. When those that were taken are on disk, `post` is given the
        confirmation of them all. Returns how many bytes of it are no flood: the node's allowance
        has paid for them.

        Raises:
            RemoteProtocolError: these are no samples of one run, in order.
        """
        samples = replay.samples
        _check_order([replay.started_mono_ms, *[each.sequence for each in samples]])
        boot_id = clean(replay.boot_id, NAME_LIMIT_CHARACTERS)
        run = (boot_id, replay.started_mono_ms)
        times = self._times([each.mono_ms for each in samples])
        if not times or not self._affords(run, len(samples), now_s):
            return 0
        answer = _Answer(self, boot_id, replay.boot_id, samples[0].sequence, post)
        taken_bytes = 0
        for place, (each, at_wall_ms) in enumerate(zip(samples, times, strict=True)):
            sample = Sample(
                self._node_id,
                *run,
                each.sequence,
                at_wall_ms,
                each.period_ms,
                clean_core(each.core),
                is_late=True,
            )
            if not self._history.take(sample, answer.one_stored):
                self._allowance.give_back(len(samples) - place)
                break
            answer.awaits(each.sequence)
            taken_bytes += min(len(each.core), CORE_LIMIT_BYTES)
        return taken_bytes

    def lost(self, lost: m.Lost, now_s: float, post: Callable[[m.Stored], None]) -> None:
        """Samples that are no more; `post` as for `replay`.

        Raises:
            RemoteProtocolError: nobody can have lost these.
        """
        _check_order([lost.started_mono_ms, lost.first, lost.last + 1])
        if lost.last - lost.first >= LOST_LIMIT:
            raise RemoteProtocolError(Violation.BAD_MESSAGE, "more lost than there can have been")
        boot_id = clean(lost.boot_id, NAME_LIMIT_CHARACTERS)
        run = (boot_id, lost.started_mono_ms)
        times = self._times(sorted((lost.first_mono_ms, lost.last_mono_ms)))
        if not times or not self._affords(run, 1, now_s):
            return
        answer = _Answer(self, boot_id, lost.boot_id, lost.first, post)
        told = LostSamples(self._node_id, *run, lost.first, lost.last, times[0], times[1])
        if self._history.take_lost(told, answer.one_stored):
            answer.awaits(lost.last)
        else:
            self._allowance.give_back(1)

    def family(self, sample: m.FamilySample) -> None:
        """A family has arrived, checked."""
        times = self._times([sample.mono_ms])
        if times:
            self._history.take_family(self._node_id, times[0], sample)

    def came_again(self, boot_id: str, first: int, last: int) -> None:
        """Samples from the spool are on disk; some of them may have been refused as beats."""
        if boot_id == self._boot_id:
            self._confirmations.came_again(first, last)

    def _takes(self, beat: m.Beat, core: bytes, now_s: float) -> bool:
        at_wall_ms = self._anchor.beat(beat.mono_ms, self._now_wall_ms())
        if (
            at_wall_ms is None
            or beat.sequence <= self._started_mono_ms
            or not self._allowance.take(1, now_s)
        ):
            return False
        sample = Sample(
            self._node_id,
            self._boot_id,
            self._started_mono_ms,
            beat.sequence,
            at_wall_ms,
            beat.next_in_ms,
            core,
            is_late=False,
        )
        if self._history.take(sample, self._one_stored):
            return True
        self._allowance.give_back(1)
        return False

    def _one_stored(self) -> None:
        upto = self._confirmations.stored_next()
        sequence = self._confirmations.last
        if sequence == self._acknowledged and self._history.is_behind(trio.current_time()):
            # A master that is short of time tells nobody twice of one beat: the next one's
            # acknowledgement says it.
            return
        self._acknowledged = sequence
        self._acknowledge(sequence, upto)

    def _times(self, monos_ms: list[int]) -> list[int]:
        # When these were, by the master's clock: none later than now, none older than can be, and
        # still in order. Nothing while no beat of this link has said how the clocks lie.
        latest_ms = self._now_wall_ms() + DRIFT_MS
        oldest_ms, last = latest_ms - OLDEST_MS, len(monos_ms) - 1
        times: list[int] = []
        for place, mono_ms in enumerate(monos_ms):
            at_wall_ms = self._anchor.at_wall_ms(mono_ms)
            if at_wall_ms is None:
                return []
            times.append(min(max(at_wall_ms, oldest_ms + place), latest_ms - (last - place)))
        return times

    def _affords(self, run: tuple[str, int], samples: int, now_s: float) -> bool:
        cost = samples if run == self._last_run else samples + NEW_RUN_COST
        if not self._allowance.take(cost, now_s):
            return False
        self._last_run = run
        return True


class _Answer:
    """The confirmation of a `Replay` or a `Lost`: sent when all of it that was taken is on
    disk."""

    __slots__ = ("_awaited", "_boot_id", "_boot_id_said", "_first", "_last", "_post", "_recorder")

    def __init__(
        self,
        recorder: Recorder,
        boot_id: str,
        boot_id_said: str,
        first: int,
        post: Callable[[m.Stored], None],
    ) -> None:
        self._recorder = recorder
        self._boot_id = boot_id
        self._boot_id_said = boot_id_said
        self._first = first
        self._last = first
        self._post = post
        self._awaited = 0

    def awaits(self, last: int) -> None:
        """One more was taken, and `last` is the number up to which that goes."""
        self._last = last
        self._awaited += 1

    def one_stored(self) -> None:
        """One of those that were taken is on disk."""
        self._awaited -= 1
        if not self._awaited:
            self._recorder.came_again(self._boot_id, self._first, self._last)
            self._post(m.Stored(self._boot_id_said, self._first, self._last))


def _tell_nobody(sequence: int, stored: int) -> None:
    """What is on disk of a link that is over."""


def _check_order(numbers: list[int]) -> None:
    if any(after <= before for before, after in pairwise(numbers)):
        raise RemoteProtocolError(Violation.BAD_MESSAGE, "samples out of order")
