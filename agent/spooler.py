"""The spool, as the rest of the agent sees it: every sample is given to it, and it sees to it that
a master gets each of them into its history, over whatever links come and go.

What is told here follows docs/protocol.md, "Samples that were not stored"; the reasons are in
docs/decisions/0018-no-sample-lost.md.
"""

import itertools
import random
from typing import Final

import msgspec
import trio

from agent.clocks import ReadClocks, read_clocks
from agent.greeting import AgentLink
from agent.numbers import Numbers
from agent.spool import Batch, Spool
from agent.spool_clock import SpoolClock
from agent.spool_records import Loss, RunKey, Sample
from agent.spool_ring import Ring
from agent.spool_store import SpoolStore
from shared import messages as m

FIRST_S: Final = 1.0
"""From the beginning of a link to the first replay, at least, and twice that at most: live beats,
the inventory and the families go first, and a fleet that links at once does not replay at once."""

PAUSE_S: Final = 0.25
"""Between two batches: a day of samples takes half a minute at the least, and a master that bounds
each link to a few hundred messages a second is not troubled."""


class Spooler:
    """One for the life of the process; `run` it. `key` is this run of the agent. Without a `ring`,
    what is not confirmed is in memory only."""

    def __init__(
        self,
        key: RunKey,
        rng: random.Random,
        clocks: ReadClocks = read_clocks,
        *,
        ring: Ring | None = None,
    ) -> None:
        self.key: Final = key
        self._rng = rng
        self._spool = Spool(key)
        self._clock = SpoolClock(key.boot_id, clocks)
        self._store = SpoolStore(self._spool, ring, self._clock)
        self._changed = trio.Event()

    def __repr__(self) -> str:
        return f"<Spooler {self._store!r}>"

    def __len__(self) -> int:
        """How many samples no master has confirmed."""
        return len(self._spool)

    async def run(self) -> None:
        """Keeps what is taken on disk, for ever. Cancellation leaves a hanging write behind."""
        await self._store.run()

    def take(self, sample: Sample) -> None:
        """A sample of this run, before it is sent."""
        self._store.take(sample)

    def troubles(self) -> tuple[m.Trouble, ...]:
        """What is wrong with the spool, for the next beat."""
        trouble = self._store.trouble()
        return () if trouble is None else (trouble,)

    def link_began(self) -> None:
        """There is a new link. Call before anything is sent on it."""
        self._spool.link_began()

    def beat_sent(self, sequence: int) -> None:
        """The sample of this number went out as a beat."""
        self._spool.beat_sent(sequence, trio.current_time())
        self._changed.set()

    def beats_stored(self, stored: int) -> None:
        """The master has all beats of this link up to this one in its history (`Ack.stored`)."""
        self._store.forget(self._spool.run, self._spool.beats_stored(stored))
        self._changed.set()

    def stored(self, message: m.Stored) -> None:
        """The master has these in its history, of what was replayed or told on this link."""
        confirmed = self._spool.stored(message.boot_id, message.first, message.last)
        for run, numbers in confirmed.items():
            self._store.forget(run, numbers)
        self._changed.set()

    async def replay(self, link: AgentLink) -> None:
        """Sends what is not confirmed, for as long as the link lasts."""
        await trio.sleep(self._rng.uniform(FIRST_S, 2 * FIRST_S))
        while True:
            self._changed = trio.Event()
            now_s = trio.current_time()
            if link.blocked_s is not None:  # the line is slow: beats first
                await trio.sleep(PAUSE_S)
                continue
            losses = self._spool.losses_to_tell(now_s)
            self._tell(link, losses)
            batch = self._spool.next_batch(now_s)
            if batch is not None:
                await self._send(link, batch)
            if batch is not None or losses:
                await trio.sleep(PAUSE_S)
                continue
            with trio.move_on_at(self._spool.next_look_s()):
                await self._changed.wait()

    async def _send(self, link: AgentLink, batch: Batch) -> None:
        samples = consecutive(await self._store.fetch(batch))
        now_s, mono_ms = trio.current_time(), self._clock.now()
        spooled = [
            m.Spooled(
                sample.sequence,
                mono_ms(sample.boot_id, sample.boot_ms, sample.wall_ms),
                sample.period_ms,
                msgspec.Raw(sample.core),
            )
            for sample in samples
        ]
        if not samples:
            self._spool.put_off(batch, now_s)
        elif link.post_bulk(m.Replay(*batch.run, tuple(spooled))):
            sent = Numbers(samples[0].sequence, samples[-1].sequence)
            self._spool.replayed(batch.run, sent, now_s)

    def _tell(self, link: AgentLink, losses: list[Loss]) -> None:
        mono_ms = self._clock.now()
        for loss in losses:
            link.post_bulk(
                m.Lost(
                    *loss.run,
                    loss.first,
                    loss.last,
                    mono_ms(loss.boot_id, loss.first_boot_ms, loss.first_wall_ms),
                    mono_ms(loss.boot_id, loss.last_boot_ms, loss.last_wall_ms),
                )
            )


def consecutive(samples: list[Sample]) -> list[Sample]:
    """The first of these samples, up to where a number is missing."""
    due = itertools.count(samples[0].sequence if samples else 0)
    return [each for each, number in zip(samples, due, strict=False) if each.sequence == number]
