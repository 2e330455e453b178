"""The way in: from an accepted connection to a session, under one deadline.

Until a peer is authenticated it may cost five seconds, 32 KiB and one place among the
unauthenticated; nothing it sends is believed (`master.opening`).
"""

import logging
import socket
import ssl
from dataclasses import dataclass
from typing import Final, cast

import trio

from master.admission import Admission, Ticket
from master.context import Context
from master.enrolment import Enrolment
from master.opening import Established, Opening, Peer
from master.registry import Registry
from master.sessions import Sessions
from master.viewing import Viewers
from shared.addresses import Address
from shared.certificates import read_peer
from shared.connection import ENTRY_BYTES_LIMIT
from shared.errors import LinkBrokenError, RemoteProtocolError
from shared.stream import LinkStream, SocketStream, tls_server
from shared.tcp import tune

USER_TIMEOUT_S: Final = 30.0
"""Sent data that an agent's kernel does not acknowledge for so long ends its link, which makes the
node *lost*. It is the detector that says *down*, after 25 s at the longest of beats every 5 s, and
the link has to stand until then: on a lossy line it may still come back."""

_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class Entry:
    """Everything that takes part in letting somebody in."""

    context: Context
    admission: Admission
    registry: Registry
    enrolment: Enrolment
    sessions: Sessions
    viewers: Viewers

    async def serve_tls(
        self, sock: socket.socket, address: str, ticket: Ticket, tls: ssl.SSLContext
    ) -> None:
        """Serves one accepted TCP connection to its end. `address` is the peer's, without its
        port."""
        established: Established | None = None
        try:
            with trio.move_on_after(self.context.settings.handshake_timeout_s) as deadline:
                established = await self._enter_tls(sock, address, tls)
            if deadline.cancelled_caught:
                self.context.audit.limit_hit("handshake-timeout", address)
        finally:
            self.admission.release(ticket)
        if established is not None:
            await established()

    async def serve_local(self, sock: socket.socket) -> None:
        """Serves one connection of the unix socket, whose peer has been checked, to its end."""
        established: Established | None = None
        operator = Peer("local", "local", is_operator=True)
        with trio.move_on_after(self.context.settings.handshake_timeout_s):
            established = await self.open(SocketStream(sock), operator)
        if established is not None:
            await established()

    async def open(self, stream: LinkStream, peer: Peer) -> Established | None:
        """The opening dialogue. Returns the rest of the link's life.

        None when there is none; the stream is then closed, also when this is cancelled.
        """
        opening = Opening(self, stream, peer)
        established: Established | None = None
        try:
            established = await opening.converse()
        finally:
            if established is None:
                stream.close()
        return established

    async def _enter_tls(
        self, sock: socket.socket, address: str, tls: ssl.SSLContext
    ) -> Established | None:
        peer_name = _peer_name(sock)
        try:
            write_timeout_s = self.context.link.write_timeout_s
            tune(sock, user_timeout_s=max(USER_TIMEOUT_S, write_timeout_s))
            stream = tls_server(sock, tls)
        except OSError:
            sock.close()  # reset before we came to it
            return None
        stream.budget_bytes = ENTRY_BYTES_LIMIT
        try:
            peer = await self._shake_hands(stream, address, peer_name)
        except BaseException:
            stream.close()
            raise
        if peer is None:
            stream.close()
            return None
        established = await self.open(stream, peer)
        if established is not None and peer.certificate is not None:
            stream.budget_bytes = None
            self.admission.remember(peer.certificate.subject.identity, address)
        return established

    async def _shake_hands(self, stream: SocketStream, address: str, name: str) -> Peer | None:
        audit = self.context.audit
        try:
            await stream.handshake()
            secured = cast("ssl.SSLSocket", stream.socket)
            certificate = secured.getpeercert(binary_form=True)
        except LinkBrokenError as error:
            _log.debug("handshake failed", extra={"address": address, "error": str(error)})
            audit.limit_hit("tls-failed", address)
            return None
        except RemoteProtocolError as error:
            audit.limit_hit(error.code, address)
            return None
        try:
            return Peer(address, name, read_peer(certificate) if certificate else None)
        except RemoteProtocolError as error:
            # Signed by our CA, and nothing that this version issues to clients.
            audit.incident("certificate-misused", address, text=error.text)
            return None


def _peer_name(sock: socket.socket) -> str:
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        return ""
    return str(Address(str(host).removeprefix("::ffff:"), int(port)))
