"""What a worker tells the hub, and when; the rest of what it does is tested through processes."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from master import relay as r
from master.relay_pipe import RelayPipe
from master.worker import BEHIND_BYTES, Worker
from shared.stream import SocketStream
from tests.eventually import eventually
from tests.shared.test_stream import tcp_pair

TALK = bytes(16 * 1024)


@dataclass
class Hub:
    """The other end of a worker's relay."""

    worker: Worker
    nursery: trio.Nursery
    pipe: RelayPipe
    established: set[int] = field(default_factory=set[int])
    told: list[tuple[int, int, bytes]] = field(default_factory=list[tuple[int, int, bytes]])

    async def open(self, number: int) -> SocketStream:
        """The worker's so many-th peer, which has completed its handshake."""
        near, far = tcp_pair()
        self.nursery.start_soon(self._enter, SocketStream(near), number)
        await eventually(lambda: number in self.worker.links)
        return SocketStream(far)

    async def listen(self) -> None:
        """Takes what the worker says."""
        unpacker = r.Unpacker()
        while data := await self.pipe.receive():
            self.told += unpacker.feed(data)

    def told_of(self, kind: int, number: int = 0) -> list[bytes]:
        """What was said with frames of this kind."""
        return [payload for *head, payload in self.told if head == [kind, number]]

    async def _enter(self, stream: SocketStream, number: int) -> None:
        if await self.worker.enter(stream, "10.0.0.9", "10.0.0.9:1", None) is not None:
            self.established.add(number)


@asynccontextmanager
async def hub_of_worker() -> AsyncGenerator[Hub]:
    """A worker that runs, and a hub that does not listen yet."""
    near, far = socket.socketpair()
    pipe = RelayPipe(far)
    async with trio.open_nursery() as nursery:
        hub = Hub(Worker(RelayPipe(near), [], nursery), nursery, pipe)
        nursery.start_soon(hub.worker.serve)
        nursery.start_soon(pipe.write_out)
        yield hub
        nursery.cancel_scope.cancel()
    pipe.close()
    hub.worker.pipe.close()
    for link in list(hub.worker.links.values()):
        link.close()


async def test_crowd_that_is_refused_is_told_of_in_a_frame_and_not_one_by_one() -> None:
    async with hub_of_worker() as hub:
        for _ in range(1000):
            hub.worker.limit_hit("connections", "10.0.0.9")
        hub.worker.limit_hit("tls-failed", "10.0.0.7")
        hub.nursery.start_soon(hub.listen)
        await eventually(lambda: len(hub.told_of(r.LIMIT)) > 1)
        assert [r.decode_limit(payload) for payload in hub.told_of(r.LIMIT)] == [
            r.LimitHit("connections", "10.0.0.9", 1000),
            r.LimitHit("tls-failed", "10.0.0.7", 1),
        ]


async def test_newcomer_is_heard_while_the_hub_does_not_keep_up_with_the_others() -> None:
    async with hub_of_worker() as hub:
        pipe = hub.worker.pipe
        talker = await hub.open(1)
        hub.pipe.post(r.ESTABLISHED, 1)
        await eventually(lambda: 1 in hub.established)

        def is_behind() -> bool:
            talker.send_nowait(TALK)
            return pipe.pending_bytes > BEHIND_BYTES

        await eventually(is_behind)
        newcomer = await hub.open(2)
        before_bytes = pipe.pending_bytes
        newcomer.send_nowait(b"hello")
        await eventually(lambda: pipe.pending_bytes > before_bytes)
        hub.nursery.start_soon(hub.listen)
        await eventually(lambda: hub.told_of(r.DATA, 2) == [b"hello"])
        for peer in (talker, newcomer):
            peer.close()
