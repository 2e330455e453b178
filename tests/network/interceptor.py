"""Somebody on the wire who answers in the master's place."""

import datetime as dt
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from shared import messages as m
from shared.addresses import Address
from shared.certificates import CertificateAuthority
from shared.connection import MasterConnection
from shared.errors import LinkBrokenError, RemoteProtocolError
from shared.link import Link
from shared.stream import tls_server
from shared.tls import master_context


class Interceptor:
    """Shows a CA certificate of its choice, and keeps every message that it is sent."""

    def __init__(self, tls: ssl.SSLContext, shown_ca_der: bytes) -> None:
        self.heard: list[m.FromClient] = []
        self.handshakes = 0
        self._tls = tls
        self._shown_ca_der = shown_ca_der

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection to its end."""
        secured = tls_server(_raw_socket(stream), self._tls)
        try:
            await secured.handshake()
            self.handshakes += 1
            link: Link[m.FromMaster, m.FromClient] = Link(secured, MasterConnection(), lambda: None)
            while True:
                for message in await link.receive():
                    self.heard.append(message)
                    if isinstance(message, m.CaRequest):
                        link.post(m.Ca(1, self._shown_ca_der))
        except (LinkBrokenError, RemoteProtocolError):
            return
        finally:
            secured.close()


@asynccontextmanager
async def intercepting(
    server_name: str, shown_ca_der: bytes | None = None
) -> AsyncGenerator[tuple[Address, Interceptor]]:
    """An interceptor with a CA of its own and a leaf with the true master's name.

    It shows its own CA's certificate, or the one given.
    """
    now = dt.datetime.now(dt.UTC)
    authority = CertificateAuthority.create(now)
    authority.server_name = server_name  # type: ignore[misc] # what an attacker would do
    context = master_context(
        authority.certificate_pem(), *authority.issue_master(now, dt.timedelta(days=1))
    )
    interceptor = Interceptor(context, shown_ca_der or authority.certificate_der())
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    host, port = listener.socket.getsockname()[:2]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, interceptor.serve, [listener])
        yield Address(host, port), interceptor
        nursery.cancel_scope.cancel()


def _raw_socket(stream: trio.SocketStream) -> socket.socket:
    return socket.socket(fileno=stream.socket.detach())
