"""Sessions: the master's end of every agent's link.

One task per link reads; writing is done at once by whoever has something to say. The fast path is
`AgentSession._beat`. Deadlines are the sweeper's: there is no cancel scope per read, one per
session.
"""

import logging
from collections.abc import Iterator
from typing import Final

import msgspec
import trio

from master.conflicts import Conflicts
from master.context import Context
from master.enrolment import Enrolment
from master.ingest import clean_family, clean_inventory, clean_troubles
from master.node import Node
from master.registry import Registry
from master.session import MasterLink, Session
from master.store import StoreError
from shared import messages as m
from shared.errors import LinkBrokenError, RemoteProtocolError, Violation
from shared.liveness import BeatArrived, Joined, LinkBroke, SaidGoodbye
from shared.messages import Parting
from shared.metrics import Core
from shared.text import clean

MESSAGES_PER_WINDOW: Final = 2_000
WINDOW_S: Final = 10.0
"""An honest agent sends one beat a second and a dozen families at most; two hundred messages a
second are an attack, or a bug, on everybody else's share of the processor."""

ALIVE_PERIODS: Final = 1.5
"""A link that has spoken within so many periods was alive when another took its place."""


_CORE: Final = msgspec.msgpack.Decoder(Core)
_log: Final = logging.getLogger(__name__)


class Sessions:
    """Every agent's session, and what they share."""

    def __init__(self, context: Context, registry: Registry, enrolment: Enrolment) -> None:
        self.context: Final = context
        self.registry: Final = registry
        self.enrolment: Final = enrolment
        self._conflicts = Conflicts()
        self._sessions: dict[AgentSession, None] = {}
        self._emptied = trio.Event()

    def __repr__(self) -> str:
        return f"<Sessions {len(self._sessions)}>"

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator["AgentSession"]:
        return iter(tuple(self._sessions))

    def enter(self, session: "AgentSession", now_s: float) -> None:
        """The session takes its node over; a session that the node still has is ended and told
        why."""
        node = session.node
        old = node.session
        node.session = session
        self._sessions[session] = None
        self.context.sweeper.schedule(session)
        if old is not None:
            was_alive = now_s - old.link.heard_s <= ALIVE_PERIODS * max(1.0, node.period_ms / 1000)
            old.end(Parting.REPLACED, f"a link from {session.address} took this one's place")
            if was_alive:
                self._taken_over(node, old.address, session.address, now_s)

    def leave(self, session: "AgentSession") -> bool:
        """The session is over; whether it was its node's current one."""
        self._sessions.pop(session, None)
        if not self._sessions:
            self._emptied.set()
            self._emptied = trio.Event()
        if session.node.session is not session:
            return False
        session.node.session = None
        return True

    def still_in_conflict(self, node: Node, now_s: float) -> bool:
        return self._conflicts.exists(node.node_id, now_s)

    def change_period(self, period_ms: int) -> None:
        """Asks every agent for another cadence."""
        for session in self:
            session.node.period_ms = period_ms
            session.link.post(m.Cadence(period_ms))

    def end(self, node: Node, code: str, text: str) -> None:
        """Cuts the node's live link, if it has one, and says why."""
        if node.session is not None:
            node.session.end(code, text)

    async def wait_empty(self) -> None:
        """Until no session is left."""
        while self._sessions:
            await self._emptied.wait()

    def end_all(self, code: str, text: str) -> None:
        """Tells every agent why the link ends, and ends it."""
        for session in self:
            session.end(code, text)

    def _taken_over(self, node: Node, before: str, after: str, now_s: float) -> None:
        self.context.audit.record(
            "session-replaced", identity=node.node_id, before=before, after=after
        )
        if self._conflicts.takeover(node.node_id, now_s) and not node.conflict:
            node.conflict = True
            self.registry.vitals_changed(node)
            self.context.events.record(
                "conflict",
                node_id=node.node_id,
                name=node.name,
                text=f"two agents use this identity, at {before} and at {after}",
            )


class AgentSession(Session):
    """One agent's link, from its welcome to its end. `run` it in the task that welcomed it."""

    __slots__ = ("_messages", "_sessions", "_window_s", "address", "node")

    def __init__(self, sessions: Sessions, node: Node, link: MasterLink, address: str) -> None:
        super().__init__(link, lambda: sessions.context.link)
        self.node: Final = node
        self.address: Final = address
        self._sessions = sessions
        self._messages = 0
        self._window_s = link.heard_s

    def __repr__(self) -> str:
        return f"<AgentSession {self.node.name} from {self.address} {self.link!r}>"

    async def run(self, hello: m.AgentHello, period_ms: int) -> None:
        """Reads until the link ends, then says to the registry how it ended. Cancellation:
        closes."""
        sessions, node = self._sessions, self.node
        now_s = trio.current_time()
        sessions.enter(self, now_s)
        node.address = self.address
        node.agent_version = clean(hello.software, 64)
        node.period_ms = period_ms
        sessions.registry.info_changed(node)
        sessions.registry.apply(node, Joined(period_ms / 1000), now_s)
        how = "the master is stopping"
        try:
            with self.scope:
                how = await self._converse()
        finally:
            self._left(how)
        await self.link.finish()

    def blocked(self) -> None:
        """The kernel refuses more: writes the rest when it takes it, and watches for how long."""
        self._sessions.context.sweeper.schedule(self)
        self._sessions.context.spawn(self.link.drain)

    async def _converse(self) -> str:
        try:
            while True:
                for message in await self.link.receive():
                    if not await self._take(message):
                        return ""
        except LinkBrokenError as error:
            return f"link {error}"
        except RemoteProtocolError as error:
            self.link.post_farewell(error.code, error.text)
            self._sessions.context.audit.record(
                "protocol-error",
                identity=self.node.node_id,
                address=self.address,
                code=error.code,
                text=error.text,
            )
            return f"broke the protocol: {clean(error.text, 120)}"

    async def _take(self, message: m.FromClient) -> bool:
        """Acts on one message; False when it was the last. What is not an agent's never gets
        here."""
        if self.ended is not None:
            return False
        self._count()
        match message:
            case m.Beat():
                self._beat(message)
            case m.Ping(token):
                self.link.post(m.Pong(token))
            case m.FamilySample():
                self._family(message)
            case m.InventoryReport(inventory):
                self._inventory(inventory)
            case m.Renew(csr_der):
                await self._renew(csr_der)
            case m.Goodbye(Parting.RENEWED):
                return False  # back in a moment, with its new key: neither gone nor lost
            case m.Goodbye(code, text):
                reason = clean(f"{code}: {text}" if text else code)
                self._sessions.registry.apply(self.node, SaidGoodbye(reason), trio.current_time())
                return False
            case _:
                pass  # Pong: that something arrived is all there is to know
        return True

    def _beat(self, beat: m.Beat) -> None:
        node, registry = self.node, self._sessions.registry
        core = bytes(beat.core)
        try:
            _CORE.decode(core)  # not kept: viewers decode it, and must be able to
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RemoteProtocolError(Violation.BAD_FRAME, f"a core sample: {error}") from error
        now_s = self.link.heard_s
        node.core = core
        node.troubles = clean_troubles(beat.troubles) if beat.troubles else ()
        if node.conflict:
            node.conflict = self._sessions.still_in_conflict(node, now_s)
        registry.apply(node, BeatArrived(beat.next_in_ms / 1000), now_s)
        registry.seen(node, now_s)
        self.link.post(m.Ack(beat.sequence))

    def _family(self, sample: m.FamilySample) -> None:
        if not self.node.take_family(clean_family(sample)):
            raise RemoteProtocolError(Violation.BAD_MESSAGE, "more families than there can be")

    def _inventory(self, packed: msgspec.Raw) -> None:
        self.node.take_inventory(*clean_inventory(packed))
        self._sessions.registry.info_changed(self.node)

    async def _renew(self, csr_der: bytes) -> None:
        enrolment = self._sessions.enrolment
        identity = enrolment.identities.get(self.node.node_id)
        if identity is None or identity.revoked:
            return  # cut off a moment ago
        try:
            certificate = await enrolment.renew(identity, csr_der, self.address)
        except StoreError:
            return  # the agent asks again; the store has said why
        self.link.post(m.Renewed(certificate))

    def _count(self) -> None:
        self._messages += 1
        if self._messages > MESSAGES_PER_WINDOW:
            now_s = trio.current_time()
            if now_s - self._window_s < WINDOW_S:
                raise RemoteProtocolError(
                    Violation.FLOOD, f"over {MESSAGES_PER_WINDOW} messages in {WINDOW_S:g} s"
                )
            self._messages, self._window_s = 0, now_s

    def _left(self, how: str) -> None:
        is_current = self._sessions.leave(self)
        told = self.ended
        if not is_current or not how or told in _NO_NEWS:
            return
        self._sessions.registry.apply(
            self.node, LinkBroke(f"link {told}" if told else how), trio.current_time()
        )


_NO_NEWS: Final = frozenset(
    {Parting.REPLACED, Parting.REVOKED, Parting.STOPPED, Parting.RESTARTING}
)
"""Endings by the master that say nothing about the node."""
