"""What a worker tells the hub of itself; what it does with links is tested through processes."""

import socket

import trio

from master import relay as r
from master.relay_pipe import RelayPipe
from master.worker import Worker


async def test_crowd_that_is_refused_is_told_of_in_a_frame_and_not_one_by_one() -> None:
    near, far = socket.socketpair()
    hub = RelayPipe(far)
    async with trio.open_nursery() as nursery:
        worker = Worker(RelayPipe(near), [], nursery)
        nursery.start_soon(worker.serve)
        for _ in range(1000):
            worker.limit_hit("connections", "10.0.0.9")
        worker.limit_hit("tls-failed", "10.0.0.7")
        told, unpacker = list[r.LimitHit](), r.Unpacker()
        with trio.fail_after(10):
            while sum(each.times for each in told) < 1001:
                frames = list(unpacker.feed(await hub.receive()))
                told += [r.decode_limit(payload) for kind, _, payload in frames if kind == r.LIMIT]
        assert told == [
            r.LimitHit("connections", "10.0.0.9", 1000),
            r.LimitHit("tls-failed", "10.0.0.7", 1),
        ]
        nursery.cancel_scope.cancel()
    hub.close()
    worker.pipe.close()
