"""What can happen to a connection under a link, on this host and without privileges.

A cut cable is a socket filter that drops every segment before TCP sees it: nothing is acknowledged,
as when the other end has vanished. Linux has such filters; elsewhere a cut looks like a hang.
"""

import ctypes
import socket
import struct
import sys
from typing import Final

from shared.errors import LinkBrokenError
from shared.stream import SocketStream

# asm-generic/socket.h; Python has no names for them.
_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27

_DROP_ALL: Final = struct.pack("HBBI", 0x06, 0, 0, 0)
"""BPF: return 0, which is how many bytes of a packet to keep."""

_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""linger: closing discards what is unsent and resets the connection."""


class Line:
    """A link's stream (`shared.stream.LinkStream`) that can be taken out of its agent's hands."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._is_taken = False

    def __repr__(self) -> str:
        return f"<Line {'taken from ' if self._is_taken else ''}{self._stream!r}>"

    def take(self) -> SocketStream:
        """From now on the agent can do nothing to the connection, not even end it."""
        self._is_taken = True
        return self._stream

    async def receive_some(self) -> bytes:
        """See `LinkStream`."""
        return await self._stream.receive_some()

    def receive_nowait(self) -> bytes | None:
        """See `LinkStream`."""
        return self._stream.receive_nowait()

    async def wait_readable(self) -> None:
        """See `LinkStream`."""
        await self._stream.wait_readable()

    def send_nowait(self, data: bytes) -> bool:
        """See `LinkStream`; what is taken writes nothing more."""
        return not self._is_taken and self._stream.send_nowait(data)

    async def wait_writable(self) -> None:
        """See `LinkStream`."""
        await self._stream.wait_writable()

    def has_unread(self) -> bool:
        """See `LinkStream`."""
        return self._stream.has_unread()

    def unacknowledged(self) -> int | None:
        """See `LinkStream`."""
        return self._stream.unacknowledged()

    def shutdown(self) -> None:
        """See `LinkStream`."""
        if not self._is_taken:
            self._stream.shutdown()

    def close(self) -> None:
        """See `LinkStream`."""
        if not self._is_taken:
            self._stream.close()


def reset(stream: SocketStream) -> None:
    """Ends the connection as the kernel does for a process that was killed amid its work."""
    try:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    except LinkBrokenError:
        return  # it has ended already
    stream.close()


def cut(stream: SocketStream) -> None:
    """From now on nothing that the other end sends arrives, and its kernel is told nothing."""
    if not sys.platform.startswith("linux"):
        return
    code = ctypes.create_string_buffer(_DROP_ALL)
    program = struct.pack("HL", 1, ctypes.addressof(code))
    try:
        stream.socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except LinkBrokenError:
        return


def mend(stream: SocketStream) -> None:
    """The cable is back: what was sent meanwhile is repeated, and arrives."""
    if not sys.platform.startswith("linux"):
        return
    try:
        stream.socket.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    except LinkBrokenError:
        return
