"""Dialling: every way to fail is a few words, and nothing is left open."""

import datetime as dt

import pytest
import trio

from shared.addresses import Address
from shared.certificates import CertificateAuthority
from shared.dialling import connect
from shared.errors import LinkBrokenError
from shared.tls import client_context, newcomer_context
from tests.closed_port import closed_port
from tests.resolver import Resolver

LOOPBACK = "127.0.0.1"


async def reason(address: Address) -> str:
    with trio.fail_after(10), pytest.raises(LinkBrokenError) as broken:
        await connect(address, newcomer_context(), "master.example")
    return str(broken.value)


async def test_nobody_there_is_said_shortly() -> None:
    with closed_port() as port:
        assert await reason(Address(LOOPBACK, port)) == "connection refused"
        assert await reason(Address("localhost", port)) == "connection refused"


async def test_name_that_does_not_exist_is_said_shortly() -> None:
    trio.socket.set_custom_hostname_resolver(Resolver())
    assert await reason(Address("master.invalid", 7700)) == "name or service not known"


@pytest.mark.parametrize("host", ["foo..bar", "x" * 64 + ".example", "."])
async def test_what_can_be_no_name_is_no_crash(host: str) -> None:
    assert await reason(Address(host, 7700))


async def test_something_that_is_no_master_is_said_to_speak_no_tls() -> None:
    async def babble(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 mail.example ESMTP\r\n" * 10)
        await stream.receive_some()

    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    port = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, babble, [listener])
        assert (await reason(Address(LOOPBACK, port))).startswith("TLS:")
        nursery.cancel_scope.cancel()


async def test_something_that_hangs_up_is_noticed() -> None:
    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.aclose()

    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    port = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, hang_up, [listener])
        assert await reason(Address(LOOPBACK, port))
        nursery.cancel_scope.cancel()


async def test_giving_up_in_the_handshake_closes_the_connection() -> None:
    authority = CertificateAuthority.create(dt.datetime(2026, 11, 20, tzinfo=dt.UTC))
    context = client_context(authority.certificate_pem())
    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    port = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connect, Address(LOOPBACK, port), context, authority.server_name)
        stream = await listener.accept()
        await stream.receive_some()  # the ClientHello
        nursery.cancel_scope.cancel()
    with trio.fail_after(10):
        try:
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass  # reset: closed as well
    await stream.aclose()
    await listener.aclose()
