"""A link whose socket a worker holds, and the hub's end of one worker.

For sessions, viewers and openings a `RelayedStream` is a stream as any other
(`shared.stream.LinkStream`). It has no descriptor and no task: the relay calls its reader when
something has arrived.

What the worker may still have to write of one link is bounded: `WINDOW_BYTES` are on their way at
most, as with a kernel's buffer, and more is refused until the peer has taken some. What has arrived
and is not received is bounded too: by the sessions, which receive at once, and by
`UNREAD_LIMIT_BYTES`.
"""

import struct
from collections.abc import Callable
from typing import Final, NoReturn, Protocol, TypeVar, runtime_checkable

import msgspec
import trio

from master import relay as r
from master.readiness import REST_S, Reader, Telling
from master.relay_pipe import RECEIVE_BYTES, RelayPipe
from shared.errors import LinkBrokenError, RemoteProtocolError, Violation

WINDOW_BYTES: Final = 256 * 1024
"""Less than a worker holds back for a peer, less than a viewer's outbox, and enough for 20 MB/s."""

UNREAD_LIMIT_BYTES: Final = 256 * 1024
"""An honest peer waits for its welcome and for its answers."""

CURRENT_S: Final = 1.0
"""A worker that has not said for so long that it is current is behind, or stopped: what its peers
have sent may lie at its sockets."""

EVIDENCE_S: Final = 1.5
"""For how long what a worker has seen of a peer's kernel is evidence: the detector looks every
second."""

_CLOSED: Final = "closed on this side"

Decoded = TypeVar("Decoded")


@runtime_checkable
class Orphan(Reader, Protocol):
    """A reader that tells a worker's doing from a peer's."""

    def orphaned(self, reason: str) -> None:
        """The worker that held the link has ended it, or itself, which says nothing about the
        peer."""
        ...


class RelayedStream(Telling):
    """One link through a worker."""

    __slots__ = (
        "_ended",
        "_has_flooded",
        "_inbox",
        "_is_blocked",
        "_on_way_bytes",
        "_reader",
        "_relay",
        "_waiting",
        "number",
    )

    def __init__(self, relay: "Relay", number: int) -> None:
        self.number: Final = number
        self._relay = relay
        self._inbox = b""
        self._ended: str | None = None
        """What `r.ENDED` said; or that this side has closed it."""
        self._has_flooded = False
        self._is_blocked = False
        self._on_way_bytes = 0
        self._reader: Reader | None = None
        self._waiting: trio.lowlevel.ParkingLot | None = None

    def __repr__(self) -> str:
        return f"<RelayedStream {self.number} {self._ended or f'{len(self._inbox)} B unread'}>"

    async def receive_some(self) -> bytes:
        # Never twice in a row without waiting: what has arrived is taken in one go.
        while (data := self.receive_nowait()) is None:
            await self._park()
        return data

    def receive_nowait(self) -> bytes | None:
        if self._inbox:
            data, self._inbox = self._inbox, b""
            return data
        if self._ended is None:
            return None
        if self._ended:
            self._fail(self._ended)
        return b""

    async def wait_readable(self) -> None:
        while not self._inbox and self._ended is None:
            await self._park()

    def send_nowait(self, data: bytes) -> bool:
        if self._ended and not self._has_flooded:
            raise LinkBrokenError(self._ended)
        if self._is_blocked or self._on_way_bytes >= WINDOW_BYTES:
            return False
        self._on_way_bytes += len(data)
        self._relay.post(r.DATA, self.number, data)
        return True

    async def wait_writable(self) -> None:
        await trio.lowlevel.checkpoint()
        while self._is_blocked or self._on_way_bytes >= WINDOW_BYTES:
            if self._ended and not self._has_flooded:
                raise LinkBrokenError(self._ended)
            await self._park()

    def has_unread(self) -> bool:
        """Whether something has arrived that nobody has read, here or, for all that is known, at
        the worker. Whoever asks has doubts about the peer: the worker is asked to look at its
        kernel in time for the next question (`unacknowledged`)."""
        if self._inbox or self._relay.is_behind():
            return True
        self._relay.probe(self.number)
        return False

    def unacknowledged(self) -> int | None:
        return self._relay.evidence_of(self.number)

    def shutdown(self) -> None:
        if not self._ended:
            self._relay.post(r.SHUTDOWN, self.number)

    def close(self) -> None:
        if self._ended != _CLOSED:
            self._inbox, self._ended, self._has_flooded = b"", _CLOSED, False
            self._reader = None
            self._relay.closed(self.number)
            self._wake()

    def tell(self, reader: Reader | None) -> bool:
        if reader is not None and self._ended == _CLOSED:
            raise LinkBrokenError(_CLOSED)
        self._reader = reader
        return bool(self._inbox) or self._ended is not None

    async def catch_up(self) -> None:
        if self._reader is not None and self._inbox:
            self._reader.readable(trio.current_time())
        if self._reader is not None and self._ended is not None:
            self._reader.readable(trio.current_time())

    def established(self) -> None:
        """The peer is authenticated: it is no stranger to its worker any more."""
        self._relay.post(r.ESTABLISHED, self.number)

    def arrived(self, data: bytes, now_s: float) -> None:
        """For the relay: the peer has sent this."""
        if self._ended is not None:
            return
        self._inbox = self._inbox + data if self._inbox else data
        if self._reader is not None:
            self._reader.readable(now_s)
        elif len(self._inbox) > UNREAD_LIMIT_BYTES:
            self.flooded(f"over {UNREAD_LIMIT_BYTES} bytes that nobody could read yet", now_s)
        else:
            self._wake()

    def ended(self, reason: str, now_s: float) -> None:
        """For the relay: nothing more comes from the peer; see `r.ENDED`."""
        if self._ended is None or (reason and not self._ended):
            self._ended = reason
            if self._reader is not None:
                self._reader.readable(now_s)
            self._wake()

    def flooded(self, text: str, now_s: float) -> None:
        """For the relay: the peer has sent more than it may."""
        self._has_flooded = True
        self.ended(text, now_s)

    def blocked(self) -> None:
        """For the relay: the peer's socket refuses to take more."""
        self._is_blocked = True

    def taken(self, count: int) -> None:
        """For the relay: the peer's socket has taken so many bytes."""
        self._on_way_bytes -= count
        self._wake()

    def writable(self) -> None:
        """For the relay: the peer's socket has taken all there was."""
        self._is_blocked = False
        self._wake()

    def orphan(self, reason: str) -> None:
        """For the relay: the worker has ended the link, or is gone."""
        reader = self._reader
        if self._ended != _CLOSED:
            self._inbox, self._ended, self._has_flooded = b"", reason, False
            self._wake()
        if isinstance(reader, Orphan):
            reader.orphaned(reason)
        elif reader is not None:
            reader.readable(trio.current_time())

    def _fail(self, reason: str) -> NoReturn:
        if self._has_flooded:
            raise RemoteProtocolError(Violation.FLOOD, reason)
        raise LinkBrokenError(reason)

    async def _park(self) -> None:
        if self._waiting is None:
            self._waiting = trio.lowlevel.ParkingLot()
        await self._waiting.park()

    def _wake(self) -> None:
        if self._waiting is not None:
            self._waiting.unpark_all()


class Relay:
    """The hub's end of one worker. `run` it until the worker is gone; then `orphan` its links.

    `opened` is told of every peer that has completed its handshake, `limit_hit` how many were
    refused one.
    """

    def __init__(
        self,
        pipe: RelayPipe,
        opened: Callable[[RelayedStream, r.Opened], None],
        limit_hit: Callable[[str, str, int], None],
    ) -> None:
        self.pipe: Final = pipe
        self.post: Final = pipe.post
        self.heard_s = trio.current_time()
        """When the worker last said something."""
        self.has_spoken = False
        self._opened = opened
        self._limit_hit = limit_hit
        self._unpacker = r.Unpacker()
        self._streams: dict[int, RelayedStream] = {}
        self._evidence: dict[int, tuple[float, int | None]] = {}
        self._current_s = self.heard_s

    def __repr__(self) -> str:
        return f"<Relay of {len(self._streams)} links, {self.pipe!r}>"

    def __len__(self) -> int:
        """Links that the worker holds."""
        return len(self._streams)

    async def run(self) -> None:
        """Takes what the worker says, until it is gone.

        Raises:
            RelayError: it does not keep to the protocol.
        """
        while data := await self.pipe.receive():
            now_s = trio.current_time()
            self.heard_s, self.has_spoken = now_s, True
            self.take(data, now_s)
            if len(data) < RECEIVE_BYTES:
                await trio.sleep(REST_S)
            else:
                await trio.lowlevel.checkpoint()

    def take(self, data: bytes, now_s: float) -> None:
        """Takes what has arrived at `now_s`, trio's time. Raises RelayError as `run`."""
        streams = self._streams
        for kind, number, payload in self._unpacker.feed(data):
            stream = streams.get(number)
            if kind == r.DATA:
                if stream is not None:
                    stream.arrived(payload, now_s)
            elif kind == r.CURRENT:
                self._current_s = now_s
            elif kind == r.OPENED:
                self._open(number, payload)
            elif kind == r.LIMIT:
                hit = _decoded(r.decode_limit, payload)
                self._limit_hit(hit.limit, hit.address, hit.times)
            elif stream is not None:
                self._take_news(stream, kind, payload, now_s)

    def orphan(self, reason: str) -> int:
        """The worker is gone, and its links with it: so many."""
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.orphan(reason)
        return len(streams)

    def is_behind(self) -> bool:
        """Whether what has arrived at the worker's sockets may not have come here yet."""
        return (
            trio.current_time() - self._current_s > CURRENT_S
            or self._unpacker.holds_part
            or self.pipe.has_unread()
        )

    def probe(self, number: int) -> None:
        """Has the worker look at what a peer's kernel acknowledges."""
        self.post(r.PROBE, number)

    def evidence_of(self, number: int) -> int | None:
        """What it has seen lately: see `LinkStream.unacknowledged`."""
        seen_s, count = self._evidence.get(number, (0.0, None))
        return count if trio.current_time() - seen_s <= EVIDENCE_S else None

    def closed(self, number: int) -> None:
        """For a stream: this side has closed it."""
        self._evidence.pop(number, None)
        if self._streams.pop(number, None) is not None:
            self.post(r.CLOSE, number)

    def _open(self, number: int, payload: bytes) -> None:
        opened = _decoded(r.decode_opened, payload)
        if number in self._streams:
            raise r.RelayError(f"link {number} is opened twice")
        self._streams[number] = stream = RelayedStream(self, number)
        self._opened(stream, opened)

    def _take_news(self, stream: RelayedStream, kind: int, payload: bytes, now_s: float) -> None:
        match kind:
            case r.ENDED:
                stream.ended(payload.decode(errors="replace"), now_s)
            case r.CUT_OFF:
                stream.orphan(payload.decode(errors="replace"))
            case r.FLOODED:
                stream.flooded(payload.decode(errors="replace"), now_s)
            case r.BLOCKED:
                stream.blocked()
            case r.TAKEN:
                stream.taken(_count(payload))
            case r.WRITABLE:
                stream.writable()
            case r.EVIDENCE:
                self._evidence[stream.number] = (now_s, _count(payload) if payload else None)
            case _:
                raise r.RelayError(f"a frame of kind {kind}")


def _decoded(decode: Callable[[bytes], Decoded], payload: bytes) -> Decoded:
    try:
        return decode(payload)
    except msgspec.DecodeError as error:
        raise r.RelayError(f"a payload that does not decode: {error}") from error


def _count(payload: bytes) -> int:
    try:
        (count,) = r.COUNT.unpack(payload)
    except struct.error as error:
        raise r.RelayError("a count that is none") from error
    return int(count)
