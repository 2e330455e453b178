"""Whatever happens to an agent and its disk, in any order: a sample that was taken is kept, or a
master has it, or a master has been told that it is lost, or the process died with it in memory."""

import os
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from unittest import mock

import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from agent import spool as spool_module
from agent import spool_store
from agent.clocks import Instant
from agent.numbers import Numbers
from agent.spool import RESEND_S, Spool
from agent.spool_clock import SpoolClock
from agent.spool_records import Loss, RunKey, Sample
from agent.spool_ring import Ring, segment_files
from agent.spool_store import SpoolStore
from agent.spooler import consecutive
from tests.agent.spool_samples import no_threads, sample

LIMIT_BYTES = 64 * 300
"""Room for some seventy samples, two in a segment."""

MEMORY_SAMPLES = 12

LOSSES = 30
"""Told of at most: beyond that, the oldest are forgotten."""

Taken = dict[RunKey, dict[int, Sample]]


class ForgetfulSpool(Spool):
    """Says which losses it has forgotten, because there were too many."""

    def __init__(self, run: RunKey, forgotten: dict[RunKey, set[int]]) -> None:
        super().__init__(run)
        self._forgotten_numbers = forgotten

    def lost(self, loss: Loss) -> None:
        oldest = self.losses[0] if self.losses else loss
        with mock.patch.object(spool_module, "LOSSES_LIMIT", LOSSES):
            super().lost(loss)
        if self.losses[0].first != oldest.first or self.losses[0].run != oldest.run:
            self._forgotten_numbers[oldest.run] |= set(range(oldest.first, oldest.last + 1))


class Master:
    """What a master has in its history, and has been told."""

    def __init__(self) -> None:
        self.stored: dict[RunKey, set[int]] = defaultdict(set)
        self.told_lost: dict[RunKey, set[int]] = defaultdict(set)


class AgentAndDisk(RuleBasedStateMachine):
    """One host: an agent that is killed and started again, a disk that fails, links that break."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name) / "spool"
        self.taken: Taken = defaultdict(dict)
        self.died_with: dict[RunKey, set[int]] = defaultdict(set)
        self.master = Master()
        self.now_s = 1_000.0
        self.is_disk_failing = False
        self.on_the_way: list[tuple[RunKey, list[int]]] = []
        self.beats: list[int] = []

    def teardown(self) -> None:
        self.what_is_kept_can_be_read()
        self.ring.close()
        self.folder.cleanup()

    @initialize()
    def start(self) -> None:
        self._begin(1_000)

    def _begin(self, started_ms: int) -> None:
        self.run = RunKey("boot", started_ms)
        self.spool = ForgetfulSpool(self.run, self.died_with)
        self.ring = Ring(self.root, LIMIT_BYTES, 24)
        clock = SpoolClock("boot", lambda: Instant(0, 0, 0))
        self.store = SpoolStore(self.spool, self.ring, clock)
        self.number = 0
        self.link()
        self._do(self.store._try)

    def _do(self, work: Callable[[Ring], Awaitable[None]]) -> None:
        """Something that uses the disk."""

        def full(descriptor: int, content: bytes) -> int:
            if len(content) < 20:
                raise OSError(28, "No space left on device")
            return os.pwrite(descriptor, content[: len(content) // 2], os.lseek(descriptor, 0, 1))

        writing = full if self.is_disk_failing else os.write
        with (
            no_threads(),
            mock.patch.object(os, "write", writing),
            mock.patch.object(os, "fsync"),
            mock.patch.object(spool_store, "MEMORY_SAMPLES", MEMORY_SAMPLES),
        ):
            trio.run(work, self.ring)

    def _take(self) -> Sample:
        self.number += 1
        taken = sample(self.number, self.run)
        self.taken[self.run][taken.sequence] = taken
        with mock.patch.object(spool_store, "MEMORY_SAMPLES", MEMORY_SAMPLES):
            self.store.take(taken)
        return taken

    @rule(count=st.integers(1, 20), is_written=st.booleans())
    def take(self, count: int, is_written: bool) -> None:
        for _ in range(count):
            self._take()
            if is_written:
                self._do(self.store._try)

    @rule()
    def write(self) -> None:
        self._do(self.store._try)

    @rule()
    def break_disk(self) -> None:
        self.is_disk_failing = True

    @rule()
    def mend_disk(self) -> None:
        self.is_disk_failing = False

    @rule(torn_bytes=st.sampled_from([0, 0, 1, 40, 200, 500]))
    def kill(self, torn_bytes: int) -> None:
        """SIGKILL; with bytes that are torn off, a loss of power."""
        self.died_with[self.run] |= set(self.store._memory)
        # Dropped while the disk was failing, and not written down.
        for loss in self.store._unwritten(self.ring.segments):
            self.died_with[loss.run] |= set(range(loss.first, loss.last + 1))
        self.ring.close()
        kept = self._on_disk()
        files = segment_files(self.root)
        if files and torn_bytes:
            os.truncate(files[-1], max(0, files[-1].stat().st_size - torn_bytes))
        for run, numbers in self._on_disk_lost(kept).items():
            self.died_with[run] |= numbers
        self._begin(self.run.started_mono_ms + 1_000_000)

    def _on_disk(self) -> dict[RunKey, set[int]]:
        ring, found = Ring(self.root, LIMIT_BYTES, 24), defaultdict[RunKey, set[int]](set)
        lost = ring.open().losses
        ring.close()
        for segment in ring.segments:
            for run, span in segment.spans.items():
                found[run] |= set(span.numbers)
        for loss in lost:
            found[loss.run] |= set(range(loss.first, loss.last + 1))
        return found

    def _on_disk_lost(self, before: dict[RunKey, set[int]]) -> dict[RunKey, set[int]]:
        after = self._on_disk()
        return {run: numbers - after[run] for run, numbers in before.items()}

    @rule()
    def link(self) -> None:
        """A new link: what was on the way on the last one will never be confirmed."""
        self.spool.link_began()
        self.on_the_way.clear()
        self.beats.clear()

    @rule(is_written=st.booleans())
    def beat(self, is_written: bool) -> None:
        sequence = self._take().sequence
        self.spool.beat_sent(sequence, self.now_s)
        self.beats.append(sequence)
        if is_written:
            self._do(self.store._try)

    @precondition(lambda self: self.beats)
    @rule(data=st.data(), is_heard=st.booleans())
    def acknowledge(self, data: st.DataObject, is_heard: bool) -> None:
        """The master stores beats; its confirmation arrives, or does not."""
        count = data.draw(st.integers(1, len(self.beats)))
        self.master.stored[self.run] |= set(self.beats[:count])
        if is_heard:
            confirmed = self.spool.beats_stored(self.beats[count - 1])
            self.store.forget(self.run, confirmed)

    @rule()
    def replay(self) -> None:
        for loss in self.spool.losses_to_tell(self.now_s):
            told = list(range(loss.first, loss.last + 1))
            self.master.told_lost[loss.run] |= set(told)
            self.on_the_way.append((loss.run, told))
        batch = self.spool.next_batch(self.now_s)
        if batch is None:
            return

        async def fetch(ring: Ring) -> None:
            await self.store._give(ring, batch)

        self._do(fetch)
        left = self.spool.unconfirmed(batch.run)
        sent = [each for each in self.store._fetched if each.sequence in left]
        assert sent == [self.taken[batch.run][each.sequence] for each in sent]
        assert sent == sorted(sent, key=lambda each: each.sequence)
        sent = consecutive(sent)
        numbers = [each.sequence for each in sent]
        if numbers:
            self.spool.replayed(batch.run, Numbers(numbers[0], numbers[-1]), self.now_s)
            self.on_the_way.append((batch.run, numbers))
        else:
            self.spool.put_off(batch, self.now_s)

    @precondition(lambda self: self.on_the_way)
    @rule(data=st.data(), is_heard=st.booleans())
    def confirm(self, data: st.DataObject, is_heard: bool) -> None:
        run, numbers = self.on_the_way.pop(data.draw(st.integers(0, len(self.on_the_way) - 1)))
        # What was told to be lost is in nobody's hands.
        self.master.stored[run] |= set(numbers) - self.master.told_lost[run]
        if is_heard:
            for each, confirmed in self.spool.stored("boot", numbers[0], numbers[-1]).items():
                self.store.forget(each, confirmed)

    @rule()
    def wait(self) -> None:
        self.now_s += RESEND_S

    @invariant()
    def nothing_is_gone(self) -> None:
        lost = defaultdict[RunKey, set[int]](set)
        for loss in self.spool.losses:
            lost[loss.run] |= set(range(loss.first, loss.last + 1))
        for run, numbers in self.taken.items():
            accounted = self.master.stored[run] | self.master.told_lost[run]
            accounted |= set(self.spool.unconfirmed(run)) | lost[run] | self.died_with[run]
            assert set(numbers) <= accounted, (run, sorted(set(numbers) - accounted))

    @rule()
    def what_is_kept_can_be_read(self) -> None:
        for run in self.spool.runs():
            unconfirmed = self.spool.unconfirmed(run)
            in_memory = set(self.store._memory) if run == self.run else set[int]()
            found, missing = self.ring.read(run, unconfirmed)
            assert not missing
            assert set(unconfirmed) <= in_memory | {each.sequence for each in found}

    @invariant()
    def room_is_bounded(self) -> None:
        files_bytes = sum([each.stat().st_size for each in segment_files(self.root)])
        assert len(self.store._memory) <= MEMORY_SAMPLES
        if not self.is_disk_failing:
            assert self.ring.size_bytes <= files_bytes <= LIMIT_BYTES + 20 * 300


AgentAndDisk.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAgentAndDisk = AgentAndDisk.TestCase
