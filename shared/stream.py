"""A socket, plain or TLS, driven by trio without a layer in between.

A non-blocking `ssl.SSLSocket` on the socket itself costs a tenth of `trio.SSLStream` per message
and half of its memory (docs/decisions has the figures), and lets OpenSSL send its own alerts.
Rules:

- Nothing in here has a deadline. Whoever waits for one link alone calls `receive_some`; whoever
  holds thousands is told by the kernel which have something to read (`master.readiness`), and calls
  `receive_nowait`.
- `send_nowait` never waits. A refused write must be repeated with the same bytes (an OpenSSL rule);
  `shared.outbox` keeps to it.
- One task reads. Any number may wait to write: the outbox, the last word, and TLS itself, which may
  have to answer before it can read on.
- What goes wrong with the peer is a `LinkBrokenError` that says how.
"""

import errno
import os
import select
import socket
import ssl
from typing import Final, Protocol, cast

import trio

from shared.errors import LinkBrokenError, RemoteProtocolError, Violation
from shared.tcp import bytes_received, unacknowledged, was_reset

RECEIVE_BYTES: Final = 16 * 1024
"""One TLS record at most, and the most one peer is read before the others get their turn."""

_READS_BEFORE_YIELDING: Final = 8

_RESET: Final = os.strerror(errno.ECONNRESET).lower()


class LinkStream(Protocol):
    """What a link needs of a transport; sockets here, memory in tests."""

    async def receive_some(self) -> bytes:
        """Some bytes, or b"" at the end of the stream. Raises LinkBrokenError."""
        ...

    def receive_nowait(self) -> bytes | None:
        """The same without waiting; None while there is nothing."""
        ...

    async def wait_readable(self) -> None:
        """Until `receive_nowait` is worth repeating. Raises LinkBrokenError."""
        ...

    def send_nowait(self, data: bytes) -> bool:
        """Whether `data` was taken whole; if not, repeat with the same bytes. Raises
        LinkBrokenError."""
        ...

    async def wait_writable(self) -> None:
        """Until `send_nowait` is worth repeating. Raises LinkBrokenError."""
        ...

    def has_unread(self) -> bool:
        """Whether something has arrived that nobody has read."""
        ...

    def unacknowledged(self) -> int | None:
        """How much of what was sent the peer's kernel has not acknowledged; None: no telling."""
        ...

    def shutdown(self) -> None:
        """Nothing more will be sent; the peer sees the end of the stream after what was."""
        ...

    def close(self) -> None:
        """At once; wakes whoever waits with LinkBrokenError. May be called twice."""
        ...


class SocketStream:
    """A connected non-blocking socket. Takes it over: closing the stream closes the socket."""

    __slots__ = ("_accepted", "_reads", "_socket", "_writers", "budget_bytes")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.budget_bytes: int | None = None
        """What the peer may send in all, counted under TLS where the kernel counts; None: no
        limit. More than that is a `RemoteProtocolError`, from whatever waits for the peer."""
        self._socket: socket.socket | None = sock
        self._accepted = 0
        self._reads = 0
        self._writers: trio.Lock | None = None

    def __repr__(self) -> str:
        return f"<SocketStream {'closed' if self._socket is None else self._socket.fileno()}>"

    @property
    def socket(self) -> socket.socket:
        """The socket underneath.

        Raises:
            LinkBrokenError: the stream is closed.
        """
        if self._socket is None:
            raise LinkBrokenError("closed on this side")
        return self._socket

    async def handshake(self) -> None:
        """Completes the TLS handshake.

        Raises:
            LinkBrokenError: it failed; OpenSSL has told the peer why.
            RemoteProtocolError: the budget is spent.
        """
        sock = cast("ssl.SSLSocket", self.socket)
        if sock.server_side:
            await self.wait_readable()  # whoever says nothing costs 8 kB so far, and then 55
        while True:
            try:
                return sock.do_handshake()
            except ssl.SSLWantReadError:
                await self.wait_readable()
            except ssl.SSLWantWriteError:
                await self.wait_writable()
            except OSError as error:
                raise _broken(error) from error

    def fileno(self) -> int:
        """The socket's descriptor. Raises LinkBrokenError when the stream is closed."""
        return self.socket.fileno()

    async def receive_some(self) -> bytes:
        self._reads += 1
        if self._reads > _READS_BEFORE_YIELDING:
            # A peer that sends faster than it is read would otherwise keep the event loop to
            # itself.
            self._reads = 0
            await trio.lowlevel.checkpoint()
        while True:
            try:
                data = self._receive()
            except ssl.SSLWantWriteError:
                await self.wait_writable()
            else:
                if data is not None:
                    return data
                self._reads = 0
                await self.wait_readable()

    def receive_nowait(self) -> bytes | None:
        try:
            return self._receive()
        except ssl.SSLWantWriteError:
            # TLS has to answer something first. Nobody waits here until the peer makes room.
            raise LinkBrokenError("the peer does not read") from None

    def send_nowait(self, data: bytes) -> bool:
        sock = self._socket
        if sock is None:
            raise LinkBrokenError("closed on this side")
        try:
            while self._accepted < len(data):
                rest = data[self._accepted :] if self._accepted else data
                self._accepted += sock.send(rest)
        except (BlockingIOError, ssl.SSLWantWriteError):
            return False
        except OSError as error:
            raise _broken(error) from error
        self._accepted = 0
        return True

    async def wait_readable(self) -> None:
        self._keep_to_budget()
        await _wait(trio.lowlevel.wait_readable, self.socket)

    async def wait_writable(self) -> None:
        if self._writers is None:
            self._writers = trio.Lock()
        async with self._writers:  # trio lets one task at a time wait for a socket
            await _wait(trio.lowlevel.wait_writable, self.socket)

    def has_unread(self) -> bool:
        sock = self._socket
        if sock is None:
            return False
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return True
        return is_readable(sock)

    def unacknowledged(self) -> int | None:
        return None if self._socket is None else unacknowledged(self._socket)

    def shutdown(self) -> None:
        if self._socket is None:
            return
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            return  # the peer was faster

    def close(self) -> None:
        if self._socket is not None:
            sock, self._socket = self._socket, None
            trio.lowlevel.notify_closing(sock)
            sock.close()

    def _receive(self) -> bytes | None:
        sock = self._socket
        if sock is None:
            raise LinkBrokenError("closed on this side")
        try:
            data = sock.recv(RECEIVE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except ssl.SSLWantWriteError:
            raise
        except OSError as error:
            raise _broken(error) from error
        if self.budget_bytes is not None:
            self._keep_to_budget()
        if not data and was_reset(sock):
            raise LinkBrokenError(_RESET)
        return data

    def _keep_to_budget(self) -> None:
        if self.budget_bytes is None:
            return
        if (bytes_received(self.socket) or 0) > self.budget_bytes:
            raise RemoteProtocolError(
                Violation.FLOOD, f"over {self.budget_bytes} bytes before the link was established"
            )


def tls_client(sock: socket.socket, context: ssl.SSLContext, server_name: str) -> SocketStream:
    """The client's end of TLS over a connected socket; the handshake is still to be done.

    Raises:
        OSError: it is not connected any more; it is still the caller's to close.
    """
    sock.setblocking(False)
    sock.getpeername()  # fails before the TLS layer takes the socket, which it would not give back
    wrapped = context.wrap_socket(sock, server_hostname=server_name, do_handshake_on_connect=False)
    return SocketStream(wrapped)


def tls_server(sock: socket.socket, context: ssl.SSLContext) -> SocketStream:
    """The master's end of TLS over an accepted socket; the handshake is still to be done.

    Raises:
        OSError: as `tls_client`.
    """
    sock.setblocking(False)
    sock.getpeername()
    wrapped = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
    return SocketStream(wrapped)


def is_readable(sock: socket.socket) -> bool:
    """Whether something has arrived at a socket, or its end, asking the kernel."""
    if not hasattr(select, "poll"):
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()  # unlike select, also for descriptors from 1024 on
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


class _Wait(Protocol):
    async def __call__(self, sock: socket.socket, /) -> None: ...


async def _wait(wait: _Wait, sock: socket.socket) -> None:
    try:
        await wait(sock)
    except (trio.ClosedResourceError, ValueError) as error:
        raise LinkBrokenError("closed on this side") from error


def _broken(error: OSError) -> LinkBrokenError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return LinkBrokenError(f"TLS: the peer's certificate is not good: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return LinkBrokenError(f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}")
    return LinkBrokenError((error.strerror or str(error) or type(error).__name__).lower())
