"""A master with the cluster's true keys that does what a test tells it to, right or wrong."""

import datetime as dt
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import trio

from master.authority import port_context
from shared import messages as m
from shared.addresses import Address
from shared.certificates import CertificateAuthority, Subject, key_from_request
from shared.connection import MasterConnection
from shared.errors import LinkBrokenError, RemoteProtocolError
from shared.link import Link
from shared.stream import tls_server

MasterEnd: TypeAlias = Link[m.FromMaster, m.FromClient]
Script: TypeAlias = Callable[["ScriptedMaster", MasterEnd, m.FromClient], Awaitable[None]]
"""Called with every message of an agent; whatever it posts is the answer."""

LIFE: Final = dt.timedelta(days=30)


class ScriptedMaster:
    """Counts the links it has had; each message goes to the script."""

    def __init__(self, authority: CertificateAuthority, script: Script, life_s: int) -> None:
        self.authority = authority
        self.life_s = life_s
        self.address = Address("", 0)
        self.hellos = 0
        """Links on which an agent has said hello."""
        self.arrived: list[float] = []
        """When, on trio's clock."""
        self.received: list[m.FromClient] = []
        self._script = script
        self._tls: ssl.SSLContext = port_context(authority, dt.datetime.now(dt.UTC))

    def welcome(self, remaining_s: int | None = None) -> m.Welcome:
        remaining_s = self.life_s if remaining_s is None else remaining_s
        return m.Welcome(1, "0123456789abcdef", "web", 1000, self.life_s, remaining_s, "0.1.0")

    def renewed(self, request: m.Renew) -> m.Renewed:
        """A good answer to a renewal."""
        subject = Subject(self.authority.cluster, "agent", "0123456789abcdef", 2)
        key = key_from_request(request.csr_der)
        now = dt.datetime.now(dt.UTC)
        return m.Renewed(self.authority.issue_client(key, subject, now, LIFE))

    async def serve(self, stream: trio.SocketStream) -> None:
        secured = tls_server(socket.socket(fileno=stream.socket.detach()), self._tls)
        link: MasterEnd = Link(secured, MasterConnection(), lambda: None)
        try:
            await secured.handshake()
            while not link.over:
                for message in await link.receive():
                    if isinstance(message, m.AgentHello):
                        self.hellos += 1
                        self.arrived.append(trio.current_time())
                    self.received.append(message)
                    await self._script(self, link, message)
            await link.finish()
        except (LinkBrokenError, RemoteProtocolError):
            return
        finally:
            link.break_off("closed on this side")


@asynccontextmanager
async def scripted_master(
    authority: CertificateAuthority, script: Script, *, life_s: int = 30 * 86_400
) -> AsyncGenerator[ScriptedMaster]:
    """A scripted master on a port of loopback, until the end of the block."""
    master = ScriptedMaster(authority, script, life_s)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    master.address = Address(*listener.socket.getsockname()[:2])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, master.serve, [listener])
        yield master
        nursery.cancel_scope.cancel()
