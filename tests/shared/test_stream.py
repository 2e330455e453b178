"""Streams over real sockets, plain and TLS: whole, in order, and ended in words."""

import datetime as dt
import os
import socket
import ssl
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from typing import Final

import pytest
import trio
import trio.testing

from shared.certificates import CertificateAuthority
from shared.errors import LinkBrokenError, RemoteProtocolError, Violation
from shared.stream import SocketStream, tls_client, tls_server
from shared.tls import client_context, master_context
from tests.eventually import eventually

NOW: Final = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
PATTERN: Final = bytes(range(256)) * 4096
"""A megabyte: far more than the kernel takes of it at once."""


@cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext, str]:
    """A master's and a client's, and the name to check."""
    authority = CertificateAuthority.create(NOW)
    leaf = authority.issue_master(NOW, dt.timedelta(days=1))
    ca_pem = authority.certificate_pem()
    return master_context(ca_pem, *leaf), client_context(ca_pem), authority.server_name


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """A connection over loopback: what was accepted, and what dialled."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dialled = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    return accepted, dialled


def take_little(stream: SocketStream) -> None:
    """The kernel takes little of what is sent, so that some of it has to wait."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)


@asynccontextmanager
async def streams(*, tls: bool) -> AsyncGenerator[tuple[SocketStream, SocketStream]]:
    """Both ends of a connection, the accepted one first."""
    accepted, dialled = tcp_pair()
    if tls:
        master, client, name = contexts()
        ends = tls_server(accepted, master), tls_client(dialled, client, name)
        async with trio.open_nursery() as nursery:
            for end in ends:
                nursery.start_soon(end.handshake)
    else:
        ends = SocketStream(accepted), SocketStream(dialled)
    try:
        yield ends
    finally:
        for end in ends:
            end.close()


async def send_all(stream: SocketStream, data: bytes) -> None:
    while not stream.send_nowait(data):
        await stream.wait_writable()


async def receive_exactly(stream: SocketStream, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        data = await stream.receive_some()
        assert data, "the stream ended early"
        received += data
    return bytes(received)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_megabyte_each_way_at_once_arrives_whole(tls: bool) -> None:
    async with streams(tls=tls) as ends:
        for end in ends:
            take_little(end)
        received: list[bytes] = []

        async def receive(stream: SocketStream) -> None:
            received.append(await receive_exactly(stream, len(PATTERN)))

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for end in ends:
                    nursery.start_soon(send_all, end, PATTERN)
                    nursery.start_soon(receive, end)
        assert received == [PATTERN, PATTERN]


@pytest.mark.parametrize("tls", [False, True])
async def test_end_of_the_peers_stream_is_no_bytes(tls: bool) -> None:
    async with streams(tls=tls) as (one, other):
        await send_all(one, b"the last word")
        one.shutdown()
        assert await receive_exactly(other, 13) == b"the last word"
        assert await other.receive_some() == b""
        one.shutdown()  # again: nothing happens


async def block(stream: SocketStream) -> None:
    """Fills the kernel's buffers: nothing more is taken."""
    take_little(stream)
    while stream.send_nowait(b"x" * 1024):
        await trio.lowlevel.checkpoint()


async def receive_for_ever(stream: SocketStream) -> None:
    while True:
        await stream.receive_some()


@pytest.mark.parametrize("tls", [False, True])
async def test_several_tasks_may_wait_to_write(tls: bool) -> None:
    async with streams(tls=tls) as (one, other):
        await block(one)
        woken: list[int] = []

        async def wait(number: int) -> None:
            await one.wait_writable()
            woken.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(wait, number)
            await trio.testing.wait_all_tasks_blocked()
            assert not woken
            nursery.start_soon(receive_for_ever, other)
            await eventually(lambda: len(woken) == 3)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("tls", [False, True])
async def test_closing_wakes_everybody_who_waits(tls: bool) -> None:
    async with streams(tls=tls) as (one, _):
        await block(one)
        reasons: list[str] = []

        async def read() -> None:
            with pytest.raises(LinkBrokenError) as broken:
                await one.receive_some()
            reasons.append(str(broken.value))

        async def write() -> None:
            with pytest.raises(LinkBrokenError) as broken:
                await one.wait_writable()
            reasons.append(str(broken.value))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            nursery.start_soon(write)
            nursery.start_soon(write)
            await trio.testing.wait_all_tasks_blocked()
            one.close()
        assert reasons == ["closed on this side"] * 3
        one.close()  # again: nothing happens


async def test_closed_stream_says_so() -> None:
    async with streams(tls=False) as (one, _):
        one.close()
        one.shutdown()
        with pytest.raises(LinkBrokenError, match="closed on this side"):
            await one.receive_some()
        with pytest.raises(LinkBrokenError, match="closed on this side"):
            one.send_nowait(b"x")
        with pytest.raises(LinkBrokenError, match="closed on this side"):
            await one.wait_writable()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_reset_is_told_in_the_kernels_words(*, tls: bool) -> None:
    async with streams(tls=tls) as (one, other):
        linger = struct.pack("ii", 1, 0)
        other.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        other.close()
        with pytest.raises(LinkBrokenError, match="connection reset by peer"):
            await one.receive_some()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_end_without_a_word_is_no_reset(*, tls: bool) -> None:
    async with streams(tls=tls) as (one, other):
        ended = other.socket.detach()  # as a process ends that is killed: TLS is not asked
        os.close(ended)
        assert await one.receive_some() == b""


async def test_peer_that_never_stops_sending_does_not_stop_the_loop() -> None:
    async with streams(tls=False) as (one, other):
        turns = 0

        async def flood() -> None:
            while True:
                await send_all(other, b"x" * 65536)

        async def somebody_else() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            nursery.start_soon(somebody_else)
            reads = 500
            for _ in range(reads):
                await one.receive_some()
            nursery.cancel_scope.cancel()
        assert turns >= reads / 10


async def test_cancelled_receive_loses_nothing() -> None:
    async with streams(tls=True) as (one, other):
        with trio.move_on_after(0):
            await one.receive_some()
        await send_all(other, b"still here")
        assert await receive_exactly(one, 10) == b"still here"


# --- the handshake --------------------------------------------------------------------------------


async def failed_handshake(dialled: socket.socket, accepted: socket.socket) -> str:
    stream = tls_server(accepted, contexts()[0])
    with trio.fail_after(5), pytest.raises(LinkBrokenError) as broken:
        await stream.handshake()
    stream.close()
    return str(broken.value)


async def test_garbage_instead_of_a_handshake_is_refused_with_an_alert() -> None:
    accepted, dialled = tcp_pair()
    with dialled:
        dialled.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
        assert "http request" in await failed_handshake(dialled, accepted)


async def test_peer_that_hangs_up_in_the_handshake_is_noticed() -> None:
    accepted, dialled = tcp_pair()
    dialled.sendall(b"\x16\x03\x01\x02\x00")
    dialled.close()
    assert await failed_handshake(dialled, accepted)


async def test_peer_that_resets_before_the_handshake_is_noticed() -> None:
    accepted, dialled = tcp_pair()
    dialled.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    dialled.close()
    with accepted, pytest.raises(OSError, match="not connected"):
        tls_server(accepted, contexts()[0])


async def test_client_learns_that_the_masters_certificate_is_not_good() -> None:
    accepted, dialled = tcp_pair()
    master, _, name = contexts()
    stranger = CertificateAuthority.create(NOW)
    server = tls_server(accepted, master)
    client = tls_client(dialled, client_context(stranger.certificate_pem()), name)
    reasons: list[str] = []

    async def shake(end: SocketStream) -> None:
        with pytest.raises(LinkBrokenError) as broken:
            await end.handshake()
        reasons.append(str(broken.value))
        end.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(shake, server)
        nursery.start_soon(shake, client)
    assert any("certificate is not good" in reason for reason in reasons)
    assert any("alert" in reason for reason in reasons)  # OpenSSL has told the master why


needs_byte_count = pytest.mark.skipif(
    not hasattr(socket, "TCP_INFO"), reason="this kernel does not count"
)


@needs_byte_count
async def test_budget_counts_what_lies_under_tls() -> None:
    async with streams(tls=True) as (one, other):
        one.budget_bytes = 8 * 1024
        await send_all(other, b"x")
        assert await one.receive_some() == b"x"

        async def a_thousand_bytes() -> None:
            for _ in range(1000):
                # Each costs a record of its own: what is decrypted says little of it.
                await send_all(other, b"x")
                await one.receive_some()

        with pytest.raises(RemoteProtocolError) as over:
            await a_thousand_bytes()
        assert over.value.code == Violation.FLOOD


@needs_byte_count
async def test_budget_holds_in_the_handshake_too() -> None:
    accepted, dialled = tcp_pair()
    stream = tls_server(accepted, contexts()[0])
    stream.budget_bytes = 8 * 1024
    # A ClientHello that announces 64 KiB of itself, in records of 4 KiB.
    record = b"\x16\x03\x01\x10\x00"
    dialled.sendall(record + b"\x01\x01\x00\x00" + bytes(4092) + (record + bytes(4096)) * 7)
    with trio.fail_after(5), pytest.raises(RemoteProtocolError) as over:
        await stream.handshake()
    dialled.close()
    stream.close()
    assert over.value.code == Violation.FLOOD


async def test_without_a_budget_nothing_is_counted() -> None:
    async with streams(tls=True) as (one, other), trio.open_nursery() as nursery:
        nursery.start_soon(send_all, other, PATTERN)
        assert await receive_exactly(one, len(PATTERN)) == PATTERN


async def test_wakes_when_there_is_something_to_read_again() -> None:
    async with streams(tls=True) as (one, other):
        received: list[bytes] = []

        async def read() -> None:
            received.append(await one.receive_some())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            await send_all(other, b"now")
            await eventually(lambda: received)
        assert received == [b"now"]
