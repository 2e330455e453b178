"""The way in: from a peer whom TLS has verified to a session.

The peer may have come through this process's own door (`master.door`), through a worker's, whose
bytes are relayed here, or through the unix socket. Nothing it says of itself is believed
(`master.opening`).
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass

import trio

from master.admission import Admission
from master.context import Context
from master.door import Established
from master.enrolment import Enrolment
from master.opening import Opening, Peer
from master.registry import Registry
from master.sessions import Sessions
from master.viewing import Viewers
from shared.certificates import read_peer
from shared.errors import RemoteProtocolError
from shared.stream import LinkStream, SocketStream


@dataclass(slots=True)
class Entry:
    """Everything that takes part in letting somebody in."""

    context: Context
    admission: Admission
    registry: Registry
    enrolment: Enrolment
    sessions: Sessions
    viewers: Viewers

    @property
    def handshake_timeout_s(self) -> float:
        return self.context.settings.handshake_timeout_s

    @property
    def write_timeout_s(self) -> float:
        return self.context.link.write_timeout_s

    def limit_hit(self, limit: str, address: str, times: int = 1) -> None:
        self.context.audit.limit_hit(limit, address, times)

    async def serve_relayed(
        self,
        stream: LinkStream,
        peer: Peer,
        certificate_der: bytes | None,
        authenticated: Callable[[], None],
    ) -> None:
        """Serves one connection that a worker holds to its end. `peer` without its certificate;
        `authenticated` is called when it is. The worker's door has the deadline."""
        established = await self._let_in(stream, peer, certificate_der, authenticated)
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

    async def enter(
        self, stream: SocketStream, address: str, name: str, certificate_der: bytes | None
    ) -> Established | None:
        """See `master.door.Behind`."""

        def authenticated() -> None:
            stream.budget_bytes = None

        return await self._let_in(stream, Peer(address, name), certificate_der, authenticated)

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

    async def _let_in(
        self,
        stream: LinkStream,
        peer: Peer,
        certificate_der: bytes | None,
        authenticated: Callable[[], None],
    ) -> Established | None:
        if certificate_der is None:
            return await self.open(stream, peer)
        try:
            certificate = read_peer(certificate_der)
        except RemoteProtocolError as error:
            # Signed by our CA, and nothing that this version issues to clients.
            self.context.audit.incident("certificate-misused", peer.address, text=error.text)
            stream.close()
            return None
        established = await self.open(stream, Peer(peer.address, peer.name, certificate))
        if established is not None:
            authenticated()
            self.admission.remember(certificate.subject.identity, peer.address)
        return established
