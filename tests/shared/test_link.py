"""One end of a link over a network in memory: what is written, in which order, and how it ends."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from shared import messages as m
from shared.connection import ClientConnection, MasterConnection, Phase
from shared.errors import LinkBrokenError, LocalProtocolError, RemoteProtocolError
from shared.link import FAREWELL_S, Link
from shared.metrics import Core
from shared.outbox import URGENT_LIMIT_BYTES
from tests.memory_link import Wire

AgentEnd = Link[m.FromClient, m.FromMaster]
MasterEnd = Link[m.FromMaster, m.FromClient]

HELLO = m.AgentHello(1, 1, "0.1.0", "boot", 0)
WELCOME = m.Welcome(1, "6f1d2c3b4a596877", "web-1", 5000, 100, 100, "0.1.0")
LONG = m.FamilySample("processes", 0, 0, 1000, m.raw("x" * 100_000))


class Ends:
    """An established link, seen from both sides. `drains` are those that `on_blocked` asked for."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.drains = list[Callable[[], Awaitable[None]]]()
        self.agent: AgentEnd = Link(wire.client, ClientConnection(), self._agent_is_blocked)
        self.master: MasterEnd = Link(wire.master, MasterConnection(), self._master_is_blocked)

    async def establish(self) -> None:
        self.agent.post(HELLO)
        assert await arriving(self.master) == [HELLO]
        self.master.post(WELCOME)
        assert await arriving(self.agent) == [WELCOME]

    def _agent_is_blocked(self) -> None:
        self.drains.append(self.agent.drain)

    def _master_is_blocked(self) -> None:
        self.drains.append(self.master.drain)


async def arriving(link: AgentEnd | MasterEnd) -> list[m.FromMaster | m.FromClient]:
    """The messages in the bytes that are there."""
    return list(await link.receive())


async def all_arriving(link: AgentEnd | MasterEnd, count: int) -> list[m.FromMaster | m.FromClient]:
    """The next `count` messages."""
    received: list[m.FromMaster | m.FromClient] = []
    while len(received) < count:
        received += await arriving(link)
    return received


@asynccontextmanager
async def established(limit_bytes: int = 64 * 1024) -> AsyncGenerator[Ends]:
    ends = Ends(Wire(limit_bytes))
    await ends.establish()
    yield ends
    ends.agent.break_off("the test is over")
    ends.master.break_off("the test is over")


def beat(sequence: int) -> m.Beat:
    return m.Beat(sequence, 0, 0, 1000, m.raw(Core()))


async def test_what_is_posted_arrives_in_order_without_anybody_waiting() -> None:
    async with established() as ends:
        for sequence in range(3):
            ends.agent.post(beat(sequence))
        assert await arriving(ends.master) == [beat(0), beat(1), beat(2)]
        assert ends.master.heard_bytes > 0
        assert not ends.agent.outbox
        assert ends.drains == []


async def test_beat_overtakes_the_pieces_of_a_long_message_that_the_kernel_does_not_take(
    autojump_clock: MockClock,
) -> None:
    async with established(limit_bytes=10_000) as ends, trio.open_nursery() as nursery:
        assert ends.agent.post_bulk(LONG)
        ends.agent.post(beat(1))
        assert len(ends.drains) == 1
        nursery.start_soon(ends.drains[0])
        assert await all_arriving(ends.master, 2) == [beat(1), LONG]
        await wait_all_tasks_blocked()
        assert ends.agent.blocked_s is None
        assert not ends.agent.outbox


async def test_owner_is_told_once_that_the_kernel_refuses_and_since_when(
    autojump_clock: MockClock,
) -> None:
    async with established(limit_bytes=10_000) as ends:
        ends.agent.post_bulk(LONG)
        began_s = trio.current_time()
        await trio.sleep(3)
        ends.agent.post(beat(1))
        assert len(ends.drains) == 1
        assert ends.agent.blocked_s == began_s


async def test_progress_moves_the_instant_since_when_the_peer_is_deaf(
    autojump_clock: MockClock,
) -> None:
    async with established(limit_bytes=10_000) as ends, trio.open_nursery() as nursery:
        ends.agent.post_bulk(LONG)
        nursery.start_soon(ends.drains[0])
        await trio.sleep(3)
        await ends.master.receive()
        await wait_all_tasks_blocked()
        assert ends.agent.blocked_s == trio.current_time()
        nursery.cancel_scope.cancel()


async def test_cancelled_drain_loses_nothing(autojump_clock: MockClock) -> None:
    async with established(limit_bytes=10_000) as ends, trio.open_nursery() as nursery:
        ends.agent.post_bulk(LONG)
        with trio.move_on_after(1):
            await ends.agent.drain()
        nursery.start_soon(ends.agent.drain)
        assert await all_arriving(ends.master, 1) == [LONG]


async def test_peer_that_never_reads_is_broken_off_when_the_outbox_is_full() -> None:
    async with established(limit_bytes=1_000) as ends:
        frame_bytes = len(m.encode(beat(1)))
        for sequence in range(2 * URGENT_LIMIT_BYTES // frame_bytes):
            ends.agent.post(beat(sequence))
        assert ends.agent.broken == "the peer does not read"
        assert ends.agent.outbox.pending_bytes <= URGENT_LIMIT_BYTES + frame_bytes
        with pytest.raises(LinkBrokenError, match="the peer does not read"):
            await ends.agent.receive()


async def test_long_message_without_room_is_refused_and_the_link_goes_on() -> None:
    async with established(limit_bytes=1_000) as ends:
        taken = [ends.agent.post_bulk(LONG) for _ in range(10)]
        assert taken[0]
        assert not taken[-1]
        assert ends.agent.broken is None


async def test_message_that_may_not_be_sent_now_is_a_bug_here() -> None:
    async with established() as ends:
        with pytest.raises(LocalProtocolError):
            ends.agent.post(HELLO)


async def test_nothing_is_posted_after_the_last_word_of_either_side() -> None:
    async with established() as ends:
        ends.master.post_farewell(m.Parting.STOPPED)
        assert ends.master.over
        ends.master.post(m.Ping(1))
        assert not ends.master.post_bulk(m.Cadence(1000))
        assert await arriving(ends.agent) == [m.Goodbye(m.Parting.STOPPED)]
        assert ends.agent.over
        ends.agent.post(beat(1))
        assert ends.wire.master.unread_bytes == 0


async def test_cut_reaches_who_reads_and_who_writes() -> None:
    async with established() as ends:
        ends.wire.cut()
        with pytest.raises(LinkBrokenError, match="connection reset by peer"):
            await ends.master.receive()
        ends.agent.post(beat(1))
        assert ends.agent.broken == "connection reset by peer"
        assert ends.agent.over


async def test_end_of_the_stream_without_a_goodbye_is_a_broken_link() -> None:
    async with established() as ends:
        ends.wire.client.close()
        with pytest.raises(LinkBrokenError, match="closed by the peer"):
            await ends.master.receive()


async def test_break_off_wakes_the_reader_with_its_reason() -> None:
    async with established() as ends, trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(LinkBrokenError, match="given up"):
                await ends.master.receive()

        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        ends.master.break_off("given up")
        ends.master.break_off("a second reason")
        assert ends.master.broken == "given up"


async def test_drain_of_a_link_that_breaks_ends_and_says_so(
    autojump_clock: MockClock,
) -> None:
    async with established(limit_bytes=1_000) as ends, trio.open_nursery() as nursery:
        ends.agent.post_bulk(LONG)
        nursery.start_soon(ends.agent.drain)
        await wait_all_tasks_blocked()
        ends.wire.cut()
    assert ends.agent.broken == "connection reset by peer"


async def test_peer_that_broke_the_protocol_is_told_and_what_it_says_next_is_not_heard() -> None:
    async with established() as ends:
        ends.wire.client.send_nowait(bytes.fromhex("00000000") + m.encode(beat(1)))
        with pytest.raises(RemoteProtocolError) as caught:
            await arriving(ends.master)
        ends.master.post_farewell(caught.value.code, caught.value.text)
        assert ends.master.connection.phase is Phase.CLOSED
        (goodbye,) = await arriving(ends.agent)
        assert isinstance(goodbye, m.Goodbye)
        assert goodbye.code == caught.value.code
        ends.wire.client.send_nowait(m.encode(beat(2)))
        assert await arriving(ends.master) == []


async def test_finish_waits_until_the_peer_has_read_the_last_word(
    autojump_clock: MockClock,
) -> None:
    async with established(limit_bytes=1_000) as ends, trio.open_nursery() as nursery:
        for token in range(100):
            ends.master.post(m.Ping(token))
        ends.master.post_farewell(m.Parting.STOPPED)
        nursery.start_soon(ends.master.finish)
        received = await all_arriving(ends.agent, 101)
        assert received[-1] == m.Goodbye(m.Parting.STOPPED)
        assert not ends.wire.master.is_closed
        ends.agent.break_off("done")
        await wait_all_tasks_blocked()
        assert ends.wire.master.is_closed


async def test_finish_does_not_let_unread_input_reset_the_last_word(
    autojump_clock: MockClock,
) -> None:
    async with established() as ends, trio.open_nursery() as nursery:
        ends.agent.post(beat(1))
        ends.master.post_farewell(m.Parting.REVOKED)
        nursery.start_soon(ends.master.finish)
        await wait_all_tasks_blocked()
        ends.agent.post(beat(2))
        await wait_all_tasks_blocked()
        assert await arriving(ends.agent) == [m.Goodbye(m.Parting.REVOKED)]
        nursery.cancel_scope.cancel()


async def test_finish_of_a_peer_that_neither_reads_nor_closes_ends_in_time(
    autojump_clock: MockClock,
) -> None:
    async with established(limit_bytes=1_000) as ends, trio.open_nursery() as nursery:
        for token in range(1_000):
            ends.master.post(m.Ping(token))
        nursery.start_soon(ends.drains[0])  # its owner wrote when the goodbye was decided upon
        ends.master.post_farewell(m.Parting.SLOW)
        began_s = trio.current_time()
        await ends.master.finish()
        assert trio.current_time() - began_s == FAREWELL_S
        assert ends.wire.master.is_closed


async def test_cancelled_finish_closes_at_once(autojump_clock: MockClock) -> None:
    async with established() as ends:
        ends.master.post_farewell(m.Parting.STOPPED)
        with trio.CancelScope() as scope:
            scope.cancel()
            await ends.master.finish()
        assert ends.wire.master.is_closed


async def test_owner_is_told_once_that_a_link_broke_while_its_stream_is_open() -> None:
    async with established() as ends:
        told = list[tuple[str | None, bool]]()

        def note() -> None:
            told.append((ends.master.broken, ends.wire.master.is_closed))

        ends.master.on_broken = note
        ends.master.break_off("the first reason")
        ends.master.break_off("another one")
        assert told == [("the first reason", False)]
        assert ends.wire.master.is_closed


async def test_owner_is_told_of_a_link_that_breaks_under_what_is_posted() -> None:
    async with established() as ends:
        told = list[str | None]()
        ends.master.on_broken = lambda: told.append(ends.master.broken)
        ends.wire.cut()
        ends.master.post(m.Ping(1))
        assert told == ["connection reset by peer"]
        ends.master.post(m.Ping(2))
        await ends.master.finish()
        assert len(told) == 1
