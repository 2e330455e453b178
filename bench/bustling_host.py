"""Something to measure: processes and connections that come and go on this host."""

import random
import socket
import subprocess
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final

PROCESSES_PER_S: Final = 4.0
LIVES_S: Final = (0.1, 8.0)
"""How long a process lives: some are never seen by a reading, others by several."""

CONNECTIONS_KEPT: Final = 40
"""Open at once; each is replaced after ten seconds or so."""


class Bustle:
    """Counts what it has made."""

    def __init__(self, rng: random.Random) -> None:
        self.processes = 0
        self.connections = 0
        self._rng = rng
        self._running: list[subprocess.Popen[bytes]] = []
        self._pairs: deque[tuple[socket.socket, socket.socket]] = deque()

    def run(self, over: Event) -> None:
        """Until `over`: then nothing of it is left."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            while not over.wait(self._rng.expovariate(PROCESSES_PER_S)):
                self._start_one()
                self._connect_one(listener)
        for process in self._running:
            process.kill()
            process.wait()
        for pair in self._pairs:
            for sock in pair:
                sock.close()

    def _start_one(self) -> None:
        self._running = [process for process in self._running if process.poll() is None]
        lives_s = self._rng.uniform(*LIVES_S)
        self._running.append(subprocess.Popen(["sleep", f"{lives_s:.2f}"]))
        self.processes += 1

    def _connect_one(self, listener: socket.socket) -> None:
        dialled = socket.create_connection(listener.getsockname()[:2])
        accepted, _ = listener.accept()
        self._pairs.append((dialled, accepted))
        self.connections += 1
        if len(self._pairs) > CONNECTIONS_KEPT:
            for sock in self._pairs.popleft():
                sock.close()


@contextmanager
def bustle(rng: random.Random) -> Generator[Bustle]:
    """For the length of the block."""
    over, made = Event(), Bustle(rng)
    thread = Thread(target=made.run, args=(over,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        over.set()
        thread.join()
