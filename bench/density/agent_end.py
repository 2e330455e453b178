"""One agent's end of a link as the load generator drives it: the real protocol over a non-blocking
TLS socket, and nothing that costs more than it must.

It does what an agent does: beats on a grid of its own, the first one when it is welcomed; numbers
its samples, keeps those that the master has not confirmed, and sends them again after a break;
answers pings; dials again with the agent's own back-off.
"""

import errno
import math
import os
import random
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from msgspec import Raw

from bench.density.counts import Counts
from bench.density.identities import Credentials
from bench.density.samples import Samples
from shared import messages as m
from shared.backoff import delays_s
from shared.connection import ClientConnection
from shared.tls import load_leaf

DIAL_S: Final = 10.0
"""As an agent's: from the first packet to the welcome."""

STABLE_S: Final = 10.0
"""As an agent's: a link that lasted this long was a good one."""

EVENTS: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
"""Registered once: whatever happens, everything that is possible is done."""

_KEPT: Final = 128
"""Unconfirmed samples: more than a minute at the ordinary cadence, and what one `Replay` takes."""

_RECEIVE_BYTES: Final = 16 * 1024
_IP_BIND_ADDRESS_NO_PORT: Final = 24
"""linux/in.h: the port is chosen when it is known where to, so each address has 28,000 of them for
each master."""

_BOOT_ID: Final = "bench"


class Plan(NamedTuple):
    """What all agents of one process have in common."""

    master: tuple[str, int]
    server_name: str
    tls: ssl.SSLContext
    samples: Samples
    period_s: float
    family_every: int
    """Beats to one family in full; 0: none are sent."""


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
        "_attempt_s",
        "_connection",
        "_credentials",
        "_delays",
        "_is_connected",
        "_is_secured",
        "_kept",
        "_number",
        "_plan",
        "_replayed",
        "_rng",
        "_sequence",
        "_socket",
        "_started_ms",
        "_unsent",
        "descriptor",
        "due_s",
        "is_linked",
    )

    def __init__(self, number: int, credentials: Credentials, plan: Plan, now_s: float) -> None:
        self.is_linked = False
        self.descriptor = -1
        """Of the socket; -1: there is none."""
        self.due_s = 0.0
        """When the next beat is."""
        self._number = number
        self._credentials = credentials
        self._plan = plan
        self._rng = random.Random(number)
        self._delays: Iterator[float] = delays_s(self._rng)
        self._socket: socket.socket | None = None
        self._connection = ClientConnection()
        self._is_connected = False
        self._is_secured = False
        self._unsent = b""
        self._started_ms = int(now_s * 1000)
        self._sequence = self._started_ms
        self._kept: deque[_Kept] = deque(maxlen=_KEPT)
        self._replayed = 0
        self._attempt_s = 0.0

    def __repr__(self) -> str:
        return f"<AgentEnd {self._number} {self._connection!r}>"

    @property
    def is_dialling(self) -> bool:
        """There is a socket, and no welcome yet."""
        return self._socket is not None and not self.is_linked

    def gave_up(self, now_s: float) -> bool:
        """Whether a dial has lasted for too long."""
        return self.is_dialling and now_s - self._attempt_s >= DIAL_S

    def dial(self, epoll: select.epoll, now_s: float) -> None:
        """Begins to connect, with a descriptor that is registered."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((self._credentials.address, 0))
        self._socket, self.descriptor, self._attempt_s = sock, sock.fileno(), now_s
        self._connection, self._unsent = ClientConnection(), b""
        self._is_connected = self._is_secured = False
        epoll.register(sock, EVENTS)
        sock.connect_ex(self._plan.master)

    def ready(self, counts: Counts) -> None:
        """Something has happened to the socket: does all that can be done now.

        Raises:
            OSError: the link, or the dial, is over.
            RemoteProtocolError: so is it.
        """
        if not self._is_connected and not self._connected():
            return
        if not self._is_secured and not self._secured():
            return
        if self._unsent:
            self._write(b"")
        self._read(counts)

    def end(self, now_s: float, error: str, counts: Counts) -> float:
        """The link or the dial is over; returns when to dial again."""
        counts.failed(error)
        if self.is_linked:
            counts.lost_links += 1
            if now_s - self._attempt_s >= STABLE_S:
                self._delays = delays_s(self._rng)
        else:
            counts.failed_dials += 1
        if self._socket is not None:
            self._socket.close()
        self._socket, self.descriptor, self.is_linked = None, -1, False
        return now_s + next(self._delays)

    def beat(self, now_s: float, counts: Counts) -> None:
        """Takes a sample, and sends it when there is a link. The next one is at `due_s`.

        Raises:
            OSError: the link is over.
        """
        self._sequence += 1
        sequence = self._sequence
        self.due_s = self._next_s(now_s)
        core = self._plan.samples.core(self._number, sequence - self._started_ms)
        mono_ms = int(now_s * 1000)
        sent_s = time.monotonic() if self.is_linked else 0.0
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

    def _connected(self) -> bool:
        sock = self._socket
        assert sock is not None
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        try:
            sock.getpeername()
        except OSError as unconnected:
            if unconnected.errno == errno.ENOTCONN:
                return False
            raise
        # OpenSSL copies the certificate when a connection is made: one context serves all agents.
        load_leaf(self._plan.tls, self._credentials.pem)
        self._socket = self._plan.tls.wrap_socket(
            sock, server_hostname=self._plan.server_name, do_handshake_on_connect=False
        )
        self._is_connected = True
        return True

    def _secured(self) -> bool:
        sock = self._socket
        assert isinstance(sock, ssl.SSLSocket)
        try:
            sock.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        self._is_secured = True
        versions = m.PROTOCOL_MIN, m.PROTOCOL_MAX
        self._send(m.AgentHello(*versions, "bench", _BOOT_ID, self._started_ms))
        return True

    def _read(self, counts: Counts) -> None:
        sock = self._socket
        assert sock is not None
        while True:
            try:
                data = sock.recv(_RECEIVE_BYTES)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            if not data:
                raise OSError(errno.ECONNRESET, "closed by the master")
            for message in self._connection.receive(data):
                self._take(message, counts)

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
            self._send_bulk(m.Replay(_BOOT_ID, self._started_ms, old))

    def _send(self, message: m.FromClient) -> None:
        self._write(self._connection.send(message))

    def _send_bulk(self, message: m.FromClient) -> None:
        self._write(b"".join(self._connection.send_bulk(message)))

    def _write(self, frame: bytes) -> None:
        # What was refused is repeated with the same bytes first: OpenSSL accepts it in a longer
        # buffer, which Python's sockets allow.
        sock = self._socket
        assert sock is not None
        unsent = self._unsent + frame
        try:
            while unsent:
                unsent = unsent[sock.send(unsent) :]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        self._unsent = unsent
