"""A network in memory: `shared.stream.LinkStream` over trio, with what real networks do to it.

What is sent arrives at once and in order. Like a kernel, each direction holds so many bytes that
the receiver has not taken, and refuses more. A wire can be cut (both ends learn of it, as by RST)
or become a black hole (neither does).
"""

from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from shared.errors import LinkBrokenError

KERNEL_BYTES: Final = 64 * 1024
"""What one direction holds by default."""

RECEIVE_BYTES: Final = 16 * 1024


class Wire:
    """One connection: `client` and `master` are its ends."""

    def __init__(self, limit_bytes: int = KERNEL_BYTES) -> None:
        self.limit_bytes: Final = limit_bytes
        self.is_black_hole = False
        self.is_reachable: Callable[[], bool] = lambda: True
        """Whether the client's kernel hears anything now: what is sent meanwhile waits."""
        self.client = MemoryStream(self)
        self.master = MemoryStream(self)
        self.client.peer, self.master.peer = self.master, self.client

    def __repr__(self) -> str:
        return f"<Wire {self.client!r} {self.master!r}>"

    def cut(self) -> None:
        """Both ends learn at once that the connection is gone, whatever was in flight."""
        for end in (self.client, self.master):
            end.break_with("connection reset by peer")

    def swallow(self) -> None:
        """From now on nothing arrives, and nobody is told: a cable pulled out, a host without
        power."""
        self.is_black_hole = True


class MemoryStream:
    """One end of a wire."""

    peer: "MemoryStream"

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._arrived: deque[bytes] = deque()
        self._arrived_bytes = 0
        self._swallowed_bytes = 0
        self._refused_bytes = 0
        self._has_ended = False
        self._broken: str | None = None
        self._readers = trio.lowlevel.ParkingLot()
        self._writers = trio.lowlevel.ParkingLot()

    def __repr__(self) -> str:
        return f"<MemoryStream {self._broken or f'{self._arrived_bytes} B unread'}>"

    @property
    def unread_bytes(self) -> int:
        """What has arrived here and was not received yet."""
        return self._arrived_bytes

    @property
    def is_closed(self) -> bool:
        return self._broken == "closed on this side"

    def has_unread(self) -> bool:
        return bool(self._arrived)

    def unacknowledged(self) -> int | None:
        # This network's kernels acknowledge what they take, whether it is received or not.
        if not self._wire.is_reachable():
            return self._swallowed_bytes + 1
        return self._swallowed_bytes

    async def receive_some(self) -> bytes:
        while (data := self.receive_nowait()) is None:
            await self.wait_readable()
        return data

    def receive_nowait(self) -> bytes | None:
        if self._broken is not None:
            raise LinkBrokenError(self._broken)
        if self._arrived:
            return self._take()
        return b"" if self._has_ended else None

    async def wait_readable(self) -> None:
        assert not self._readers, "two tasks read one stream"
        while self._broken is None and not self._arrived and not self._has_ended:
            await self._readers.park()

    def send_nowait(self, data: bytes) -> bool:
        if self._broken is not None:
            raise LinkBrokenError(self._broken)
        if not self._has_room_for(len(data)):
            self._refused_bytes = len(data)
            return False
        if self._wire.is_black_hole:
            self._swallowed_bytes += len(data)
        else:
            self.peer.arrive(data)
        return True

    async def wait_writable(self) -> None:
        while self._broken is None and not self._has_room_for(self._refused_bytes):
            await self._writers.park()
        if self._broken is not None:
            raise LinkBrokenError(self._broken)
        await trio.lowlevel.checkpoint()

    def shutdown(self) -> None:
        if self._broken is None and not self._wire.is_black_hole:
            self.peer.end()

    def close(self) -> None:
        if self._broken is not None:
            return
        self.break_with("closed on this side")
        if self._wire.is_black_hole:
            return
        if self._arrived:
            # As kernels do: what was not read makes it a reset, which overtakes what was sent.
            self.peer.break_with("connection reset by peer")
        else:
            self.peer.end()

    def arrive(self, data: bytes) -> None:
        """Bytes for this end."""
        if self._broken is None:
            self._arrived.append(data)
            self._arrived_bytes += len(data)
            self._readers.unpark_all()
        else:
            self.peer.break_with("connection reset by peer")

    def end(self) -> None:
        """The peer will not send any more."""
        self._has_ended = True
        self._readers.unpark_all()

    def break_with(self, reason: str) -> None:
        """Nothing can be sent or received here any more."""
        if self._broken is None:
            self._broken = reason
            self._readers.unpark_all()
            self._writers.unpark_all()

    def _has_room_for(self, size_bytes: int) -> bool:
        in_flight_bytes = self.peer.unread_bytes + self._swallowed_bytes
        return not in_flight_bytes or in_flight_bytes + size_bytes <= self._wire.limit_bytes

    def _take(self) -> bytes:
        data = self._arrived.popleft()
        while self._arrived and len(data) + len(self._arrived[0]) <= RECEIVE_BYTES:
            data += self._arrived.popleft()
        self._arrived_bytes -= len(data)
        self.peer.drained()
        return data

    def drained(self) -> None:
        """The peer has read: there may be room again."""
        self._writers.unpark_all()
