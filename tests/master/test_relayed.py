"""A link through a worker is a stream as any other: whole, in order, bounded, ended in words."""

import pytest
import trio
import trio.testing

from master import relay as r
from master.readiness import Readiness
from master.relay import RelayError
from master.relayed import CURRENT_S, EVIDENCE_S, UNREAD_LIMIT_BYTES, WINDOW_BYTES, RelayedStream
from shared.errors import LinkBrokenError, RemoteProtocolError
from tests.eventually import eventually
from tests.master.relayed_worker import PEER, relayed_worker


class Reads:
    """Reads a stream when it is told to, and notes what it got."""

    def __init__(self, stream: RelayedStream) -> None:
        self.stream = stream
        self.got: list[bytes | str] = []
        self.orphaned_by = ""

    def readable(self, now_s: float) -> None:
        try:
            data = self.stream.receive_nowait()
        except LinkBrokenError as error:
            self.got.append(str(error))
            self.stream.tell(None)
        else:
            if data is not None:
                self.got.append(data)
            if data == b"":
                self.stream.tell(None)

    def orphaned(self, reason: str) -> None:
        self.orphaned_by = reason


async def test_what_the_peer_sends_arrives_and_its_end_after_it() -> None:
    async with relayed_worker() as worker:
        stream = await worker.open()
        await worker.say(r.DATA, 1, b"hello ")
        await worker.say(r.DATA, 1, b"master")
        await worker.say(r.ENDED, 1)
        received = b""
        while data := await stream.receive_some():
            received += data
        assert received == b"hello master"
        assert await stream.receive_some() == b""


async def test_waiting_receiver_is_woken() -> None:
    async with relayed_worker() as worker, trio.open_nursery() as nursery:
        stream = await worker.open()
        received: list[bytes] = []

        async def receive() -> None:
            received.append(await stream.receive_some())

        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        assert stream.receive_nowait() is None
        await worker.say(r.DATA, 1, b"beat")
        await eventually(lambda: received == [b"beat"])


async def test_broken_link_says_how_after_what_had_arrived() -> None:
    async with relayed_worker() as worker:
        stream = await worker.open()
        await worker.say(r.DATA, 1, b"last words")
        await worker.say(r.ENDED, 1, b"connection reset by peer")
        assert await stream.receive_some() == b"last words"
        with pytest.raises(LinkBrokenError, match="reset by peer"):
            await stream.receive_some()
        with pytest.raises(LinkBrokenError, match="reset by peer"):
            stream.send_nowait(b"beat")


async def test_end_of_the_stream_does_not_keep_the_last_word_from_being_sent() -> None:
    async with relayed_worker() as worker:
        stream = await worker.open()
        await worker.say(r.ENDED, 1)
        assert await stream.receive_some() == b""
        assert stream.send_nowait(b"goodbye")
        stream.shutdown()
        stream.close()
        await worker.is_told(r.CLOSE)
        assert worker.told == [(r.DATA, 1, b"goodbye"), (r.SHUTDOWN, 1, b""), (r.CLOSE, 1, b"")]


async def test_flood_is_the_peers_fault_and_it_may_be_told_so() -> None:
    async with relayed_worker() as worker:
        stream = await worker.open()
        await worker.say(r.FLOODED, 1, b"over 32768 bytes")
        with pytest.raises(RemoteProtocolError, match="over 32768 bytes"):
            await stream.receive_some()
        assert stream.send_nowait(b"why")


async def test_what_nobody_reads_is_bounded() -> None:
    async with relayed_worker() as worker:
        stream = await worker.open()
        for _ in range(UNREAD_LIMIT_BYTES // 16_384 + 1):
            await worker.say(r.DATA, 1, bytes(16_384))
        await eventually(lambda: "over" in repr(stream))
        assert len(await stream.receive_some()) <= UNREAD_LIMIT_BYTES + 16_384
        with pytest.raises(RemoteProtocolError, match="nobody could read"):
            await stream.receive_some()


async def test_watched_stream_tells_its_reader_and_what_came_before_it_too() -> None:
    async with relayed_worker() as worker, trio.open_nursery() as nursery:
        stream = await worker.open()
        await worker.say(r.DATA, 1, b"early")
        await eventually(lambda: "5 B" in repr(stream))
        reads = Reads(stream)
        Readiness(nursery.start_soon).watch(stream, reads)
        assert reads.got == []  # not from within `watch`: its caller is not ready for it
        await eventually(lambda: reads.got == [b"early"])
        await worker.say(r.DATA, 1, b"late")
        await worker.say(r.ENDED, 1)
        await eventually(lambda: reads.got == [b"early", b"late", b""])


async def test_forgotten_reader_is_told_nothing() -> None:
    async with relayed_worker() as worker, trio.open_nursery() as nursery:
        stream = await worker.open()
        reads, readiness = Reads(stream), Readiness(nursery.start_soon)
        readiness.watch(stream, reads)
        readiness.forget(stream)
        await worker.say(r.DATA, 1, b"beat")
        assert await stream.receive_some() == b"beat"
        assert reads.got == []


async def test_closed_stream_is_closed_for_the_worker_and_for_whoever_waits() -> None:
    async with relayed_worker() as worker, trio.open_nursery() as nursery:
        stream = await worker.open()
        ended: list[str] = []

        async def receive() -> None:
            try:
                await stream.receive_some()
            except LinkBrokenError as error:
                ended.append(str(error))

        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        stream.close()
        stream.close()
        await eventually(lambda: ended == ["closed on this side"])
        await worker.is_told(r.CLOSE)
        assert len(worker.relay) == 0
        with pytest.raises(LinkBrokenError):
            stream.send_nowait(b"x")
        with pytest.raises(LinkBrokenError):
            Readiness(nursery.start_soon).watch(stream, Reads(stream))
        await worker.say(r.DATA, 1, b"was on its way")  # and is nobody's
        await worker.open(2)


async def test_no_more_than_a_window_is_on_its_way() -> None:
    async with relayed_worker() as worker, trio.open_nursery() as nursery:
        stream = await worker.open()
        piece, sent = bytes(16_384), 0
        while stream.send_nowait(piece):
            sent += len(piece)
        assert sent == WINDOW_BYTES
        writable = trio.Event()

        async def wait() -> None:
            await stream.wait_writable()
            writable.set()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert not writable.is_set()
        await worker.say(r.TAKEN, 1, r.COUNT.pack(65_536))
        await writable.wait()
        assert stream.send_nowait(piece)


async def test_socket_that_refuses_stops_the_sender_until_it_takes_again() -> None:
    async with relayed_worker() as worker:
        stream = await worker.open()
        assert stream.send_nowait(b"one")
        await worker.say(r.BLOCKED, 1)
        await eventually(lambda: not stream.send_nowait(b"two"))
        await worker.say(r.WRITABLE, 1)
        await stream.wait_writable()
        assert stream.send_nowait(b"three")


async def test_writer_that_waits_learns_that_the_link_broke() -> None:
    async with relayed_worker() as worker:
        stream = await worker.open()
        await worker.say(r.BLOCKED, 1)
        await worker.say(r.ENDED, 1, b"the peer does not read")
        await eventually(lambda: "does not read" in repr(stream))
        with pytest.raises(LinkBrokenError, match="does not read"):
            await stream.wait_writable()


async def test_silence_counts_only_while_the_worker_is_current(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with relayed_worker() as worker:
        stream = await worker.open()
        assert not stream.has_unread()
        await trio.sleep(CURRENT_S + 0.1)
        assert stream.has_unread()
        await worker.say(r.CURRENT, 0)
        await eventually(lambda: not stream.has_unread())


async def test_bytes_that_have_not_been_taken_from_the_relay_are_unread() -> None:
    async with relayed_worker() as worker:
        stream = await worker.open()
        half = r.frame(r.DATA, 1, b"beat")
        await worker.say_raw(half[:5])
        await eventually(stream.has_unread)
        await worker.say_raw(half[5:])
        assert await stream.receive_some() == b"beat"
        assert not stream.has_unread()


async def test_doubt_asks_the_worker_and_its_answer_is_evidence_for_a_while(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with relayed_worker() as worker:
        stream = await worker.open()
        assert stream.unacknowledged() is None
        assert not stream.has_unread()
        assert await worker.is_told(r.PROBE) == (r.PROBE, 1, b"")
        await worker.say(r.EVIDENCE, 1, r.COUNT.pack(2))
        await eventually(lambda: stream.unacknowledged() == 2)
        await trio.sleep(EVIDENCE_S + 0.1)
        assert stream.unacknowledged() is None
        await worker.say(r.EVIDENCE, 1)
        await trio.sleep(0.1)
        assert stream.unacknowledged() is None


async def test_dead_workers_links_are_orphans_and_those_without_an_owner_are_broken() -> None:
    async with relayed_worker() as worker, trio.open_nursery() as nursery:
        watched, opening = await worker.open(1), await worker.open(2)
        reads = Reads(watched)
        Readiness(nursery.start_soon).watch(watched, reads)
        await trio.testing.wait_all_tasks_blocked()
        assert worker.relay.orphan("a worker ended") == 2
        assert reads.orphaned_by == "a worker ended"
        assert reads.got == []
        with pytest.raises(LinkBrokenError, match="a worker ended"):
            await opening.receive_some()


async def test_link_that_the_door_cut_off_as_it_was_established_is_an_orphan() -> None:
    async with relayed_worker() as worker, trio.open_nursery() as nursery:
        established, opening = await worker.open(1), await worker.open(2)
        reads = Reads(established)
        Readiness(nursery.start_soon).watch(established, reads)
        await worker.say(r.CUT_OFF, 1, b"not in time")
        await worker.say(r.CUT_OFF, 2, b"not in time")
        with pytest.raises(LinkBrokenError, match="not in time"):
            await opening.receive_some()
        assert (reads.orphaned_by, reads.got) == ("not in time", [])


async def test_established_peer_and_refused_strangers_are_told_of() -> None:
    async with relayed_worker() as worker:
        stream = await worker.open()
        stream.established()
        assert await worker.is_told(r.ESTABLISHED) == (r.ESTABLISHED, 1, b"")
        await worker.say(r.LIMIT, 0, r.encode(r.LimitHit("connections", "10.0.0.9", 3)))
        await eventually(lambda: worker.limits_hit == [("connections", "10.0.0.9", 3)])


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        pytest.param(r.OPENED, b"\xff", id="no-message"),
        pytest.param(r.OPENED, r.encode(PEER), id="opened-twice"),
        pytest.param(r.LIMIT, r.encode(7), id="another-message"),
        pytest.param(r.TAKEN, b"\x00", id="short-count"),
        pytest.param(99, b"", id="unknown-kind"),
    ],
)
async def test_worker_that_is_not_understood_is_an_error(kind: int, payload: bytes) -> None:
    async with relayed_worker() as worker:
        await worker.open()
        with pytest.raises(RelayError):
            worker.relay.take(r.frame(kind, 1, payload), trio.current_time())


async def test_dead_worker_ends_the_relay() -> None:
    async with relayed_worker() as worker:
        worker.die()
        await worker.is_over.wait()
