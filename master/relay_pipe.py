"""One end of the socket pair between hub and worker: collects what is to be said, and writes it in
one go.

Whoever has something to say adds a frame to a buffer; a task of its own is woken by the first of
them and writes when it has its turn, which is after everybody who has something to say now. So ten
thousand beats a second are a few hundred system calls.
"""

import socket
from typing import Final

import trio

from master.relay import HEAD
from shared.stream import is_readable

RECEIVE_BYTES: Final = 64 * 1024
"""Two hundred beats, and five milliseconds: then others have their turn."""

SOCKET_BUFFER_BYTES: Final = 1024 * 1024
"""Asked for; the system's limit for users is usually a fifth of it, and enough."""


class RelayPipe:
    """Takes the socket over. `write_out` has to run for anything to be written."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)
        self._socket: Final = sock
        self._out = bytearray()
        self._wake = trio.Event()
        self._written = trio.lowlevel.ParkingLot()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<RelayPipe {len(self._out)} B to be written>"

    @property
    def pending_bytes(self) -> int:
        """What the other side has not taken yet."""
        return len(self._out)

    def post(self, kind: int, number: int, payload: bytes = b"") -> None:
        """Adds a frame. Never waits; see `pending_bytes`."""
        out = self._out
        if not out:
            self._wake.set()
        out += HEAD.pack(kind, number, len(payload))
        out += payload

    async def write_out(self) -> None:
        """Writes what is posted, until the other side is gone or this one is closed."""
        sock, out = self._socket, self._out
        try:
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                while out:
                    try:
                        written = sock.send(out)
                    except BlockingIOError:
                        await trio.lowlevel.wait_writable(sock)
                    else:
                        del out[:written]
                        self._written.unpark_all()
        except (OSError, trio.ClosedResourceError):
            return  # whoever receives learns of it

    async def receive(self) -> bytes:
        """What has arrived; b"" when the other side is gone, or this one is closed."""
        while True:
            try:
                return self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                try:
                    await trio.lowlevel.wait_readable(self._socket)
                except trio.ClosedResourceError:
                    return b""
            except OSError:
                return b""

    async def wait_below(self, limit_bytes: int) -> None:
        """Until less than this waits to be written."""
        while len(self._out) >= limit_bytes:
            await self._written.park()

    def has_unread(self) -> bool:
        """Whether something has arrived that nobody has received."""
        return not self._is_closed and is_readable(self._socket)

    def close(self) -> None:
        """May be called twice."""
        if not self._is_closed:
            self._is_closed = True
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
