"""Agents that have a key and mean harm: they hurt themselves, and nobody else."""

import gc
import random
import socket
import ssl
import struct
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import psutil
import pytest
import trio

from master.agent_session import AgentSession
from master.node import FAMILIES_LIMIT
from master.opening import Peer
from shared import messages as m
from shared.certificates import new_key_and_request, read_peer
from shared.connection import PIECE_BYTES
from shared.errors import LinkBrokenError, Violation
from shared.frames import LINK_FRAME_LIMIT_BYTES
from shared.inventory import Inventory
from shared.messages import Parting
from shared.metrics import Core
from shared.outbox import URGENT_LIMIT_BYTES
from shared.settings import LinkSettings, MasterSettings
from shared.stream import SocketStream
from tests.eventually import eventually
from tests.network.cluster import (
    HELLO,
    ClientLink,
    Cluster,
    Member,
    answer,
    as_link,
    ask,
    beat,
    enrolled_agent,
    running_cluster,
)

MUTANTS: Final = 10_000
MUTANTS_OVER_TLS: Final = 500
WARM_UP: Final = 3_000
SLACK_BLOCKS: Final = 2_000
SLACK_BYTES: Final = 8 * 1024 * 1024
"""What thousands of sessions may leave behind in caches and free lists: less than a block each."""

HONEST: Final = 3


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    settings = MasterSettings(
        listen=("127.0.0.1:0",),
        period_s=1.0,
        handshakes_per_s=10_000.0,
        unauthenticated_connections_per_address=1000,
    )
    async with running_cluster(
        tmp_path / "master", settings, LinkSettings(ping_after_s=0.5)
    ) as cluster:
        yield cluster


@asynccontextmanager
async def honest_agents(cluster: Cluster, root: Path) -> AsyncGenerator[None]:
    """Agents that beat all the while; afterwards, none of them has ever been anything but up."""
    names = [f"honest-{number}" for number in range(HONEST)]
    agents = [await enrolled_agent(cluster, root / name, name) for name in names]
    async with trio.open_nursery() as nursery:
        for agent in agents:
            nursery.start_soon(agent.run)
        await eventually(lambda: all(cluster.state(name) == "up" for name in names))
        sessions = [cluster.node(name).session for name in names]
        yield
        assert [cluster.node(name).session for name in names] == sessions, "a link was lost"
        assert all(cluster.state(name) == "up" for name in names)
        states = {event.after for event in await cluster.events("state") if event.name in names}
        assert states == {"up"}
        nursery.cancel_scope.cancel()


async def last_word(link: ClientLink) -> str:
    """The code of the master's goodbye; whatever comes before it is passed over."""
    while True:
        message = await answer(link)
        if isinstance(message, m.Goodbye):
            return message.code


# --- frames that are nearly right -----------------------------------------------------------------


def specimens() -> list[bytes]:
    """A good frame of everything that an agent may send."""
    sample = m.FamilySample("swap", 0, 0, 5000, m.raw([1, 2, 0.5]))
    long = m.FamilySample("of-tomorrow", 0, 0, 5000, m.raw(["x" * 100] * 50))
    part = m.Part(m.FamilySample.kind, last=True, data=m.encode_body(sample))
    messages: list[m.Message] = [
        beat(7, Core(*range(20))),
        m.Ping(1),
        m.Pong(1),
        sample,
        long,
        m.InventoryReport(m.raw(["host", "os", "6.1", "x86_64", "3.11", "0.1", "boot", 0])),
        part,
        m.Returned("boot", 1, 2, 3, 4, 5, 0, 0, 0, 1, attempt_error="timed out"),
        m.Renew(new_key_and_request()[1]),
    ]
    return [m.encode(message) for message in messages]


def mutated(frame: bytes, rng: random.Random) -> bytes:
    """The frame with something wrong in it; mostly its length is right, so that the rest is
    read."""
    body = bytearray(frame[4:])
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        where = rng.randrange(len(body))
        match rng.randrange(5):
            case 0:
                body[where] = rng.randrange(256)
            case 1:
                body[where] ^= 1 << rng.randrange(8)
            case 2:
                del body[where : where + rng.randrange(1, 8)]
            case 3:
                body[where:where] = rng.randbytes(rng.randrange(1, 8))
            case _:
                body[where : where + 1] = rng.choice((b"\xdd", b"\xc1", b"\x93", b"\xcf", b"\xc6"))
        if not body:
            return struct.pack(">I", 0)
    length = len(body) if rng.random() > 0.02 else rng.randrange(2**32)
    return struct.pack(">I", length) + bytes(body)


def mutants(seed: int, number: int) -> Iterator[bytes]:
    rng, good = random.Random(seed), specimens()
    for _ in range(number):
        yield mutated(rng.choice(good), rng)


async def send_until_ended(
    dial: Callable[[], Awaitable[ClientLink]], frames: Iterator[bytes], member: Member
) -> None:
    """Sends all of the frames, on as many links as it takes."""
    left = True
    while left:
        await eventually(lambda: member.node.session is None)  # shunned if it will be
        member.node.shunned_until_s = 0.0  # the test has no ten seconds for each of them
        link = await dial()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_to_the_end, link, nursery.cancel_scope)
            left = False
            for frame in frames:
                left = True
                try:
                    while not link.stream.send_nowait(frame):
                        await link.stream.wait_writable()
                except LinkBrokenError:
                    break
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        link.break_off("on to the next")


async def read_to_the_end(link: ClientLink, scope: trio.CancelScope) -> None:
    try:
        while await link.stream.receive_some():
            pass
    except LinkBrokenError:
        pass
    scope.cancel()


async def test_ten_thousand_mutated_frames(cluster: Cluster, tmp_path: Path) -> None:
    hostile = await cluster.member("hostile")
    peer = Peer("127.0.0.1", "127.0.0.1:1", read_peer(der_of(hostile)))

    async with trio.open_nursery() as nursery:

        async def over_tcp() -> ClientLink:
            """As behind TLS, without the price of ten thousand handshakes."""
            ours, theirs = socket.socketpair()
            nursery.start_soon(serve, cluster, theirs, peer)
            link = as_link(SocketStream(ours))
            assert isinstance(await ask(link, HELLO), m.Welcome)
            return link

        async with honest_agents(cluster, tmp_path):
            # What is loaded and cached once is loaded before the memory is measured.
            await send_until_ended(over_tcp, mutants(1, WARM_UP), hostile)
            before = held()
            rest = MUTANTS - WARM_UP - MUTANTS_OVER_TLS
            await send_until_ended(over_tcp, mutants(2, rest), hostile)
            hostile.node.families.clear()
            await cluster.parts.context.store.flush()
            await cluster.master.history.flush()
            with trio.move_on_after(10):
                while not has_returned(before, held()):
                    await trio.sleep(0.25)  # until the last deadline of the last session is over
            after = held()
            await send_until_ended(hostile.linked, mutants(3, MUTANTS_OVER_TLS), hostile)
        nursery.cancel_scope.cancel()
    assert has_returned(before, after), (before, after)
    assert cluster.audit("protocol-error")


def der_of(member: Member) -> bytes:
    return ssl.PEM_cert_to_DER_cert(member.certificate_pem.decode())


async def serve(cluster: Cluster, sock: socket.socket, peer: Peer) -> None:
    established = await cluster.parts.entry.open(SocketStream(sock), peer)
    if established is not None:
        await established()


class Held(NamedTuple):
    """What the process holds: Python's own blocks, exactly, and all of it, roughly."""

    blocks: int
    rss_bytes: int


def has_returned(before: Held, after: Held) -> bool:
    return (
        after.blocks - before.blocks < SLACK_BLOCKS
        and after.rss_bytes - before.rss_bytes < SLACK_BYTES
    )


def held() -> Held:
    gc.collect()
    return Held(sys.getallocatedblocks(), psutil.Process().memory_info().rss)


# --- too much, too deep, too long -----------------------------------------------------------------


async def broken_by(cluster: Cluster, frames: list[bytes]) -> str:
    """The master's last word to an agent that sends these after its welcome."""
    member = await cluster.member("hostile")
    link = await member.linked()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_frames, link, frames)
        code = await last_word(link)
        nursery.cancel_scope.cancel()
    return code


async def send_frames(link: ClientLink, frames: list[bytes]) -> None:
    try:
        for frame in frames:
            while not link.stream.send_nowait(frame):
                await link.stream.wait_writable()
            await trio.lowlevel.checkpoint()
    except LinkBrokenError:
        return  # the master has heard enough


def family(data: bytes, name: str = "of-tomorrow") -> bytes:
    """A family's frame around data that is packed already."""
    return m.encode(m.FamilySample(name, 0, 0, 5000, msgspec.Raw(data)))


def parts(number: int, *, kind: int = m.FamilySample.kind) -> list[bytes]:
    """Pieces of a message that never ends."""
    return [m.encode(m.Part(kind, last=False, data=bytes(PIECE_BYTES)))] * number


LONGEST = LINK_FRAME_LIMIT_BYTES - 64

ABUSES: Final[dict[str, tuple[list[bytes], str]]] = {
    "a frame over the limit": (
        [struct.pack(">I", LINK_FRAME_LIMIT_BYTES + 1) + b"\x10"],
        Violation.FRAME_TOO_LONG,
    ),
    "a frame of four gibibytes": ([b"\xff\xff\xff\xff"], Violation.FRAME_TOO_LONG),
    "an empty frame": ([b"\x00\x00\x00\x00"], Violation.BAD_FRAME),
    "messages without end": ([m.encode(m.Ping(1))] * 5_000, Violation.FLOOD),
    "long messages without end": (
        [family(b"\xdb" + struct.pack(">I", LONGEST) + b"x" * LONGEST)] * 200,
        Violation.FLOOD,
    ),
    "nested arrays": ([family(b"\x91" * LONGEST + b"\x01")], Violation.BAD_FRAME),
    "nested maps": ([family(b"\x81\x01" * (LONGEST // 2) + b"\x01")], Violation.BAD_FRAME),
    "a nested core": (
        [m.encode(m.Beat(1, 0, 0, 1000, msgspec.Raw(b"\x91" * LONGEST + b"\x01")))],
        Violation.BAD_FRAME,
    ),
    "a quarter of a million values": (
        [family(b"\xdd" + struct.pack(">I", LONGEST - 64) + b"\x80" * (LONGEST - 64))],
        Violation.BAD_FRAME,
    ),
    "a core of other numbers": (
        [m.encode(m.Beat(1, 0, 0, 1000, m.raw([-1, 2.5, "x"])))],
        Violation.BAD_FRAME,
    ),
    "a piece of a piece": ([m.encode(m.Part(m.Part.kind, True, b""))], Violation.BAD_MESSAGE),
    "pieces without end": (parts(200), Violation.FRAME_TOO_LONG),
    "pieces of two messages at once": (
        [*parts(1), *parts(1, kind=m.InventoryReport.kind)],
        Violation.BAD_MESSAGE,
    ),
    "an order of an operator": ([m.encode(m.RevokeNode(1, "honest-0"))], Violation.BAD_MESSAGE),
    "a second hello": ([m.encode(HELLO)], Violation.BAD_MESSAGE),
    "a master's message": ([m.encode(m.Ack(1))], Violation.BAD_MESSAGE),
    "families without end": (
        [family(b"\x01", f"family-{number}") for number in range(200)],
        Violation.BAD_MESSAGE,
    ),
    "a request that is none": ([m.encode(m.Renew(b"\x30\x80"))], "bad-request"),
}


@pytest.mark.parametrize("abuse", ABUSES)
async def test_abuse_ends_the_link_with_its_reason(cluster: Cluster, abuse: str) -> None:
    frames, code = ABUSES[abuse]
    assert await broken_by(cluster, frames) == code


async def test_all_abuses_at_once_leave_honest_agents_up(cluster: Cluster, tmp_path: Path) -> None:
    async with honest_agents(cluster, tmp_path), trio.open_nursery() as nursery:
        for frames, _ in ABUSES.values():
            nursery.start_soon(broken_by, cluster, frames)


async def test_agent_costs_the_master_no_more_than_its_families(cluster: Cluster) -> None:
    member = await cluster.member("hostile")
    link = await member.linked()
    text = b"\xdb" + struct.pack(">I", 500) + b"x" * 500
    for number in range(FAMILIES_LIMIT):
        link.stream.send_nowait(family(text, f"family-{number}"))
    await eventually(lambda: len(member.node.families) == FAMILIES_LIMIT)
    for _ in range(10):  # again: in place of the first, not beside them
        link.stream.send_nowait(family(text, "family-0"))
    assert isinstance(await ask(link, beat()), m.Ack)
    assert len(member.node.families) == FAMILIES_LIMIT


async def test_renewals_without_end_are_answered_in_measure(
    cluster: Cluster, tmp_path: Path
) -> None:
    member = await cluster.member("hostile")
    link = await member.linked()
    request = m.encode(m.Renew(new_key_and_request()[1]))
    async with honest_agents(cluster, tmp_path):
        for _ in range(500):
            link.stream.send_nowait(request)
        assert isinstance(await answer(link), m.Renewed)
        await eventually(lambda: member.node.session is not None)
    assert len(cluster.audit("renewed")) < 10


async def test_agent_that_reads_nothing_is_cut_off_and_harms_nobody(
    tmp_path: Path,
) -> None:
    settings = MasterSettings(listen=("127.0.0.1:0",), period_s=1.0)
    impatient = LinkSettings(write_timeout_s=1.0)
    async with running_cluster(tmp_path / "master", settings, impatient) as cluster:
        deaf = await cluster.member("deaf")
        async with honest_agents(cluster, tmp_path):
            await deaf.linked()
            session = await until_blocked(deaf)
            await eventually(lambda: deaf.node.session is None)
            assert session.ended == m.Goodbye(Parting.SLOW, "nothing was read for 1 s")


async def test_deaf_agent_that_breaks_the_protocol_too_harms_nobody(
    cluster: Cluster, tmp_path: Path
) -> None:
    deaf = await cluster.member("deaf")
    async with honest_agents(cluster, tmp_path):
        link = await deaf.linked()
        await until_blocked(deaf)
        link.stream.send_nowait(m.encode(m.Watch()))
        await eventually(lambda: deaf.node.session is None)
        await eventually(lambda: len(cluster.parts.entry.sessions.roster) == HONEST)


async def until_blocked(deaf: Member) -> AgentSession:
    """The session of an agent that reads nothing, once the kernel takes no more for it."""
    await eventually(lambda: deaf.node.session is not None)
    session = deaf.node.session
    assert session is not None
    while session.link.outbox.pending_bytes < URGENT_LIMIT_BYTES // 2:
        session.link.post(m.Ping(1))
        await trio.lowlevel.checkpoint()
    return session


async def test_silent_agent_is_pinged_and_then_given_up(tmp_path: Path) -> None:
    settings = MasterSettings(listen=("127.0.0.1:0",), period_s=1.0)
    impatient = LinkSettings(ping_after_s=0.5, read_timeout_s=1.5)
    async with running_cluster(tmp_path / "master", settings, impatient) as cluster:
        member = await cluster.member("silent")
        link = await member.linked()
        assert isinstance(await answer(link), m.Ping)
        assert await last_word(link) == Parting.SILENT


# --- what is said ---------------------------------------------------------------------------------

ESCAPES: Final = "\x1b]0;owned\x07\x1b[2J\r\nup\u202e\u2066\u200b\x00"


async def test_nothing_that_an_agent_says_can_drive_a_terminal(cluster: Cluster) -> None:
    member = await cluster.member(f"web{ESCAPES}")
    link = await member.dial()
    hello = m.AgentHello(1, 1, ESCAPES, ESCAPES, 0)
    assert isinstance(await ask(link, hello), m.Welcome)
    troubles = (m.Trouble(ESCAPES, ESCAPES, 1, ESCAPES),)
    link.post(m.Beat(1, 0, 0, 1000, m.raw(Core()), troubles))
    link.post_bulk(m.FamilySample(ESCAPES, 0, 0, 5000, m.raw({ESCAPES: [ESCAPES]})))
    texts = (ESCAPES, ESCAPES, ESCAPES, ESCAPES, ESCAPES, ESCAPES, ESCAPES)
    inventory = Inventory(*texts, boot_wall_s=0, labels={ESCAPES: ESCAPES})
    link.post_bulk(m.InventoryReport(m.raw(inventory)))
    await eventually(lambda: member.node.inventory and member.node.families)
    shown = [repr(member.node.info()), repr(member.node.vitals())]
    link.post_farewell(ESCAPES, ESCAPES)
    await eventually(lambda: cluster.state(member.name) == "left")
    shown += [repr(event) for event in await cluster.parts.context.events.latest(100)]
    families = [seen.sample.data for seen in member.node.families.values()]
    for packed in (member.node.inventory or b"", *families):
        shown.append(repr(msgspec.msgpack.decode(packed)))
    shown.append(repr(member.node.vitals()))
    for text in shown:
        # As Python shows them; `repr` would write them so if they were there.
        assert "\\x1b" not in text
        assert "\\u202e" not in text
        assert "\\x07" not in text
        assert "\\x00" not in text
    written = cluster.master.audit.path.read_text("utf-8")
    assert written.replace("\n", "").isprintable()


async def test_word_of_a_liar_moves_nobody_else(cluster: Cluster) -> None:
    liar, other = await cluster.member("liar"), await cluster.member("other")
    link, others = await liar.linked(), await other.linked()
    assert isinstance(await ask(others, beat()), m.Ack)
    lie = m.Beat(2**53, 2**53, -(2**53), 600_000, m.raw(Core(*[2**53] * 20)))
    assert isinstance(await ask(link, lie), m.Ack)
    assert (cluster.state("liar"), cluster.state("other")) == ("up", "up")
    link.post_farewell(Parting.STOPPED)
    await eventually(lambda: cluster.state("liar") == "left")
    assert cluster.state("other") == "up"
