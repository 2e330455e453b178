"""What a worker is told: its share of the limits, who lives where, and the certificate to show."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from master import relay as r
from master.relay_pipe import RelayPipe
from master.workers import Command, Workers
from shared.settings import LinkSettings, MasterSettings
from tests.eventually import eventually
from tests.master.assembled import Assembled, assembled

LEAF = r.Leaf(b"ca", b"key", b"certificate")
NOBODY = Command(("false",), {})


class Told:
    """A worker's end of the relay, which notes what it is told."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._unpacker = r.Unpacker()
        self.frames: list[tuple[int, bytes]] = []

    def of(self, kind: int) -> list[bytes]:
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            data = b""
        self.frames += [(kind, payload) for kind, _, payload in self._unpacker.feed(data)]
        return [payload for each, payload in self.frames if each == kind]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    yield near, far
    near.close()
    far.close()


async def employed(
    master: Assembled, pair: tuple[socket.socket, socket.socket], count: int = 4
) -> tuple[Workers, Told]:
    """The workers of this master, one of whom has just been started."""
    shares: list[list[socket.socket]] = [[]] * count
    workers = Workers(NOBODY, shares, master.entry, LEAF)
    pipe = RelayPipe(pair[0])
    workers.employ(0, pipe)
    master.nursery.start_soon(pipe.write_out)
    return workers, Told(pair[1])


async def test_worker_is_told_its_share_of_the_strangers_and_all_else_whole(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    settings = MasterSettings(
        unauthenticated_connections=100,
        unauthenticated_connections_per_address=7,
        handshakes_per_s=40.0,
        handshake_timeout_s=3.0,
    )
    async with assembled(tmp_path, settings, LinkSettings(write_timeout_s=9.0)) as master:
        workers, told = await employed(master, pair)
        await eventually(lambda: told.of(r.LEAF))
        assert [r.decode_limits(each) for each in told.of(r.LIMITS)] == [
            r.Limits(25, 7, 10.0, 3.0, 9.0)
        ]
        assert r.decode_leaf(told.of(r.LEAF)[0]) == LEAF
        changed = replace(settings, handshakes_per_s=80.0)
        workers.change(changed, LinkSettings(write_timeout_s=8.0))
        await eventually(lambda: len(told.of(r.LIMITS)) == 2)
        assert r.decode_limits(told.of(r.LIMITS)[1]) == r.Limits(25, 7, 20.0, 3.0, 8.0)


async def test_share_is_never_nothing(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    settings = MasterSettings(unauthenticated_connections=1, handshakes_per_s=0.5)
    async with assembled(tmp_path, settings) as master:
        _, told = await employed(master, pair, count=64)
        await eventually(lambda: told.of(r.LEAF))
        limits = r.decode_limits(told.of(r.LIMITS)[0])
        assert (limits.connections, limits.handshakes_per_s) == (1, 1.0)


async def test_worker_is_told_where_members_live_at_first_and_as_it_changes(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    async with assembled(tmp_path) as master:
        admission = master.entry.admission
        admission.remember("a", "192.0.2.1")
        admission.remember("b", "192.0.2.1")
        _, told = await employed(master, pair)
        await eventually(lambda: told.of(r.LEAF))
        assert r.decode_members(told.of(r.MEMBERS)[0]) == {"192.0.2.1": 2}
        admission.remember("a", "192.0.2.1")  # as before
        admission.remember("a", "192.0.2.9")
        await eventually(lambda: len(told.of(r.MEMBERS)) == 3)
        changes = [r.decode_members(each) for each in told.of(r.MEMBERS)[1:]]
        assert changes == [{"192.0.2.1": 1}, {"192.0.2.9": 1}]


async def test_new_leaf_is_shown_by_those_who_run_and_by_those_who_follow(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    async with assembled(tmp_path) as master:
        workers, told = await employed(master, pair)
        workers.renew_leaf(b"key-2", b"certificate-2")
        renewed = r.Leaf(b"ca", b"key-2", b"certificate-2")
        await eventually(lambda: len(told.of(r.LEAF)) == 2)
        assert r.decode_leaf(told.of(r.LEAF)[1]) == renewed
        near, far = socket.socketpair()
        with near, far:
            pipe = RelayPipe(near)
            master.nursery.start_soon(pipe.write_out)
            workers.employ(1, pipe)
            follower = Told(far)
            await eventually(lambda: follower.of(r.LEAF))
            assert r.decode_leaf(follower.of(r.LEAF)[0]) == renewed
            pipe.close()


async def test_worker_that_cannot_live_is_tried_again_ever_more_slowly(
    tmp_path: Path,
) -> None:
    async with assembled(tmp_path) as master:
        workers = Workers(NOBODY, [[]], master.entry, LEAF)
        master.nursery.start_soon(workers.run)
        began_s = trio.current_time()
        while len(ended := await master.events("worker-ended")) < 3:
            await trio.sleep(0.05)
        assert trio.current_time() - began_s >= 0.25 + 0.5
        assert ended[0].text == "worker 1 of 1 ended (exit code 1) and is replaced; it held 0 links"
        await workers.stop()


async def test_missing_program_is_no_end_of_the_master(tmp_path: Path) -> None:
    async with assembled(tmp_path) as master:
        workers = Workers(Command((str(tmp_path / "none"),), {}), [[]], master.entry, LEAF)
        master.nursery.start_soon(workers.run)
        await trio.sleep(0.1)
        await workers.stop()
        assert await master.events("worker-ended") == []
