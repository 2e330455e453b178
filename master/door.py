"""The door: from an accepted connection to a peer whom TLS has verified, under one deadline.

Until a peer is authenticated it may cost five seconds (ten where members live), 32 KiB and one
place among the unauthenticated. The same door stands before a master that is one process
(`master.entry`) and in each of its workers (`master.worker`); what is behind it differs.
"""

import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias, cast

import trio

from master.admission import Admission, Ticket
from shared.addresses import Address
from shared.connection import ENTRY_BYTES_LIMIT
from shared.errors import LinkBrokenError, RemoteProtocolError
from shared.stream import SocketStream, tls_server
from shared.tcp import tune

Established: TypeAlias = Callable[[], Awaitable[None]]
"""What follows once a link is established: the rest of a viewer's life. An agent's link lives on
without a task."""

USER_TIMEOUT_S: Final = 30.0
"""Sent data that an agent's kernel does not acknowledge for so long ends its link, which makes the
node *lost*. It is the detector that says *down*, after 25 s at the longest of beats every 5 s, and
the link has to stand until then: on a lossy line it may still come back."""

MEMBERS_PATIENCE: Final = 2
"""At an address where members of the cluster were last seen, a peer may take so many times longer:
a whole fleet that comes back has to wait, and a handshake that is broken off is made again."""

_log: Final = logging.getLogger(__name__)


class Behind(Protocol):
    """What is behind the door."""

    @property
    def admission(self) -> Admission:
        """How many strangers may knock at once."""
        ...

    @property
    def handshake_timeout_s(self) -> float:
        """From being accepted to being authenticated."""
        ...

    @property
    def write_timeout_s(self) -> float:
        """How long a peer may take nothing of what is sent to it."""
        ...

    def limit_hit(self, limit: str, address: str) -> None:
        """A peer hit a limit."""
        ...

    async def enter(
        self, stream: SocketStream, address: str, name: str, certificate_der: bytes | None
    ) -> Established | None:
        """Takes in a peer whom TLS has verified, until it is authenticated: returns the rest of the
        link's life. None when there is none; the stream is then closed, also when this is
        cancelled."""
        ...


async def serve_tls(
    behind: Behind, sock: socket.socket, address: str, ticket: Ticket, tls: ssl.SSLContext
) -> None:
    """Serves one accepted TCP connection to its end. `address` is the peer's, without its port."""
    established: Established | None = None
    try:
        patience_s = behind.handshake_timeout_s * (MEMBERS_PATIENCE if ticket.is_reserved else 1)
        with trio.move_on_after(patience_s) as deadline:
            established = await _enter(behind, sock, address, tls)
        if deadline.cancelled_caught:
            behind.limit_hit("handshake-timeout", address)
    finally:
        behind.admission.release(ticket)
    if established is not None:
        await established()


async def _enter(
    behind: Behind, sock: socket.socket, address: str, tls: ssl.SSLContext
) -> Established | None:
    name = _peer_name(sock)
    try:
        tune(sock, user_timeout_s=max(USER_TIMEOUT_S, behind.write_timeout_s))
        stream = tls_server(sock, tls)
    except OSError:
        sock.close()  # reset before we came to it
        return None
    stream.budget_bytes = ENTRY_BYTES_LIMIT
    try:
        await stream.handshake()
        certificate_der = cast("ssl.SSLSocket", stream.socket).getpeercert(binary_form=True)
    except LinkBrokenError as error:
        _log.debug("handshake failed", extra={"address": address, "error": str(error)})
        behind.limit_hit("tls-failed", address)
        stream.close()
        return None
    except RemoteProtocolError as error:
        behind.limit_hit(error.code, address)
        stream.close()
        return None
    except BaseException:
        stream.close()
        raise
    return await behind.enter(stream, address, name, certificate_der)


def _peer_name(sock: socket.socket) -> str:
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        return ""
    return str(Address(str(host).removeprefix("::ffff:"), int(port)))
