"""One agent's end of a link as the load generator drives it: the real protocol over a non-blocking
TLS socket, and nothing that costs more than it must.

It has an identity and an address of its own, and does what an agent does: beats on a grid of its
own, the first one when it is welcomed; numbers its samples, keeps those that the master has not
confirmed, and sends them again after a break; answers pings; dials again with the agent's own
back-off.
"""

import errno
import math
import random
import select
import ssl
import time
from collections.abc import Iterator
from typing import Final

from msgspec import Raw

from bench.density.counts import Counts
from bench.density.quick import QuickConnection
from bench.density.samples import Samples
from bench.density.wire import Wire
from shared import messages as m
from shared.backoff import delays_s

DIAL_S: Final = 10.0
"""As an agent's: from the first packet to the welcome."""

STABLE_S: Final = 10.0
"""As an agent's: a link that lasted this long was a good one."""

_KEPT: Final = 128
"""Unconfirmed samples: more than a minute at the ordinary cadence, and what one `Replay` takes."""


class Plan:
    """What all agents of one process have in common."""

    def __init__(
        self,
        master: tuple[str, int],
        server_name: str,
        *,
        boot_id: str,
        period_s: float,
        family_every: int,
    ) -> None:
        self.master: Final = master
        self.server_name: Final = server_name
        self.boot_id: Final = boot_id
        self.period_s = period_s
        """Between two beats; may change at any time."""
        self.family_every: Final = family_every
        """Beats to one family in full; 0: none are sent."""
        self.samples: Final = Samples()
        self.rng: Final = random.Random()


class AgentEnd:
    """One agent. `number` is its place in the fleet; times are `time.monotonic`'s."""

    __slots__ = (
        "_address",
        "_attempt_s",
        "_connection",
        "_delays",
        "_has_replayed",
        "_kept",
        "_number",
        "_phase",
        "_plan",
        "_sequence",
        "_started_ms",
        "_tls",
        "_unlinked",
        "_wire",
        "due_s",
        "is_linked",
    )

    def __init__(
        self, number: int, address: str, tls: ssl.SSLContext, plan: Plan, now_s: float
    ) -> None:
        self.is_linked = False
        self.due_s = 0.0
        """When the next beat is."""
        self._number = number
        self._address = address
        self._tls = tls
        self._plan = plan
        self._delays: Iterator[float] = delays_s(plan.rng)
        self._wire: Wire | None = None
        self._connection = QuickConnection()
        self._phase = number * 0.618 % 1
        """Of the grid of its beats, in periods."""
        self._started_ms = int(now_s * 1000)
        self._sequence = self._started_ms
        self._kept: list[float] = []
        """When the samples up to `_sequence` were taken that the master has not confirmed. What was
        in them, `Samples` can tell again."""
        self._unlinked = 0
        """The last sample that was taken before this link."""
        self._has_replayed = True
        self._attempt_s = 0.0

    def __repr__(self) -> str:
        return f"<AgentEnd {self._number} {self._connection!r}>"

    @property
    def descriptor(self) -> int:
        """Of the socket; -1: there is none."""
        return -1 if self._wire is None else self._wire.descriptor

    def gave_up(self, now_s: float) -> bool:
        """Whether a dial has lasted for too long."""
        is_dialling = self._wire is not None and not self.is_linked
        return is_dialling and now_s - self._attempt_s >= DIAL_S

    def dial(self, epoll: select.epoll, now_s: float) -> None:
        """Begins to connect, with a descriptor that is registered."""
        self._wire = Wire(epoll, self._address, self._plan.master)
        self._connection, self._attempt_s = QuickConnection(), now_s

    def ready(self, counts: Counts, seen_s: float | None = None) -> None:
        """Something has happened to the socket: does all that can be done now. `seen_s` is when
        that was noticed; None: now.

        Raises:
            OSError: the link, or the dial, is over.
            RemoteProtocolError: so is it.
        """
        wire = self._wire
        assert wire is not None
        if wire.is_secured:
            data = wire.read()
            seen_s = time.monotonic() if seen_s is None else seen_s
            ack = self._connection.lone_ack(data)
            if ack is not None:
                self._acknowledged(ack.sequence, ack.stored, seen_s, counts)
            else:
                for message in self._connection.receive(data):
                    self._take(message, seen_s, counts)
        elif wire.secure(self._tls, self._plan.server_name):
            versions = m.PROTOCOL_MIN, m.PROTOCOL_MAX
            self._send(m.AgentHello(*versions, "bench", self._plan.boot_id, self._started_ms))

    def end(self, now_s: float, error: str, counts: Counts) -> float:
        """The link or the dial is over; returns when to dial again."""
        counts.failed(error)
        if self.is_linked:
            counts.lost_links += 1
            if now_s - self._attempt_s >= STABLE_S:
                self._delays = delays_s(self._plan.rng)
        else:
            counts.failed_dials += 1
        if self._wire is not None:
            self._wire.close()
        self._wire, self.is_linked = None, False
        return now_s + next(self._delays)

    def beat(self, now_s: float, counts: Counts) -> None:
        """Takes a sample, and sends it when there is a link. The next one is at `due_s`.

        Raises:
            OSError: the link is over.
        """
        self._sequence = sequence = self._sequence + 1
        self.due_s = self._next_s(now_s)
        kept = self._kept
        kept.append(now_s)
        if len(kept) > _KEPT:
            del kept[0]
        if self.is_linked:
            counts.beats += 1
            wall_ms = time.time_ns() // 1_000_000
            next_in_ms = max(100, math.ceil((self.due_s - now_s) * 1000))
            core = self._core(sequence, now_s)
            beat = m.Beat(sequence, int(now_s * 1000), wall_ms, next_in_ms, core)
            self._write(m.encode(beat))  # which a linked agent may always say
            every = self._plan.family_every
            if every and sequence % every == 0:
                self._send_bulk(self._plan.samples.family(self._number, sequence // every))

    def _core(self, sequence: int, taken_s: float) -> Raw:
        sample = sequence - self._started_ms
        return Raw(self._plan.samples.core(self._number, sample, int(taken_s * 1000)))

    def _next_s(self, now_s: float) -> float:
        # On a grid of its own, and not sooner than half a period from now.
        period_s, phase = self._plan.period_s, self._phase
        return (phase + math.ceil(now_s / period_s + 0.5 - phase)) * period_s

    def _take(self, message: m.FromMaster, seen_s: float, counts: Counts) -> None:
        match message:
            case m.Ack(sequence, stored):
                self._acknowledged(sequence, stored, seen_s, counts)
            case m.Stored(_, first, last):
                # What is older than `first` is replayed again by the next link, and so is the rest.
                if first <= self._oldest():
                    self._forget(last)
            case m.Welcome():
                self.is_linked = True
                self._unlinked, self._has_replayed = self._sequence, False
                self._send_bulk(self._plan.samples.inventory(self._number))
            case m.Ping(token):
                self._send(m.Pong(token))
            case m.Deny(code) | m.Goodbye(code):
                raise OSError(errno.ECONNREFUSED, code)
            case _:
                pass

    def _acknowledged(self, sequence: int, stored: int, seen_s: float, counts: Counts) -> None:
        oldest = self._oldest()
        if max(oldest, self._unlinked + 1) <= sequence <= self._sequence:
            counts.acknowledged.add(seen_s - self._kept[sequence - oldest])
        if not self._has_replayed:
            self._replay()
        if stored >= oldest:
            for sent_s in self._forget(stored):
                counts.confirmed.add(seen_s - sent_s)

    def _oldest(self) -> int:
        return self._sequence - len(self._kept) + 1

    def _forget(self, last: int) -> list[float]:
        """Samples up to this one are in history; returns when those were sent that this link has
        sent as beats."""
        kept, oldest = self._kept, self._oldest()
        forgotten = max(0, last + 1 - oldest)
        sent = kept[max(0, self._unlinked + 1 - oldest) : forgotten]
        del kept[:forgotten]
        return sent

    def _replay(self) -> None:
        # The first beat of the link has told the master how the clocks lie.
        self._has_replayed = True
        period_ms = round(self._plan.period_s * 1000)
        old = tuple(
            m.Spooled(sequence, int(taken_s * 1000), period_ms, self._core(sequence, taken_s))
            for sequence, taken_s in enumerate(self._kept, self._oldest())
            if sequence <= self._unlinked
        )
        if old:
            self._send_bulk(m.Replay(self._plan.boot_id, self._started_ms, old))

    def _send(self, message: m.FromClient) -> None:
        self._write(self._connection.send(message))

    def _send_bulk(self, message: m.FromClient) -> None:
        self._write(b"".join(self._connection.send_bulk(message)))

    def _write(self, frame: bytes) -> None:
        assert self._wire is not None
        self._wire.write(frame)
