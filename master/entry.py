"""The way in: from an accepted connection to a session, under one deadline.

Until a peer is authenticated it may cost five seconds, 32 KiB and one place among the
unauthenticated; nothing it sends is believed. What is refused is told why, by a `Deny` that it gets
the time to read.
"""

import logging
import math
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import trio

from master.admission import Admission, Ticket
from master.context import Context
from master.enrolment import Enrolment, protocol_of, update_identity
from master.identities import AGENT, VIEWER, Admitted, Identity, Refused, Verdict
from master.registry import Registry
from master.session import MasterLink
from master.sessions import AgentSession, Sessions
from master.store import StoreError
from master.viewing import Viewers, ViewerSession
from shared import VERSION
from shared import messages as m
from shared.addresses import Address
from shared.certificates import PeerCertificate, read_peer
from shared.connection import ENTRY_BYTES_LIMIT, MasterConnection
from shared.errors import LinkBrokenError, RemoteProtocolError
from shared.link import Link
from shared.messages import Refusal
from shared.stream import LinkStream, SocketStream, tls_server
from shared.tcp import tune

Established: TypeAlias = Callable[[], Awaitable[None]]
"""The rest of a link's life, once it is established."""

USER_TIMEOUT_S: Final = 30.0
"""Sent data that an agent's kernel does not acknowledge for so long ends its link, which makes the
node *lost*. It is the detector that says *down*, after 25 s at the longest of beats every 5 s, and
the link has to stand until then: on a lossy line it may still come back."""

OPERATOR: Final = "operator"
"""The identity of a viewer on the unix socket."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Peer:
    """Whoever is at the other end of a connection, as far as the transport tells."""

    address: str
    """Without a port: what limits and the audit count by."""
    name: str
    """`HOST:PORT`, for people."""
    certificate: PeerCertificate | None = None
    """What TLS has verified; None: no certificate was shown."""
    is_operator: bool = False
    """Comes through the unix socket, from a user whom the kernel vouches for."""


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


class Opening:
    """One peer's opening dialogue."""

    def __init__(self, entry: Entry, stream: LinkStream, peer: Peer) -> None:
        self._entry = entry
        self._context = entry.context
        self._peer = peer
        self._session: AgentSession | ViewerSession | None = None
        self._link: MasterLink = Link(stream, MasterConnection(), self._blocked)

    async def converse(self) -> Established | None:
        """Answers until the link is established (returns the rest of its life) or over (None)."""
        link = self._link
        try:
            while not link.over:
                for message in await link.receive():
                    established = await self._answer(message)
                    if established is not None:
                        return established
        except LinkBrokenError:
            return None
        except RemoteProtocolError as error:
            self._context.audit.limit_hit(error.code, self._peer.address)
            link.post_farewell(error.code, error.text)
        await link.finish()
        return None

    async def _answer(self, message: m.FromClient) -> Established | None:
        match message:
            case m.CaRequest():
                self._link.post(self._ca(message))
            case m.Enrol():
                self._link.post(await self._enrol(message))
            case m.Renew(csr_der):
                self._link.post(await self._renew(csr_der))
            case m.AgentHello():
                return await self._agent(message)
            case m.ViewerHello():
                return await self._viewer(message)
            case _:
                pass  # the connection lets nothing else through in these phases
        return None

    def _ca(self, request: m.CaRequest) -> m.Ca | m.Deny:
        protocol = protocol_of(request)
        if protocol is None:
            return _VERSION_DENIED
        return m.Ca(protocol, self._entry.enrolment.authority.certificate_der())

    async def _enrol(self, request: m.Enrol) -> m.Enrolled | m.Deny:
        if protocol_of(request) is None:
            return _VERSION_DENIED
        enrolment = self._entry.enrolment
        return await enrolment.enrol(request, self._peer.address, trio.current_time())

    async def _renew(self, csr_der: bytes) -> m.Renewed | m.Deny:
        certificate, enrolment = self._peer.certificate, self._entry.enrolment
        identity = enrolment.identities.get(certificate.subject.identity) if certificate else None
        if identity is None:
            return m.Deny(Refusal.UNKNOWN, "forgotten a moment ago")
        try:
            return m.Renewed(await enrolment.renew(identity, csr_der, self._peer.address))
        except StoreError:
            return _BUSY_DENIED

    async def _agent(self, hello: m.AgentHello) -> Established | None:
        certificate, link = self._peer.certificate, self._link
        protocol = protocol_of(hello)
        admitted = await self._admitted(protocol, AGENT)
        if admitted is None or certificate is None or protocol is None:
            return None
        node = self._entry.registry.get(admitted.identity.identity)
        if node is None:
            self._deny(Refused(Refusal.UNKNOWN, "this master has no such node"))
            return None
        if trio.current_time() < node.shunned_until_s:
            link.post(_SHUNNED_DENIED)
            return None
        if admitted.expired_ms > 0:
            link.post(m.RenewFirst(protocol, admitted.expired_ms // 1000))
            return None
        period_ms = round(self._context.settings.period_s * 1000)
        node.certificate_expires_wall_ms = self._context.wall_ms() - admitted.expired_ms
        link.post(
            m.Welcome(
                protocol,
                node.node_id,
                node.name,
                period_ms,
                _life_s(certificate),
                -admitted.expired_ms // 1000,
                VERSION,
            )
        )
        session = AgentSession(self._entry.sessions, node, link, self._peer.name)
        session.valid_until_s = trio.current_time() - admitted.expired_ms / 1000
        self._session = session
        return lambda: session.run(hello, period_ms)

    async def _viewer(self, hello: m.ViewerHello) -> Established | None:
        protocol = protocol_of(hello)
        if self._peer.is_operator:
            if protocol is None:
                self._link.post(_VERSION_DENIED)
                return None
            return self._welcome_viewer(protocol, OPERATOR, 0, math.inf)
        certificate = self._peer.certificate
        admitted = await self._admitted(protocol, VIEWER)
        if admitted is None or certificate is None or protocol is None:
            return None
        if admitted.expired_ms > 0:
            self._link.post(m.RenewFirst(protocol, admitted.expired_ms // 1000))
            return None
        identity, remaining_s = admitted.identity.identity, -admitted.expired_ms / 1000
        return self._welcome_viewer(protocol, identity, _life_s(certificate), remaining_s)

    def _welcome_viewer(
        self, protocol: int, identity: str, life_s: int, remaining_s: float
    ) -> Established | None:
        if self._entry.viewers.full:
            self._link.post(m.Deny(Refusal.BUSY, "this master has as many viewers as it takes"))
            return None
        cluster = self._context.settings.name or self._entry.enrolment.authority.cluster
        may_operate = self._peer.is_operator
        self._link.post(
            m.ViewerWelcome(
                protocol,
                VERSION,
                cluster,
                may_operate,
                life_s,
                int(remaining_s) if life_s else 0,
            )
        )
        session = ViewerSession(
            self._entry.viewers,
            self._link,
            identity,
            self._peer.address,
            may_operate=may_operate,
        )
        session.valid_until_s = trio.current_time() + remaining_s
        self._session = session
        return session.run

    async def _admitted(self, protocol: int | None, role: str) -> Admitted | None:
        """Who comes in; None when the peer has been told that it does not."""
        verdict = self._judge(protocol, role)
        if isinstance(verdict, Admitted) and verdict.changed:
            if not await self._retire_old_key(verdict.identity):
                self._link.post(_BUSY_DENIED)
                return None
            # Again: while the disk was waited for, the operator may have revoked it.
            verdict = self._judge(protocol, role)
        if isinstance(verdict, Refused):
            self._deny(verdict)
            return None
        return verdict

    def _judge(self, protocol: int | None, role: str) -> Verdict:
        if protocol is None:
            return Refused(_VERSION_DENIED.code, _VERSION_DENIED.text)
        certificate = self._peer.certificate
        if certificate is None:
            return Refused(Refusal.UNAUTHENTICATED, "no certificate was shown: join first")
        enrolment = self._entry.enrolment
        return enrolment.identities.admit(
            certificate, enrolment.authority.cluster, role, self._context.wall_ms()
        )

    def _deny(self, refused: Refused) -> None:
        self._link.post(m.Deny(refused.code, refused.text))
        certificate, address = self._peer.certificate, self._peer.address
        if certificate is None:
            self._context.audit.limit_hit(refused.code, address)
            return
        identity = certificate.subject.identity
        is_news = self._context.audit.incident(
            "denied",
            address,
            code=refused.code,
            identity=identity,
            key=certificate.key_fingerprint.hex(),
        )
        if refused.code == Refusal.SUPERSEDED and is_news:
            node = self._entry.registry.get(identity)
            self._context.events.record(
                "superseded-key",
                node_id=identity,
                name=node.name if node else "",
                text=f"a retired key was used from {address}",
            )

    async def _retire_old_key(self, identity: Identity) -> bool:
        self._context.audit.incident(
            "key-retired",
            self._peer.address,
            identity=identity.identity,
            key=identity.key.hex(),
        )
        try:
            await self._context.store.write(update_identity(identity))
        except StoreError:
            return False
        return True

    def _blocked(self) -> None:
        if self._session is None:
            self._context.spawn(self._link.drain)
        else:
            self._session.blocked()


_VERSION_DENIED: Final = m.Deny(
    Refusal.VERSION,
    f"no common protocol version: this master speaks {m.PROTOCOL_MIN} to {m.PROTOCOL_MAX}",
)
_SHUNNED_DENIED: Final = m.Deny(Refusal.BUSY, "this agent broke the protocol a moment ago")
_BUSY_DENIED: Final = m.Deny(Refusal.BUSY, "the master cannot store anything now")


def _life_s(certificate: PeerCertificate) -> int:
    return int((certificate.expires - certificate.issued).total_seconds())


def _peer_name(sock: socket.socket) -> str:
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        return ""
    return str(Address(str(host).removeprefix("::ffff:"), int(port)))
