"""The opening dialogue: what a peer says first, and what it is told.

Nothing that a peer says of itself is believed: what counts is the certificate that TLS has
verified, and what the registry says of its key. What is refused is told why, by a `Deny` that it
gets the time to read, and audited.
"""

import math
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from master.agent_session import AgentSession
from master.door import Established
from master.enrolment import protocol_of, update_identity
from master.identities import AGENT, VIEWER, Admitted, Identity, Refused, Verdict
from master.session import MasterLink
from master.store import StoreError
from master.viewing import ViewerSession
from shared import VERSION
from shared import messages as m
from shared.certificates import PeerCertificate
from shared.connection import MasterConnection
from shared.errors import LinkBrokenError, RemoteProtocolError
from shared.link import Link
from shared.messages import Refusal
from shared.stream import LinkStream
from shared.text import clean_name

if TYPE_CHECKING:
    from master.entry import Entry

OPERATOR: Final = "operator"
"""The identity of a viewer on the unix socket."""

_VERSION_DENIED: Final = m.Deny(
    Refusal.VERSION,
    f"no common protocol version: this master speaks {m.PROTOCOL_MIN} to {m.PROTOCOL_MAX}",
)
_SHUNNED_DENIED: Final = m.Deny(Refusal.BUSY, "this agent broke the protocol a moment ago")
_BUSY_DENIED: Final = m.Deny(Refusal.BUSY, "the master cannot store anything now")


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


class Opening:
    """One peer's opening dialogue."""

    def __init__(self, entry: "Entry", stream: LinkStream, peer: Peer) -> None:
        self._entry = entry
        self._context = entry.context
        self._peer = peer
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

        async def begin() -> None:
            session.begin(hello, period_ms)

        return begin

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
        cluster = self._context.settings.name or clean_name(socket.gethostname())
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
        if refused.code in {Refusal.REVOKED, Refusal.UNKNOWN}:
            self._entry.admission.forget(identity)  # its address has no reserve for it any more
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
        self._context.spawn(self._link.drain)


def _life_s(certificate: PeerCertificate) -> int:
    return int((certificate.expires - certificate.issued).total_seconds())
