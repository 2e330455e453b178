"""A line between agents and a master that can be reset, or fall silent without a word to either
end.

One thread passes everything on. New connections are always passed on; trouble is for those that
there are.
"""

import selectors
import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

LOOPBACK: Final = "127.0.0.1"

_CHUNK_BYTES: Final = 64 * 1024
_WAIT_S: Final = 5.0
"""How long one end may take nothing: then the connection is given up."""

_ABORT: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of no time at all: closing resets, socket(7)."""


class TroubledLine:
    """Listens on loopback, and passes on to a port there, for the length of the block."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server((LOOPBACK, 0))
        self.address: Final = f"{LOOPBACK}:{self._listener.getsockname()[1]}"
        self.connections = 0
        """Passed on so far."""
        self._peers: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __repr__(self) -> str:
        return f"<TroubledLine {self.address}, {len(self._peers) // 2} connections>"

    def __enter__(self) -> Self:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over = True
        self._thread.join()
        self.reset()
        self._listener.close()
        self._selector.close()

    def reset(self) -> None:
        """Ends every connection: both ends are told that it was reset."""
        with self._lock:
            for sock in list(self._peers):
                self._close(sock)

    def swallow(self) -> None:
        """Nothing of the present connections arrives any more, and neither end is told; both are
        kept until the next `reset`."""
        with self._lock:
            for sock in self._peers:
                with suppress(KeyError):
                    self._selector.unregister(sock)

    def _run(self) -> None:
        while not self._is_over:
            ready = self._selector.select(timeout=0.1)
            with self._lock:
                for key, _ in ready:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._peers:
                        self._pass_on(key.fileobj)

    def _accept(self) -> None:
        dialled, _ = self._listener.accept()
        try:
            passed_on = socket.create_connection((LOOPBACK, self._target), _WAIT_S)
        except OSError:
            dialled.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            dialled.close()
            return
        self.connections += 1
        dialled.settimeout(_WAIT_S)
        self._peers[dialled], self._peers[passed_on] = passed_on, dialled
        for sock in (dialled, passed_on):
            self._selector.register(sock, selectors.EVENT_READ)

    def _pass_on(self, source: socket.socket) -> None:
        sink = self._peers[source]
        try:
            data = source.recv(_CHUNK_BYTES)
            if data:
                sink.sendall(data)
                return
            self._selector.unregister(source)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(source)
            return
        if sink not in self._selector.get_map():  # the other way has ended before
            self._close(source, aborts=False)

    def _close(self, sock: socket.socket, *, aborts: bool = True) -> None:
        peer = self._peers.get(sock)
        for each in (sock, peer):
            if each is None:
                continue
            self._peers.pop(each, None)
            with suppress(KeyError, ValueError):
                self._selector.unregister(each)
            if aborts:
                with suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            each.close()
