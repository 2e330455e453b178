"""What a stranger may cost: five seconds, 32 KiB and one place, and then a word why."""

import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio

from shared import messages as m
from shared.connection import ENTRY_BYTES_LIMIT
from shared.errors import LinkBrokenError, Violation
from shared.frames import ENTRY_FRAME_LIMIT_BYTES, encode_frame
from shared.messages import Refusal
from shared.settings import MasterSettings
from shared.stream import SocketStream
from shared.tls import client_context
from tests.eventually import eventually
from tests.network.cluster import (
    CA_REQUEST,
    HELLO,
    Cluster,
    Member,
    answer,
    as_link,
    ask,
    beat,
    running_cluster,
)

DEADLINE_S = 0.5
"""Of the masters here, for everything before the welcome."""


def strict(**changes: object) -> MasterSettings:
    """A master with little patience."""
    fields: dict[str, object] = {
        "listen": ("127.0.0.1:0",),
        "period_s": 1.0,
        "handshake_timeout_s": DEADLINE_S,
        "handshakes_per_s": 1000.0,
        "unauthenticated_connections_per_address": 1000,
    }
    return MasterSettings(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with running_cluster(tmp_path / "master", strict()) as cluster:
        yield cluster


def waiting(cluster: Cluster) -> int:
    return cluster.parts.entry.admission.waiting


async def until_closed(stream: trio.SocketStream) -> float:
    """How long the master keeps a connection open."""
    began_s = trio.current_time()
    with trio.fail_after(10):
        try:
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass  # reset: closed as well
    return trio.current_time() - began_s


async def assert_others_are_served(cluster: Cluster, member: Member) -> None:
    """An honest agent comes in and beats, whatever else goes on."""
    link = await member.linked()
    assert isinstance(await ask(link, beat()), m.Ack)
    link.break_off("seen")


# --- slow and silent ------------------------------------------------------------------------------


async def test_silent_connection_is_cut_at_the_deadline(cluster: Cluster) -> None:
    lasted_s = await until_closed(await cluster.tcp())
    assert lasted_s >= DEADLINE_S * 0.9
    assert "handshake-timeout" in cluster.limits_hit()


async def trickle(stream: trio.SocketStream, data: bytes) -> None:
    """A byte each 50 ms, for as long as somebody takes it."""
    try:
        for index in range(len(data)):
            await stream.send_all(data[index : index + 1])
            await trio.sleep(0.05)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


async def test_a_byte_each_50_ms_in_the_handshake_is_cut_at_the_deadline(cluster: Cluster) -> None:
    stream = await cluster.tcp()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trickle, stream, client_hello(cluster))
        await until_closed(stream)
        nursery.cancel_scope.cancel()


async def test_a_byte_each_50_ms_after_the_handshake_is_cut_at_the_deadline(
    cluster: Cluster,
) -> None:
    stream = await cluster.tls(client_context(cluster.ca_pem))

    async def trickle_a_hello() -> None:
        for byte in m.encode(HELLO) * 100:
            stream.send_nowait(bytes([byte]))
            await trio.sleep(0.05)

    with trio.fail_after(10), pytest.raises(LinkBrokenError):
        await trickle_a_hello()


async def test_half_a_frame_and_then_silence_is_cut_at_the_deadline(cluster: Cluster) -> None:
    stream = await cluster.tls(client_context(cluster.ca_pem))
    stream.send_nowait(m.encode(HELLO)[:7])
    with trio.fail_after(10):
        assert await stream.receive_some() == b""


async def test_deadline_holds_from_the_accept_on_not_from_the_last_byte(cluster: Cluster) -> None:
    link = await cluster.stranger()

    async def ask_for_the_ca_for_ever() -> None:  # which is allowed
        while True:
            await ask(link, CA_REQUEST)
            await trio.sleep(0.05)

    with trio.fail_after(10), pytest.raises(LinkBrokenError):
        await ask_for_the_ca_for_ever()


def client_hello(cluster: Cluster) -> bytes:
    """What a client says first."""
    to_client, to_master = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = client_context(cluster.ca_pem)
    caller = context.wrap_bio(to_client, to_master, server_hostname=cluster.server_name)
    with pytest.raises(ssl.SSLWantReadError):
        caller.do_handshake()
    return to_master.read()


# --- too much -------------------------------------------------------------------------------------


async def refusal_of(cluster: Cluster, data: bytes) -> str:
    """What the master answers to these bytes, on a fresh link without a certificate."""
    link = await cluster.stranger()
    link.stream.send_nowait(data)
    reply = await answer(link)
    assert isinstance(reply, m.Deny)
    with pytest.raises(LinkBrokenError):
        await answer(link)
    return reply.code


async def test_frame_of_two_gibibytes_is_refused_by_its_length_alone(cluster: Cluster) -> None:
    code = await refusal_of(cluster, struct.pack(">I", 2**31) + b"\x06")
    assert code == Violation.FRAME_TOO_LONG


async def test_frame_over_the_entry_limit_is_refused(cluster: Cluster) -> None:
    length = ENTRY_FRAME_LIMIT_BYTES + 1
    code = await refusal_of(cluster, struct.pack(">I", length) + bytes(length))
    assert code == Violation.FRAME_TOO_LONG


async def test_garbage_is_refused(cluster: Cluster) -> None:
    assert await refusal_of(cluster, b"\x00\x00\x00\x04\x06\xc1\xc1\xc1") == Violation.BAD_FRAME
    assert await refusal_of(cluster, b"\x00\x00\x00\x00") == Violation.BAD_FRAME


@pytest.mark.parametrize(
    "message", [beat(), m.Goodbye("stopped"), m.Renew(b""), m.Watch(), m.GetNode(1, "x"), m.Ping(1)]
)
async def test_frame_of_the_wrong_kind_is_refused(cluster: Cluster, message: m.Message) -> None:
    assert await refusal_of(cluster, m.encode(message)) == Violation.BAD_MESSAGE


async def test_masters_own_messages_are_refused(cluster: Cluster) -> None:
    ca = m.Ca(1, cluster.authority.certificate_der())
    assert await refusal_of(cluster, m.encode(ca)) == Violation.BAD_MESSAGE


async def test_flood_of_frames_is_cut_at_the_budget(cluster: Cluster) -> None:
    unknown = encode_frame(250, bytes(1000)) * 64  # kinds of a later version: skipped, and counted
    assert await refusal_of(cluster, unknown) == Violation.FLOOD


async def test_no_common_version_is_said_to_be_the_reason(cluster: Cluster) -> None:
    for hello in (m.CaRequest(90, 99), m.AgentHello(90, 99, "9", "boot", 0)):
        assert await refusal_of(cluster, m.encode(hello)) == Refusal.VERSION


needs_byte_count = pytest.mark.skipif(
    not hasattr(socket, "TCP_INFO"), reason="this kernel does not count"
)


@needs_byte_count
async def test_flood_inside_the_handshake_is_cut_at_the_budget(tmp_path: Path) -> None:
    patient = strict(handshake_timeout_s=30.0)
    async with running_cluster(tmp_path / "patient", patient) as cluster:
        stream = await cluster.tcp()
        record = b"\x16\x03\x01\x10\x00"
        hello = record + b"\x01\x01\xff\x00" + bytes(4092)  # it announces 128 KiB of itself
        with trio.fail_after(10):
            await send_until_refused(stream, hello + (record + bytes(4096)) * 28)
            await until_closed(stream)
        assert Violation.FLOOD in cluster.limits_hit()


@needs_byte_count
async def test_flood_of_tiny_records_under_the_frames_is_cut_at_the_budget(tmp_path: Path) -> None:
    patient = strict(handshake_timeout_s=30.0)
    async with running_cluster(tmp_path / "patient", patient) as cluster:
        stream = await cluster.tls(client_context(cluster.ca_pem))
        sent = 0

        async def send_tiny_records() -> None:
            nonlocal sent
            for byte in encode_frame(250, bytes(4000)) * 100:
                while not stream.send_nowait(bytes([byte])):  # 23 bytes on the wire
                    await stream.wait_writable()
                sent += 1
                await trio.lowlevel.checkpoint()

        with trio.fail_after(10), pytest.raises(LinkBrokenError):
            await send_tiny_records()
        assert sent < ENTRY_BYTES_LIMIT
        assert Violation.FLOOD in cluster.limits_hit()


async def send_until_refused(stream: trio.SocketStream, data: bytes) -> None:
    try:
        await stream.send_all(data)
    except trio.BrokenResourceError:
        return


@pytest.mark.parametrize(
    "babble",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100,
        bytes(100_000),
        b"\x16\x03\x01\xff\xff" + bytes(70_000),
        b"\x80\x2e\x01\x03\x01" * 1000,
        b"SSH-2.0-OpenSSH_9.9\r\n",
    ],
    ids=["http", "zeros", "oversized record", "ancient hello", "ssh"],
)
async def test_what_is_no_tls_is_closed_at_once(cluster: Cluster, babble: bytes) -> None:
    stream = await cluster.tcp()
    with trio.fail_after(10):
        await send_until_refused(stream, babble)
        await until_closed(stream)
    await eventually(lambda: waiting(cluster) == 0)


# --- too many -------------------------------------------------------------------------------------


async def test_connections_of_one_address_are_refused_before_any_tls(tmp_path: Path) -> None:
    limited = strict(unauthenticated_connections_per_address=4, handshake_timeout_s=30.0)
    async with running_cluster(tmp_path / "limited", limited) as cluster:
        silent = [await cluster.tcp() for _ in range(4)]
        await eventually(lambda: waiting(cluster) == 4)
        await until_closed(await cluster.tcp())
        assert "connections-per-address" in cluster.limits_hit()
        await silent.pop().aclose()
        await eventually(lambda: waiting(cluster) == 3)
        assert isinstance(await ask(await cluster.stranger(), CA_REQUEST), m.Ca)


async def test_connections_in_all_are_refused_before_any_tls(tmp_path: Path) -> None:
    limited = strict(unauthenticated_connections=4, handshake_timeout_s=30.0)
    async with running_cluster(tmp_path / "limited", limited) as cluster:
        silent = [await cluster.tcp() for _ in range(4)]
        await eventually(lambda: waiting(cluster) == 4)
        await until_closed(await cluster.tcp())
        assert "connections" in cluster.limits_hit()
        for stream in silent:
            await stream.aclose()
        await eventually(lambda: waiting(cluster) == 0)


async def test_handshakes_begin_at_a_rate_and_members_have_a_reserve(tmp_path: Path) -> None:
    slow = strict(handshakes_per_s=4.0)
    async with running_cluster(tmp_path / "slow", slow) as cluster:
        member = await cluster.member("honest")
        link = await member.linked()
        for _ in range(50):  # beyond the reserve and the rate
            await (await cluster.tcp()).aclose()
        await eventually(lambda: "handshakes-per-s" in cluster.limits_hit())
        await assert_comes_back(member)
        assert isinstance(await ask(link, beat()), m.Ack | m.Goodbye)


async def assert_comes_back(member: Member) -> None:
    """As an agent does: it tries again until it is in."""
    with trio.fail_after(10):
        while True:
            try:
                await member.linked()
            except LinkBrokenError:
                await trio.sleep(0.1)
            else:
                return


async def test_fleet_behind_one_address_comes_back_at_once(tmp_path: Path) -> None:
    fleet = 40
    root = tmp_path / "master"
    usual = strict(handshake_timeout_s=5.0)
    async with running_cluster(root, usual) as cluster:
        members = [await cluster.member(f"node-{number}") for number in range(fleet)]
        for member in members:
            (await member.linked()).break_off("seen once")
        await eventually(lambda: not cluster.parts.entry.sessions.roster)
        await cluster.parts.entry.registry.save()
    again = strict(
        handshakes_per_s=5.0, unauthenticated_connections_per_address=2, handshake_timeout_s=5.0
    )
    async with running_cluster(root, again) as cluster:
        async with trio.open_nursery() as nursery:
            for member in members:
                member.cluster = cluster
                nursery.start_soon(member.linked)
        assert len(cluster.parts.entry.sessions.roster) == fleet
        assert not cluster.limits_hit()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="one loopback address only")
async def test_flood_of_strangers_does_not_keep_members_out(cluster: Cluster) -> None:
    # From an address where no member lives: at its own, a member is one of many that knock.
    member = await cluster.member("honest")
    (await member.linked()).break_off("seen once")

    async def knock(kind: Callable[[], bytes]) -> None:
        while True:
            stream = await cluster.tcp("127.0.0.9")
            await send_until_refused(stream, kind())
            await stream.aclose()

    async with trio.open_nursery() as nursery:
        for kind in (lambda: b"", lambda: bytes(1000), lambda: client_hello(cluster)):
            nursery.start_soon(knock, kind)
        await eventually(cluster.limits_hit)
        for _ in range(5):
            await assert_others_are_served(cluster, member)
        nursery.cancel_scope.cancel()
    await eventually(lambda: waiting(cluster) == 0)


async def test_connection_reset_at_once_leaves_nothing_behind(cluster: Cluster) -> None:
    for _ in range(100):
        stream = await cluster.tcp()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()
    await eventually(lambda: waiting(cluster) == 0)
    assert isinstance(await ask(as_link(await stranger_again(cluster)), CA_REQUEST), m.Ca)


async def stranger_again(cluster: Cluster) -> SocketStream:
    return await cluster.tls(client_context(cluster.ca_pem))
