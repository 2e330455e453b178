"""Which samples no master has confirmed yet, and what of them is to be sent next. Pure: numbers in,
numbers out; the samples themselves are elsewhere (`agent.spool_store`).

On a link, every sample goes out as a beat when it is taken. What was taken before is replayed, the
oldest first, a batch at a time: there are never more of them on the way than the window allows, and
that is one, and one more with each batch that is confirmed. What has not been confirmed
`RESEND_S` after it was sent, beat or batch, is replayed again, and the window is one again: a
master that cannot keep up gets a batch now and then. Nothing is remembered of a link that has
ended but what was confirmed on it.
"""

import math
from collections import deque
from typing import Final

from msgspec import Struct

from agent.numbers import Numbers
from agent.spool_records import Loss, RunKey

RESEND_S: Final = 30.0
"""Many times what a master takes to commit; no longer than anybody wants to wait for it."""

BATCH_SAMPLES: Final = 128
"""In one message, as many as the protocol has room for."""

WINDOW_BATCHES: Final = 4
"""Batches on the way at most: a commit every half a second then lets a thousand samples through."""

LOSSES_AT_ONCE: Final = 16
"""Told between two batches: far fewer messages than a master takes."""

LOSSES_LIMIT: Final = 1024
"""Losses that a master has not heard of. They are a segment's worth each; beyond that many, the
oldest are forgotten, and what they tell shows as never collected."""


class Batch(Struct, frozen=True):
    """Samples of one run that are to be replayed together. Their numbers follow each other: what
    confirms one batch, by its first and last number, confirms nothing that was sent in another."""

    run: RunKey
    numbers: Numbers


class _Flight(Struct):
    """What was sent on this link, and when."""

    sent_s: float
    run: RunKey
    numbers: Numbers
    is_replay: bool


class Spool:
    """The bookkeeping of one process; `run` is who takes samples now."""

    def __init__(self, run: RunKey) -> None:
        self.run: Final = run
        self.losses: list[Loss] = []
        """What is to be told, the oldest first."""
        self.forgotten = 0
        """Losses that there was no room for."""
        self._unconfirmed: dict[RunKey, Numbers] = {run: Numbers()}
        """By run, the oldest first. This one is always there, and the last."""
        self._flights: deque[_Flight] = deque()
        self._replayed: dict[RunKey, Numbers] = {}
        self._told_s: dict[Loss, float] = {}
        self._beats = Numbers()
        self._window = 1

    def __repr__(self) -> str:
        told = f"{len(self.losses)} losses to tell, {self.forgotten} forgotten"
        return f"<Spool of {len(self)} samples, {told}>"

    def __len__(self) -> int:
        """How many samples are not confirmed."""
        return sum(map(len, self._unconfirmed.values()))

    def unconfirmed(self, run: RunKey) -> Numbers:
        """The samples of a run that no master has confirmed."""
        return self._unconfirmed.get(run) or Numbers()

    def runs(self) -> list[RunKey]:
        """Who has taken samples that are not confirmed, the earliest first."""
        return [run for run, numbers in self._unconfirmed.items() if numbers]

    # --- what is there ------------------------------------------------------------------------

    def found(self, run: RunKey, numbers: Numbers) -> None:
        """Samples of an earlier run, or this one's, have been found on disk. Call in the order in
        which they were taken."""
        self._unconfirmed.setdefault(run, Numbers()).add_all(numbers)
        self._unconfirmed[self.run] = self._unconfirmed.pop(self.run)

    def took(self, sequence: int) -> None:
        """This run has taken a sample."""
        self._unconfirmed[self.run].add(sequence)

    def lost(self, loss: Loss) -> None:
        """These samples are no more: what was unconfirmed of them is to be told.

        The caller has left out those that are confirmed.
        """
        self._settle(loss.run, Numbers(loss.first, loss.last))
        if loss in self.losses:
            return
        last = self.losses[-1] if self.losses else None
        if last is not None and last not in self._told_s and _follow(last, loss):
            self.losses[-1] = _joined(last, loss)
        else:
            self.losses.append(loss)
        if len(self.losses) > LOSSES_LIMIT:
            self._told_s.pop(self.losses.pop(0), None)
            self.forgotten += 1

    # --- a link -------------------------------------------------------------------------------

    def link_began(self) -> None:
        """A new link: nothing has been sent on it."""
        self._flights.clear()
        self._replayed.clear()
        self._told_s.clear()
        self._beats = Numbers()
        self._window = 1

    def beat_sent(self, sequence: int, now_s: float) -> None:
        """This sample went out as a beat."""
        self._beats.add(sequence)
        self._flights.append(_Flight(now_s, self.run, Numbers(sequence), is_replay=False))

    def next_batch(self, now_s: float) -> Batch | None:
        """What to replay now; None while there is nothing, or enough on the way."""
        self._give_up(now_s)
        on_the_way = [flight for flight in self._flights if flight.is_replay]
        if len(on_the_way) >= self._window:
            return None
        for run, numbers in self._unconfirmed.items():
            free = numbers.copy()
            for flight in self._flights:
                if flight.run == run:
                    free.discard_all(flight.numbers)
            if free:
                first, last = next(free.stretches())
                return Batch(run, Numbers(first, min(last, first + BATCH_SAMPLES - 1)))
        return None

    def replayed(self, run: RunKey, numbers: Numbers, now_s: float) -> None:
        """These samples of a batch went out in a `Replay`."""
        self._flights.append(_Flight(now_s, run, numbers.copy(), is_replay=True))
        self._replayed.setdefault(run, Numbers()).add_all(numbers)

    def put_off(self, batch: Batch, now_s: float) -> None:
        """A batch cannot be read now: its turn comes again as if it had been sent."""
        left = self.unconfirmed(batch.run).common(batch.numbers)
        if left:
            self._flights.append(_Flight(now_s, batch.run, left, is_replay=False))

    def losses_to_tell(self, now_s: float) -> list[Loss]:
        """The losses to tell now, which count as told from now on."""
        never_s = -math.inf
        due = [loss for loss in self.losses if self._told_s.get(loss, never_s) + RESEND_S <= now_s]
        due = due[:LOSSES_AT_ONCE]
        self._told_s.update(dict.fromkeys(due, now_s))
        return due

    def next_look_s(self) -> float:
        """When something that was sent is to be sent again, if it is not confirmed until then."""
        times_s = [flight.sent_s for flight in self._flights]
        times_s += self._told_s.values()
        return min(times_s, default=math.inf) + RESEND_S

    def beats_stored(self, stored: int) -> Numbers:
        """The beats of this link up to that number are stored: which samples that confirms."""
        confirmed = self._beats.between(0, stored).common(self.unconfirmed(self.run))
        self._confirm(self.run, confirmed)
        return confirmed

    def stored(self, boot_id: str, first: int, last: int) -> dict[RunKey, Numbers]:
        """What was replayed or told on this link with numbers from `first` to `last` of that boot
        is stored: which samples that confirms."""
        confirmed: dict[RunKey, Numbers] = {}
        for run, sent in self._replayed.items():
            if run.boot_id == boot_id:
                numbers = sent.between(first, last).common(self.unconfirmed(run))
                if numbers:
                    confirmed[run] = numbers
        for run, numbers in confirmed.items():
            self._confirm(run, numbers)
        for loss in list(self._told_s):
            if loss.boot_id == boot_id and first <= loss.first and loss.last <= last:
                del self._told_s[loss]
                self.losses.remove(loss)
        return confirmed

    def _confirm(self, run: RunKey, numbers: Numbers) -> None:
        arrived = self._settle(run, numbers)
        self._window = min(WINDOW_BATCHES, self._window + arrived)

    def _settle(self, run: RunKey, numbers: Numbers) -> int:
        """Nothing more is to be done about these; how many batches that were on the way are
        through."""
        left = self._unconfirmed.get(run)
        if left is not None:
            left.discard_all(numbers)
            if not left and run != self.run:
                del self._unconfirmed[run]
        for flight in self._flights:
            if flight.run == run:
                flight.numbers.discard_all(numbers)
        through = [flight for flight in self._flights if not flight.numbers]
        if through:
            self._flights = deque([flight for flight in self._flights if flight.numbers])
        return sum([flight.is_replay for flight in through])

    def _give_up(self, now_s: float) -> None:
        while self._flights and self._flights[0].sent_s + RESEND_S <= now_s:
            if self._flights.popleft().is_replay:
                self._window = 1


def _follow(before: Loss, after: Loss) -> bool:
    return before.run == after.run and before.last + 1 == after.first


def _joined(before: Loss, after: Loss) -> Loss:
    return Loss(
        before.boot_id,
        before.started_mono_ms,
        before.first,
        after.last,
        before.first_boot_ms,
        before.first_wall_ms,
        after.last_boot_ms,
        after.last_wall_ms,
    )
