"""A wire between agents and a master that can be cut, or go silent without a word."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

CHUNK_BYTES: Final = 16 * 1024


class Proxy:
    """Passes connections on to a port of loopback, in threads of its own."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: Final = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        self._holes: set[socket.socket] = set()
        self.accepted = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def swallow(self) -> None:
        """From now on, nothing of the present connections arrives, and neither end is told. New
        ones are passed on."""
        self._holes.update(self._sockets)

    def _accept(self) -> None:
        while True:
            try:
                dialled, _ = self._listener.accept()
            except OSError:
                return
            try:
                passed_on = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                dialled.close()
                continue
            self.accepted += 1
            self._sockets += [dialled, passed_on]
            for source, sink in ((dialled, passed_on), (passed_on, dialled)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                if source not in self._holes:
                    sink.sendall(data)
        if source not in self._holes:
            with suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
