"""Where the spool's samples are: in memory until the disk has them, and from then on there.

The disk is used in a thread, one thing after another, and nothing waits for it: while it fails or
hangs, samples stay in memory, as many as there is room for, and the beats say so. What there is no
room for is lost, the oldest first, and its numbers are kept to be told.
"""

import logging
import math
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import trio
from msgspec import Struct

from agent.numbers import Numbers
from agent.spool import Batch, Spool
from agent.spool_clock import SpoolClock
from agent.spool_records import Loss, Record, RunKey, Sample
from agent.spool_ring import Ring
from agent.spool_segments import Found, Segment, Span
from agent.wording import fit
from shared.messages import Trouble

MEMORY_SAMPLES: Final = 2_880
"""Four hours at one every five seconds, a megabyte."""

RETRY_S: Final = 10.0
"""After a disk has failed, until it is tried again."""

HANGS_S: Final = 15.0
"""A disk that takes longer is said to hang."""

SYNC_S: Final = 30.0
"""What a host that goes down at once may take with it of what no master has."""

BACKLOG_SAMPLES: Final = 6
"""On a good link less is unconfirmed, and nothing needs to survive a loss of power."""

TURNED_OVER_BYTES: Final = 16 * 1024
"""On a good link, how long a file gets before the next one is begun and it can go. After a restart
not much more than that is replayed that the master has already."""

WRITTEN_AT_ONCE: Final = 256
"""Records, after a disk has recovered."""

Result = TypeVar("Result")

_log: Final = logging.getLogger(__name__)


class _Ailment(Struct, frozen=True):
    """What is wrong with the disk, and since when."""

    since_s: float
    text: str


class SpoolStore:
    """The content of one process's spool. Without a `ring`, all of it is in memory."""

    def __init__(self, spool: Spool, ring: Ring | None, clock: SpoolClock) -> None:
        self._spool = spool
        self._ring = ring
        self._clock = clock
        self._memory: dict[int, Sample] = {}
        """What this run has taken and the disk has not, by number."""
        self._is_opened = False
        self._is_dropping = False
        self._has_confirmed = True
        self._wanted: Batch | None = None
        self._fetched: list[Sample] = []
        self._is_fetched = trio.Event()
        self._work = trio.Event()
        self._retry_s = -math.inf
        self._busy_since_s = math.inf
        self._synced_s = -math.inf
        self._ailment: _Ailment | None = None

    def __repr__(self) -> str:
        return f"<SpoolStore of {self._spool!r}, {len(self._memory)} in memory, {self._ring!r}>"

    def take(self, sample: Sample) -> None:
        """A sample of this run."""
        self._memory[sample.sequence] = sample
        self._spool.took(sample.sequence)
        if len(self._memory) > MEMORY_SAMPLES:
            oldest = self._memory.pop(next(iter(self._memory)))
            self._lost([Span(Numbers(), oldest, oldest).loss(oldest.sequence, oldest.sequence)])
        self._work.set()

    def forget(self, run: RunKey, numbers: Numbers) -> None:
        """These are confirmed."""
        self._has_confirmed = True
        if run == self._spool.run:
            for number in numbers:
                self._memory.pop(number, None)

    async def fetch(self, batch: Batch) -> list[Sample]:
        """The samples of a batch, ascending. What ought to be there and is not is lost; what the
        disk does not give now is left out. One task at a time."""
        in_memory = self._in_memory(batch)
        if self._ring is None or len(in_memory) == len(batch.numbers):
            return list(in_memory.values())
        self._wanted, self._is_fetched = batch, trio.Event()
        self._work.set()
        try:
            await self._is_fetched.wait()
        finally:
            self._wanted = None
        left = self._spool.unconfirmed(batch.run)
        return [sample for sample in self._fetched if sample.sequence in left]

    def trouble(self) -> Trouble | None:
        """What is wrong with the disk, for the next beat."""
        now_s, ailment = trio.current_time(), self._ailment
        if now_s - self._busy_since_s >= HANGS_S:
            ailment = _Ailment(self._busy_since_s, "the disk does not answer")
        if ailment is None:
            return None
        text = f"samples are kept in memory only: {ailment.text}"
        return Trouble("spool", "failed", max(0, int(now_s - ailment.since_s)), fit(text))

    async def run(self) -> None:
        """Writes what is taken as soon as the disk takes it, for ever."""
        ring = self._ring
        while ring is not None:
            self._work = trio.Event()
            if self._wanted is not None and self._is_opened:
                await self._give(ring, self._wanted)
            elif trio.current_time() >= self._retry_s:
                await self._try(ring)
            if self._wanted is None:
                is_due_later = self._retry_s > trio.current_time()
                with trio.move_on_at(self._retry_s if is_due_later else math.inf):
                    await self._work.wait()

    async def _try(self, ring: Ring) -> None:
        try:
            if not self._is_opened:
                self._take_over(ring, await self._in_thread(ring.open))
            await self._make_room(ring)
            await self._write(ring)
            await self._sync(ring)
        except OSError as error:
            self._retry_s = trio.current_time() + RETRY_S
            self._failed(error)

    async def _give(self, ring: Ring, batch: Batch) -> None:
        found = self._in_memory(batch)
        on_disk = batch.numbers.copy()
        for number in found:
            on_disk.discard(number)
        try:
            samples, losses = await self._in_thread(partial(ring.read, batch.run, on_disk))
        except OSError as error:
            self._failed(error)
        else:
            found.update({sample.sequence: sample for sample in samples})
            self._lost(losses)
        self._fetched = [found[number] for number in sorted(found)]
        self._wanted = None
        self._is_fetched.set()

    def _in_memory(self, batch: Batch) -> dict[int, Sample]:
        if batch.run != self._spool.run:
            return {}
        return {n: self._memory[n] for n in batch.numbers if n in self._memory}

    async def _write(self, ring: Ring) -> None:
        while True:
            waiting: list[Record] = [*self._unwritten(ring.segments), *self._memory.values()]
            if not waiting:
                return
            records = waiting[:WRITTEN_AT_ONCE]
            await self._in_thread(partial(ring.append, records))
            self._recovered()
            for record in records:
                if isinstance(record, Sample):
                    self._memory.pop(record.sequence, None)

    async def _make_room(self, ring: Ring) -> None:
        for _ in range(len(ring.segments)):  # what is lost is written down, which takes room too
            segment = ring.excess()
            if segment is None:
                break
            for run, span in segment.spans.items():
                unconfirmed = self._spool.unconfirmed(run).common(span.numbers)
                self._lost([span.loss(*stretch) for stretch in unconfirmed.stretches()])
            await self._remove(ring, [segment])
        if self._has_confirmed:
            self._has_confirmed = False
            await self._remove(ring, [each for each in ring.segments[:-1] if self._is_done(each)])
        is_long = ring.segments and ring.segments[-1].size_bytes >= TURNED_OVER_BYTES
        if len(self._spool) <= BACKLOG_SAMPLES:
            self._is_dropping = False
            if is_long:
                ring.turn_over()

    def _is_done(self, segment: Segment) -> bool:
        """Whether there is nothing in it any more that a master has not."""
        return not any(
            self._spool.unconfirmed(run).common(span.numbers) for run, span in segment.spans.items()
        )

    async def _remove(self, ring: Ring, segments: list[Segment]) -> None:
        if segments:
            left = [segment for segment in ring.segments if segment not in segments]
            await self._in_thread(partial(ring.remove, segments, self._unwritten(left)))

    def _unwritten(self, segments: list[Segment]) -> list[Loss]:
        """The losses that are in none of these."""
        written = set[Loss]().union(*[segment.losses for segment in segments])
        return [loss for loss in self._spool.losses if loss not in written]

    async def _sync(self, ring: Ring) -> None:
        now_s = trio.current_time()
        if len(self._spool) > BACKLOG_SAMPLES and now_s - self._synced_s >= SYNC_S:
            self._synced_s = now_s
            await self._in_thread(ring.sync)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        self._busy_since_s = trio.current_time()
        try:
            return await trio.to_thread.run_sync(work, abandon_on_cancel=True)
        finally:
            self._busy_since_s = math.inf

    def _take_over(self, ring: Ring, found: Found) -> None:
        """What earlier runs have left is this one's to send."""
        self._is_opened = True
        for segment in ring.segments:
            for run, span in segment.spans.items():
                self._spool.found(run, span.numbers)
                self._clock.saw(run.boot_id, span.last.boot_ms, span.last.wall_ms)
        for loss in found.losses:
            self._clock.saw(loss.boot_id, loss.last_boot_ms, loss.last_wall_ms)
            self._spool.lost(loss)
        if len(self._spool):
            _log.info("earlier samples are in the spool", extra={"samples": len(self._spool)})
        if found.damaged_bytes:
            _log.warning("the spool is damaged", extra={"damaged_bytes": found.damaged_bytes})

    def _lost(self, losses: list[Loss]) -> None:
        for loss in losses:
            if not self._is_dropping:
                _log.warning("there is no room for more samples: the oldest are dropped")
            self._is_dropping = True
            self._spool.lost(loss)

    def _failed(self, error: OSError) -> None:
        text = error.strerror or str(error)
        if self._ailment is None:
            _log.warning(
                "the spool cannot use its disk: samples are kept in memory",
                extra={"error": text, "folder": str(self._ring and self._ring.folder)},
            )
        since_s = trio.current_time() if self._ailment is None else self._ailment.since_s
        self._ailment = _Ailment(since_s, text)

    def _recovered(self) -> None:
        if self._ailment is not None:
            _log.info("the spool can use its disk again")
        self._ailment = None
