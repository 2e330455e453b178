"""A master for tests: the real protocol over a unix socket, and whatever feed the test wants.

    python -m tests.tui.feed_server SOCKET --nodes 1000      # a simulated fleet to look at

It runs in threads of its own, so that a test may drive a dashboard in whatever loop it likes. It
can be killed: connections end without a goodbye, as a crashed master's do.
"""

import argparse
import contextlib
import queue
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Final

from shared import messages as m
from shared.connection import MasterConnection, Phase
from shared.unix_socket import short_path
from tests.tui.details import details, events_of, node_detail, outages_of
from tests.tui.fleets import SimulatedFleet

WAIT_S: Final = 10.0
"""How long a test waits for what has to happen."""

_WAIT: Final = struct.pack("ll", int(WAIT_S), 0)
"""The same, as the kernel takes it: a viewer that hangs must not hang the test."""

Greeting = Callable[[], Iterable[m.FromMaster]]
"""Makes what a viewer is sent as soon as it watches."""


class _Peer:
    """One viewer's connection, read by a thread of its own."""

    def __init__(self, server: "FeedServer", stream: socket.socket) -> None:
        self._server = server
        self._stream = stream
        self._connection = MasterConnection()
        self._sending = threading.Lock()
        self.is_watching = False
        self.focus = ""

    def send(self, message: m.FromMaster) -> None:
        with self._sending, contextlib.suppress(OSError):
            if self._connection.phase is Phase.CLOSED:
                return
            for frame in self._connection.send_bulk(message):
                self._stream.sendall(frame)

    def serve(self) -> None:
        with self._stream, contextlib.suppress(OSError):
            while data := self._stream.recv(65_536):
                for message in self._connection.receive(data):
                    self._take(message)
        self._server.forget(self)

    def reset(self) -> None:
        """Ends the connection as a crash does."""
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)

    def _take(self, message: m.FromClient) -> None:
        self._server.received.put(message)
        match message:
            case m.ViewerHello():
                if self._server.denial is not None:
                    self.send(self._server.denial)
                    self._stream.shutdown(socket.SHUT_WR)
                else:
                    self.send(m.ViewerWelcome(1, "0.1.0", "lab", True))
            case m.Watch():
                self.is_watching = True  # before the viewer can know that it has been greeted
                for answer in self._server.greeting():
                    self.send(answer)
            case m.FocusNode(node_id=node_id):
                self.focus = node_id
                for answer in details(node_id, mono_ms=_mono_ms()) if node_id else ():
                    self.send(answer)
            case m.ListEvents(request=request, node=node):
                self.send(m.Events(request, events_of(node or "id-web-1", "web-1")))
            case m.ListOutages(request=request, node=node):
                name = node.removeprefix("id-")
                told = outages_of(node, name, wall_ms=_wall_ms(), is_away=False)
                self.send(m.Outages(request, told))
            case m.GetNode(node=node):
                self.send(node_detail(node.removeprefix("id-")))
            case m.Ping():
                if self._server.answers_pings:
                    self.send(m.Pong(message.token))
            case _:
                pass


class FeedServer:
    """Serves viewers at `path` from `start` to `kill`, as often as wanted."""

    def __init__(self, path: Path, greeting: Greeting) -> None:
        self.path = path
        self.greeting = greeting
        self.denial: m.Deny | None = None
        self.answers_pings = True
        self.received: queue.Queue[m.FromClient] = queue.Queue()
        """Everything that viewers said, in order."""
        self._listener: socket.socket | None = None
        self._peers: list[_Peer] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def __enter__(self) -> "FeedServer":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Listens from now on."""
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        with short_path(self.path) as usable:
            self._listener.bind(usable)
        self._listener.listen()
        self._spawn(self._accept, self._listener)

    def kill(self) -> None:
        """Goes away without a word, as a master does that is killed."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            peers = list(self._peers)
        for peer in peers:
            peer.reset()
        for thread in self._threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()
        self._threads.clear()

    def push(self, message: m.FromMaster) -> None:
        """Sends to every viewer that watches."""
        with self._lock:
            peers = [peer for peer in self._peers if peer.is_watching]
        for peer in peers:
            peer.send(message)

    def push_details(self, second: float) -> None:
        """Sends news of the node in focus to every viewer that has one."""
        with self._lock:
            peers = [peer for peer in self._peers if peer.focus]
        for peer in peers:
            for answer in details(peer.focus, mono_ms=_mono_ms(), second=second):
                peer.send(answer)

    def wait_for(self, kind: type[m.Message]) -> m.FromClient:
        """The next message of `kind` that a viewer says; what it said before is skipped."""
        while True:
            message = self.received.get(timeout=WAIT_S)
            if isinstance(message, kind):
                return message

    def forget(self, peer: _Peer) -> None:
        """A viewer has gone."""
        with self._lock:
            self._peers.remove(peer)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream, _ = listener.accept()
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _WAIT)
                peer = _Peer(self, stream)
                with self._lock:
                    self._peers.append(peer)
                self._spawn(peer.serve)

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()


def _mono_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def main() -> None:
    """Serves a simulated fleet until interrupted."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("socket", type=Path)
    parser.add_argument("--nodes", type=int, default=40)
    parser.add_argument("--period-ms", type=int, default=5_000)
    parser.add_argument("--every-ms", type=int, default=250)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    fleet = SimulatedFleet(arguments.nodes, period_ms=arguments.period_ms)
    with (
        contextlib.suppress(KeyboardInterrupt),
        FeedServer(arguments.socket, lambda: fleet.snapshots(_mono_ms(), _wall_ms())) as server,
    ):
        while True:
            time.sleep(arguments.every_ms / 1000)
            server.push(fleet.delta(_mono_ms(), _wall_ms(), arguments.every_ms))
            server.push_details(time.monotonic())


if __name__ == "__main__":
    main()
