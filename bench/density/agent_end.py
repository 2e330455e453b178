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
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from msgspec import Raw

from bench.density.counts import Counts
from bench.density.samples import Samples
from bench.density.wire import Wire
from shared import messages as m
from shared.backoff import delays_s
from shared.connection import ClientConnection

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


class _Kept(NamedTuple):
    """A sample that the master has not confirmed."""

    sequence: int
    mono_ms: int
    sent_s: float
    """0: before this link."""
    core: bytes


class AgentEnd:
    """One agent. `number` is its place in the fleet; times are `time.monotonic`'s."""

    __slots__ = (
        "_address",
        "_attempt_s",
        "_connection",
        "_delays",
        "_kept",
        "_number",
        "_plan",
        "_replayed",
        "_sequence",
        "_started_ms",
        "_tls",
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
        self._connection = ClientConnection()
        self._started_ms = int(now_s * 1000)
        self._sequence = self._started_ms
        self._kept: deque[_Kept] = deque(maxlen=_KEPT)
        self._replayed = 0
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
        self._connection, self._attempt_s = ClientConnection(), now_s

    def ready(self, counts: Counts) -> None:
        """Something has happened to the socket: does all that can be done now.

        Raises:
            OSError: the link, or the dial, is over.
            RemoteProtocolError: so is it.
        """
        wire = self._wire
        assert wire is not None
        if wire.is_secured:
            for message in self._connection.receive(wire.read()):
                self._take(message, counts)
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
        self._sequence += 1
        sequence = self._sequence
        self.due_s = self._next_s(now_s)
        mono_ms = int(now_s * 1000)
        core = self._plan.samples.core(self._number, sequence - self._started_ms, mono_ms)
        sent_s = now_s if self.is_linked else 0.0
        self._kept.append(_Kept(sequence, mono_ms, sent_s, core))
        if self.is_linked:
            counts.beats += 1
            next_in_ms = max(100, math.ceil((self.due_s - now_s) * 1000))
            packed = Raw(core)
            self._send(m.Beat(sequence, mono_ms, time.time_ns() // 1_000_000, next_in_ms, packed))
            every = self._plan.family_every
            if every and sequence % every == 0:
                self._send_bulk(self._plan.samples.family(self._number, sequence // every))

    def _next_s(self, now_s: float) -> float:
        # On a grid of its own, and not sooner than half a period from now.
        period_s = self._plan.period_s
        phase_s = self._number * 0.618 % 1 * period_s
        steps = math.ceil((now_s + 0.5 * period_s - phase_s) / period_s)
        return phase_s + steps * period_s

    def _take(self, message: m.FromMaster, counts: Counts) -> None:
        match message:
            case m.Ack(sequence, stored):
                self._acknowledged(sequence, stored, counts)
            case m.Stored(_, first, last):
                self._kept = deque(
                    (each for each in self._kept if not first <= each.sequence <= last), _KEPT
                )
            case m.Welcome():
                self.is_linked = True
                self._replayed = self._sequence
                self._send_bulk(self._plan.samples.inventory(self._number))
            case m.Ping(token):
                self._send(m.Pong(token))
            case m.Deny(code) | m.Goodbye(code):
                raise OSError(errno.ECONNREFUSED, code)
            case _:
                pass

    def _acknowledged(self, sequence: int, stored: int, counts: Counts) -> None:
        kept, now_s = self._kept, time.monotonic()
        if kept and kept[-1].sequence == sequence:
            counts.acknowledged.add(now_s - kept[-1].sent_s)
        if self._replayed:
            self._replay()
        while kept and kept[0].sequence <= stored:
            sent_s = kept.popleft().sent_s
            if sent_s:
                counts.confirmed.add(now_s - sent_s)

    def _replay(self) -> None:
        # The first beat of the link has told the master how the clocks lie.
        old = tuple(
            m.Spooled(
                each.sequence, each.mono_ms, round(self._plan.period_s * 1000), Raw(each.core)
            )
            for each in self._kept
            if each.sequence <= self._replayed
        )
        self._replayed = 0
        if old:
            self._send_bulk(m.Replay(self._plan.boot_id, self._started_ms, old))

    def _send(self, message: m.FromClient) -> None:
        self._write(self._connection.send(message))

    def _send_bulk(self, message: m.FromClient) -> None:
        self._write(b"".join(self._connection.send_bulk(message)))

    def _write(self, frame: bytes) -> None:
        assert self._wire is not None
        self._wire.write(frame)
