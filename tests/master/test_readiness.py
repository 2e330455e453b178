"""Who has something to read is called, in turn, and nobody who is not watched any more."""

import os
import select
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from master.readiness import EVENTS_AT_ONCE, TURNS, Readiness
from shared.errors import LinkBrokenError
from shared.stream import RECEIVE_BYTES, LinkStream, SocketStream
from tests.eventually import eventually
from tests.memory_link import Wire
from tests.shared.test_stream import streams, tcp_pair

RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: closing resets the connection."""

needs_epoll = pytest.mark.skipif(not hasattr(select, "epoll"), reason="here it is a task each")


def has(got: list[bytes | str | None], data: bytes) -> bool:
    return data in got


class Reads:
    """Receives what there is, and notes it; lets the stream be forgotten when it is over."""

    def __init__(self, readiness: Readiness, stream: LinkStream) -> None:
        self.got: list[bytes | str | None] = []
        self._readiness = readiness
        self._stream = stream
        readiness.watch(stream, self)

    def readable(self, now_s: float) -> None:
        assert now_s <= trio.current_time()
        try:
            data = self._stream.receive_nowait()
        except LinkBrokenError as error:
            self.got.append(str(error))
            self._readiness.forget(self._stream)
        else:
            self.got.append(data)
            if data == b"":
                self._readiness.forget(self._stream)


class Calls:
    """Does what the test wants, and reads nothing: the stream goes on having something."""

    def __init__(self, do: Callable[[], None]) -> None:
        self.readable_do = do

    def readable(self, now_s: float) -> None:
        self.readable_do()


class Watched:
    """A readiness that runs, and connections for it to watch."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self._open: list[SocketStream | socket.socket] = []

    def readiness(self, after_turn: Callable[[bool], Awaitable[None]] | None = None) -> Readiness:
        readiness = Readiness(self.nursery.start_soon, after_turn=after_turn)
        self.nursery.start_soon(readiness.run)
        return readiness

    def pair(
        self, sockets: tuple[socket.socket, socket.socket] | None = None
    ) -> tuple[SocketStream, socket.socket]:
        """The end to be watched, and the peer's."""
        near, far = sockets or socket.socketpair()
        stream = SocketStream(near)
        self._open += [stream, far]
        return stream, far

    def close(self) -> None:
        for each in self._open:
            each.close()


@pytest.fixture
async def watched(nursery: trio.Nursery) -> AsyncIterator[Watched]:
    watched = Watched(nursery)
    yield watched
    nursery.cancel_scope.cancel()
    watched.close()


async def test_reader_is_called_when_bytes_arrive_and_not_before(watched: Watched) -> None:
    stream, peer = watched.pair()
    readiness = watched.readiness()
    reads = Reads(readiness, stream)
    await wait_all_tasks_blocked()
    assert reads.got == []
    assert not readiness.has_unread()
    for beat in (b"first", b"second"):
        peer.send(beat)
        await eventually(partial(has, reads.got, beat))
    assert reads.got == [b"first", b"second"]


async def test_every_record_of_tls_is_read_though_a_call_reads_one(watched: Watched) -> None:
    async with streams(tls=True) as (master, agent):
        readiness = watched.readiness()
        reads = Reads(readiness, master)
        records = [bytes([number]) * RECEIVE_BYTES for number in range(3)]
        for record in records:
            assert agent.send_nowait(record)
        await eventually(lambda: sum(len(each or b"") for each in reads.got) == 3 * RECEIVE_BYTES)
        assert [each for each in reads.got if each is not None] == records
        readiness.forget(master)


@needs_epoll
async def test_everybody_gets_a_turn_while_all_have_more_than_a_round_reads(
    watched: Watched,
) -> None:
    links, calls = EVENTS_AT_ONCE + EVENTS_AT_ONCE // 4, list[int]()
    turns, is_enough = list[list[int]](), trio.Event()

    async def after_turn(is_read_up: bool) -> None:
        assert not is_read_up
        turns.append(calls.copy())
        calls.clear()
        if len(turns) == 5 * TURNS:
            is_enough.set()
            await trio.sleep_forever()

    readiness = watched.readiness(after_turn)
    for number in range(links):
        stream, peer = watched.pair()
        peer.send(b"without end")
        readiness.watch(stream, Calls(partial(calls.append, number)))
    with trio.fail_after(10):
        await is_enough.wait()
    assert [len(each) for each in turns] == [EVENTS_AT_ONCE] * 5 * TURNS
    called = [number for each in turns for number in each]
    for begin in range(0, len(called), links):
        assert sorted(called[begin : begin + links]) == list(range(links))


@needs_epoll
async def test_nothing_is_read_until_what_follows_a_turn_is_done(watched: Watched) -> None:
    gate, told = trio.Event(), list[bool]()

    async def after_turn(is_read_up: bool) -> None:
        told.append(is_read_up)
        await gate.wait()

    readiness = watched.readiness(after_turn)
    (first, first_peer), (second, second_peer) = watched.pair(), watched.pair()
    reads = [Reads(readiness, stream) for stream in (first, second)]
    first_peer.send(b"beat")
    await eventually(lambda: told)
    second_peer.send(b"later")
    await wait_all_tasks_blocked()
    assert [each.got for each in reads] == [[b"beat"], []]
    assert readiness.has_unread()
    gate.set()
    await eventually(lambda: reads[1].got == [b"later"])
    assert told[0] is False
    assert told[-1] is True


async def test_forgotten_reader_is_not_called(watched: Watched) -> None:
    readiness = watched.readiness()
    (gone, gone_peer), (kept, kept_peer) = watched.pair(), watched.pair()
    gone_reads, kept_reads = Reads(readiness, gone), Reads(readiness, kept)
    gone_peer.send(b"too late")
    readiness.forget(gone)
    kept_peer.send(b"beat")
    await eventually(lambda: kept_reads.got == [b"beat"])
    assert gone_reads.got == []
    assert "1 streams" in repr(readiness)


async def test_reader_that_another_one_ended_in_the_same_round_is_not_called(
    watched: Watched,
) -> None:
    readiness, called = watched.readiness(), list[str]()
    ends = {name: watched.pair() for name in ("old", "new")}

    def end_all(name: str) -> None:
        called.append(name)
        for stream, _ in ends.values():
            readiness.forget(stream)
            stream.close()

    for name, (stream, peer) in ends.items():
        peer.send(b"beat")
        readiness.watch(stream, Calls(partial(end_all, name)))
    await eventually(lambda: called)
    await wait_all_tasks_blocked()
    assert len(called) == 1


@needs_epoll
async def test_descriptor_that_is_used_again_calls_its_new_reader_only(watched: Watched) -> None:
    readiness = watched.readiness()
    old, old_peer = watched.pair()
    old_reads = Reads(readiness, old)
    descriptor = old.fileno()
    near, far = socket.socketpair()
    readiness.forget(old)
    old.close()
    os.dup2(near.fileno(), descriptor)
    near.close()
    new, new_peer = watched.pair((socket.socket(fileno=descriptor), far))
    new_reads = Reads(readiness, new)
    old_peer.close()
    new_peer.send(b"beat")
    await eventually(lambda: new_reads.got == [b"beat"])
    assert old_reads.got == []


async def test_end_and_reset_are_told(watched: Watched) -> None:
    readiness = watched.readiness()
    (ended, ended_peer), (reset, reset_peer) = watched.pair(tcp_pair()), watched.pair(tcp_pair())
    ended_reads, reset_reads = Reads(readiness, ended), Reads(readiness, reset)
    ended_peer.close()
    reset_peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    reset_peer.close()
    await eventually(lambda: ended_reads.got and reset_reads.got)
    assert (ended_reads.got, reset_reads.got) == ([b""], ["connection reset by peer"])


async def test_closed_stream_cannot_be_watched(watched: Watched) -> None:
    readiness, (stream, _) = watched.readiness(), watched.pair()
    stream.close()
    with pytest.raises(LinkBrokenError):
        Reads(readiness, stream)


async def test_stream_without_a_descriptor_is_watched_too(watched: Watched) -> None:
    readiness, wire = watched.readiness(), Wire()
    reads = Reads(readiness, wire.master)
    for beat in (b"first", b"second"):
        wire.client.send_nowait(beat)
        await wait_all_tasks_blocked()
    wire.cut()
    await wait_all_tasks_blocked()
    assert reads.got == [b"first", b"second", "connection reset by peer"]


@pytest.mark.parametrize("is_waiting", [True, False])
async def test_stream_without_a_descriptor_is_forgotten_at_once(
    watched: Watched, is_waiting: bool
) -> None:
    readiness, wire = watched.readiness(), Wire()
    reads = Reads(readiness, wire.master)
    if is_waiting:
        await wait_all_tasks_blocked()
    wire.client.send_nowait(b"too late")
    readiness.forget(wire.master)
    await wait_all_tasks_blocked()
    assert reads.got == []


async def test_without_epoll_it_is_a_task_each(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(select, "epoll", raising=False)
    readiness = watched.readiness()
    (gone, gone_peer), (kept, kept_peer) = watched.pair(), watched.pair()
    gone_reads, kept_reads = Reads(readiness, gone), Reads(readiness, kept)
    readiness.forget(gone)
    gone.close()
    gone_peer.close()
    kept_peer.send(b"beat")
    await eventually(lambda: kept_reads.got == [b"beat"])
    kept_peer.close()
    await eventually(lambda: kept_reads.got == [b"beat", b""])
    assert gone_reads.got == []
    assert "0 streams" in repr(readiness)
    with pytest.raises(LinkBrokenError):
        Reads(readiness, gone)
