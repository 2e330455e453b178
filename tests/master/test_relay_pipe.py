"""What hub and worker say to each other is written whole, in order, and held back by who reads
slowly."""

import socket
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from master import relay as r
from master.relay_pipe import RECEIVE_BYTES, RelayPipe
from tests.eventually import eventually

PIECE = bytes(64 * 1024)
MANY = 64
"""Pieces: far more than the kernel takes between two that do not read."""


@pytest.fixture
async def pipes(nursery: trio.Nursery) -> AsyncIterator[tuple[RelayPipe, RelayPipe]]:
    near, far = (RelayPipe(sock) for sock in socket.socketpair())
    nursery.start_soon(near.write_out)
    yield near, far
    near.close()
    far.close()
    nursery.cancel_scope.cancel()


async def frames(pipe: RelayPipe, count: int) -> list[tuple[int, int, bytes]]:
    """The next `count` frames that arrive."""
    unpacker, got = r.Unpacker(), list[tuple[int, int, bytes]]()
    while len(got) < count:
        got += unpacker.feed(await pipe.receive())
    return got


async def test_frames_arrive_in_order_however_much_the_kernel_refuses(
    pipes: tuple[RelayPipe, RelayPipe],
) -> None:
    near, far = pipes
    for number in range(MANY):
        near.post(r.DATA, number, PIECE)
    await wait_all_tasks_blocked()
    assert near.pending_bytes > 0
    near.post(r.CURRENT, 0)
    got = await frames(far, MANY + 1)
    assert got == [*((r.DATA, number, PIECE) for number in range(MANY)), (r.CURRENT, 0, b"")]
    await eventually(lambda: near.pending_bytes == 0)


async def test_who_waits_for_room_goes_on_when_enough_is_taken(
    pipes: tuple[RelayPipe, RelayPipe], nursery: trio.Nursery
) -> None:
    near, far = pipes
    left_bytes = list[int]()

    async def wait() -> None:
        await near.wait_below(RECEIVE_BYTES)
        left_bytes.append(near.pending_bytes)

    for number in range(MANY):
        near.post(r.DATA, number, PIECE)
    nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    assert left_bytes == []
    await frames(far, MANY)
    await eventually(lambda: left_bytes)
    assert left_bytes[0] < RECEIVE_BYTES


async def test_unread_is_what_nobody_has_received(pipes: tuple[RelayPipe, RelayPipe]) -> None:
    near, far = pipes
    assert not far.has_unread()
    near.post(r.CURRENT, 0)
    await eventually(far.has_unread)
    await frames(far, 1)
    assert not far.has_unread()


async def test_end_of_either_side_ends_whoever_receives_and_writes(
    nursery: trio.Nursery,
) -> None:
    near, far = (RelayPipe(sock) for sock in socket.socketpair())
    ended = list[str]()

    async def receive(pipe: RelayPipe, name: str) -> None:
        while await pipe.receive():
            pass
        ended.append(name)

    async def write_out() -> None:
        await near.write_out()
        ended.append("writer")

    nursery.start_soon(receive, near, "closed here")
    nursery.start_soon(receive, far, "closed there")
    nursery.start_soon(write_out)
    await wait_all_tasks_blocked()
    near.close()
    near.close()
    near.post(r.CURRENT, 0)  # who does not know yet may go on talking
    await eventually(lambda: len(ended) == 3)
    assert not near.has_unread()
    far.close()
