"""A master for tests of the command line: the real protocol on a real socket, scripted answers."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from shared import messages as m
from shared.connection import MasterConnection, Phase
from shared.paths import StateFolder
from shared.unix_socket import short_path

Answer = Callable[[m.FromClient], Iterable[m.FromMaster]]

WELCOME = m.ViewerWelcome(1, "0.1.0", "lab", may_operate=True)
DEADLINE_S = 10.0


class FakeMaster:
    """Serves links one after another on a folder's socket; keeps what it was sent.

    `answer` makes the replies to each message after the greeting; an answer that raises
    `ConnectionAbortedError` closes the link.
    """

    def __init__(
        self,
        root: Path,
        answer: Answer,
        greeting: m.FromMaster | None = WELCOME,
    ) -> None:
        self.folder = StateFolder(root)
        self.received: list[m.FromClient] = []
        self._answer = answer
        self._greeting = greeting
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._link: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        with short_path(self.folder.socket) as path:
            self._listener.bind(path)
        self._listener.listen()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        if self._link is not None:
            with contextlib.suppress(OSError):
                self._link.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE_S)
        self._listener.close()
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            with link:
                self._link = link
                try:
                    self._converse(link)
                except (ConnectionError, TimeoutError):
                    continue
                finally:
                    self._link = None

    def _converse(self, link: socket.socket) -> None:
        link.settimeout(DEADLINE_S)
        connection = MasterConnection()
        while data := link.recv(65536):
            for message in connection.receive(data):
                self.received.append(message)
                replies: Iterable[m.FromMaster]
                if isinstance(message, m.ViewerHello):
                    replies = () if self._greeting is None else (self._greeting,)
                else:
                    replies = self._answer(message)
                for reply in replies:
                    for frame in connection.send_bulk(reply):
                        link.sendall(frame)
                    if connection.phase is Phase.CLOSED:
                        return
