"""The worker's side of a relay as a test plays it, and the hub's end of it."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import trio

from master import relay as r
from master.relay_pipe import RelayPipe
from master.relayed import Relay, RelayedStream
from tests.eventually import eventually

PEER: Final = r.Opened("10.0.0.1", "10.0.0.1:5123", None)


class ScriptedWorker:
    """Says what the test wants, and notes what it is told."""

    def __init__(self, sock: socket.socket, relay: Relay) -> None:
        self.relay: Final = relay
        self.opened: list[RelayedStream] = []
        self.limits_hit: list[tuple[str, str, int]] = []
        self.told: list[tuple[int, int, bytes]] = []
        self.is_over: Final = trio.Event()
        """Set when the hub has noticed that the worker is gone."""
        self._socket = trio.socket.from_stdlib_socket(sock)

    async def say(self, kind: int, number: int, payload: bytes = b"") -> None:
        await self.say_raw(r.frame(kind, number, payload))

    async def say_raw(self, data: bytes) -> None:
        while data:
            data = data[await self._socket.send(data) :]

    async def open(self, number: int = 1) -> RelayedStream:
        """A link of a peer that has completed its handshake."""
        await self.say(r.OPENED, number, r.encode(PEER))
        await eventually(lambda: number in [stream.number for stream in self.opened])
        return self.opened[-1]

    async def is_told(self, kind: int) -> tuple[int, int, bytes]:
        """Waits until the hub has said something of this kind; what that was."""
        await eventually(lambda: kind in [each[0] for each in self.told])
        return next(each for each in self.told if each[0] == kind)

    def die(self) -> None:
        """As a process that is killed."""
        self._socket.close()

    async def run_hub(self) -> None:
        await self.relay.run()
        self.is_over.set()

    async def listen(self) -> None:
        unpacker = r.Unpacker()
        try:
            while data := await self._socket.recv(65536):
                self.told += unpacker.feed(data)
        except (OSError, trio.ClosedResourceError):
            return


@asynccontextmanager
async def relayed_worker() -> AsyncGenerator[ScriptedWorker]:
    """A worker that has just been started, and the hub's end of it, which runs."""
    near, far = socket.socketpair()
    far.setblocking(False)
    pipe = RelayPipe(near)

    def opened(stream: RelayedStream, _: r.Opened) -> None:
        worker.opened.append(stream)

    def limit_hit(limit: str, address: str, times: int) -> None:
        worker.limits_hit.append((limit, address, times))

    worker = ScriptedWorker(far, Relay(pipe, opened, limit_hit))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pipe.write_out)
        nursery.start_soon(worker.run_hub)
        nursery.start_soon(worker.listen)
        yield worker
        nursery.cancel_scope.cancel()
    worker.die()
    pipe.close()
