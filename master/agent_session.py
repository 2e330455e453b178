"""The master's end of one agent's link, from its welcome to its end.

An established link has no task. `master.readiness` calls `AgentSession.readable` when something has
arrived, writing is done at once by whoever has something to say, and deadlines are the sweeper's.
The fast path, what is done with every beat of every agent, is `readable`, `Link.receive_nowait` and
`AgentSession._beat`, and a `confirm` when its sample is on disk.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from master.ingest import (
    clean_core,
    clean_family,
    clean_inventory,
    clean_returned,
    clean_troubles,
    process_of,
)
from master.node import Node
from master.recording import Recorder
from master.session import WINDOW_S, MasterLink, Session
from master.store import StoreError
from shared import messages as m
from shared.absence import Process
from shared.errors import LinkBrokenError, RemoteProtocolError, Violation
from shared.liveness import BeatArrived, Evidence, Joined, LinkBroke, Orphaned, SaidGoodbye
from shared.messages import Parting
from shared.text import NAME_LIMIT_CHARACTERS, clean

if TYPE_CHECKING:
    from master.sessions import Sessions

SHUNNED_S: Final = WINDOW_S
"""How long an agent that broke the protocol has to stay away: what a session may cost in a window,
an agent may not cost more often by dialling again."""

_NO_NEWS: Final = frozenset(
    {
        Parting.EXPIRED,
        Parting.REPLACED,
        Parting.RESTARTING,
        Parting.REVOKED,
        Parting.STOPPED,
    }
)
"""Endings by the master that say nothing about the node."""

_COMPLAINTS: Final = frozenset(
    {
        Parting.SILENT,
        Parting.SLOW,
        Violation.BAD_FRAME,
        Violation.BAD_MESSAGE,
        Violation.FLOOD,
        Violation.FRAME_TOO_LONG,
    }
)
"""Goodbyes of an agent that means to come back: something went wrong with this link."""


class AgentSession(Session):
    """One agent's link, from its welcome to its end. `begin` it when the agent is welcomed."""

    __slots__ = ("_is_live", "_is_renewing", "_recorder", "_sessions", "address", "node", "process")

    _recorder: Recorder

    def __init__(self, sessions: "Sessions", node: Node, link: MasterLink, address: str) -> None:
        super().__init__(link, sessions.patience)
        self.node: Final = node
        self.address: Final = address
        self.process = Process("", 0)
        """Which run of the agent has the link, once it has taken its place."""
        self._sessions = sessions
        self._is_live = False
        self._is_renewing = False

    def __repr__(self) -> str:
        return f"<AgentSession {self.node.name} from {self.address} {self.link!r}>"

    def begin(self, hello: m.AgentHello, period_ms: int) -> None:
        """Takes the node's place, and whatever arrives from now on. When the link ends, the
        registry is told how; when it is the master that ends, it is not."""
        sessions, node = self._sessions, self.node
        self._recorder = sessions.recording.linked(node.node_id, hello, self._acknowledge)
        node.spool_heard_s = self.link.heard_s
        sessions.roster.enter(self)
        if self.ended is None and not sessions.still_admits(node):
            self.end(Parting.REVOKED, "revoked a moment ago")
        if self.ended is not None or self.link.broken is not None:
            sessions.context.spawn(self._finish)  # it has never been its node's
            return
        # Before anything is said to the agent: what is live is watched, until the link breaks.
        sessions.context.readiness.watch(self.link.stream, self)
        self.link.on_broken = self.broken
        self._is_live = True
        self._take_place(hello, period_ms)
        self._take_all(self.link.connection.receive(b""))  # what came with the hello

    def readable(self, now_s: float) -> None:
        """Takes what has arrived, or learns that the link is over: see `master.readiness`."""
        try:
            messages = self.link.receive_nowait(now_s)
        except LinkBrokenError as error:
            self._over(f"link {error}")
        except RemoteProtocolError as error:
            self._break_with(error)  # a worker says so: the stranger's limit, reached as it ended
        else:
            self._take_all(messages)

    def orphaned(self, reason: str) -> None:
        """The worker that held the link has ended it, or itself: nothing is said of the node, which
        is awaited. See `master.relayed.Orphan`."""
        sessions, now_s = self._sessions, trio.current_time()
        if not self._is_live:
            return
        self._is_live = False
        sessions.context.readiness.forget(self.link.stream)
        self.link.on_broken = None
        self.link.break_off(reason)
        self._recorder.end()
        sessions.roster.leave(self)
        if sessions.give_up(self):
            sessions.registry.outages.orphaned(self.node, now_s)
            sessions.registry.apply(self.node, Orphaned(reason), now_s)

    def stop(self) -> None:
        self._over(None)

    def abandon(self) -> None:
        """Closes the link at once and says nothing, to nobody: it is the master that ends."""
        if self._is_live:
            self._is_live = False
            self._unwatch()
            self.link.break_off("closed on this side")

    def broken(self) -> None:
        """The link has broken off while something was being sent: it is not watched any more, and
        what follows from that follows when the sender has done."""
        if self._is_live:
            self._sessions.context.readiness.forget(self.link.stream)
            self._sessions.context.spawn(self._learn_that_it_broke)

    def confirm(self) -> None:
        """Acknowledges the last beat, with what is on disk of all of them."""
        self._recorder.confirm()

    def acknowledge_at_last(self) -> None:
        """The disk keeps everybody waiting: acknowledges a beat whose sample is not on it yet.
        Once, or the master would be kept busy by what keeps it from its work."""
        if self._recorder.is_owed:
            self._recorder.confirm()

    def blocked(self) -> None:
        self._sessions.context.sweeper.schedule(self)
        self._sessions.context.spawn(self.link.drain)

    def evidence(self) -> Evidence:
        """Whether the peer's kernel has acknowledged all that was sent."""
        unacknowledged = self.link.stream.unacknowledged()
        if unacknowledged is None:
            return Evidence.UNKNOWN
        return Evidence.SILENT if unacknowledged else Evidence.ANSWERS

    def has_unread(self) -> bool:
        """Whether something has arrived that has not been read."""
        return self.link.stream.has_unread()

    def _unwatch(self) -> None:
        if self.link.broken is None:  # else `broken` has done so
            self._sessions.context.readiness.forget(self.link.stream)

    def _take_place(self, hello: m.AgentHello, period_ms: int) -> None:
        sessions, node, now_s = self._sessions, self.node, trio.current_time()
        self.process = process_of(hello)
        sessions.take_over(self, now_s)
        node.address = self.address
        node.agent_version = clean(hello.software, NAME_LIMIT_CHARACTERS)
        node.period_ms, node.promised_ms = period_ms, 0
        sessions.registry.info_changed(node)
        sessions.registry.outages.linked(node, self.process)
        sessions.registry.apply(node, Joined(period_ms / 1000), now_s)
        sessions.attention.linked(node)

    def _over(self, how: str | None) -> None:
        # `how` the link broke; None: it was ended in order, by either side.
        if not self._is_live:
            return
        self._is_live = False
        self._unwatch()
        if self._sessions.give_up(self):
            self._left(how)
        self._sessions.context.spawn(self._finish)

    def _left(self, how: str | None) -> None:
        self._sessions.registry.outages.unlinked(self.node, trio.current_time())
        if self.ended is not None:
            how = None if self.ended.code in _NO_NEWS else self.ended.text
        if how is not None:
            self._sessions.registry.apply(self.node, LinkBroke(how), trio.current_time())

    async def _learn_that_it_broke(self) -> None:
        self._over(f"link {self.link.broken}")

    async def _finish(self) -> None:
        try:
            await self.link.finish()
        finally:
            self._recorder.end()
            self._sessions.roster.leave(self)

    def _take_all(self, messages: Iterator[m.FromClient]) -> None:
        try:
            for message in messages:
                if self.ended is not None:
                    return None
                self.count_message()
                if type(message) is m.Beat:
                    self._beat(message)
                elif isinstance(message, m.Goodbye):
                    return self._over(self._take_leave(message))
                else:
                    self._take(message)
            self.count_arrival()
        except RemoteProtocolError as error:
            self._break_with(error)

    def _break_with(self, error: RemoteProtocolError) -> None:
        self.link.post_farewell(error.code, error.text)
        self._shun(error)
        self._over(f"broke the protocol: {clean(error.text, 120)}")

    def _take(self, message: m.FromClient) -> None:
        match message:
            case m.Ping(token):
                self.link.post(m.Pong(token))
            case m.FamilySample():
                self._family(message)
            case m.InventoryReport(inventory):
                self._inventory(inventory)
            case m.Returned():
                told = clean_returned(message)
                self._sessions.registry.outages.told(self.node, told, self.link.heard_s)
            case m.Replay():
                self.node.spool_heard_s = self.link.heard_s
                self.spare(self._recorder.replay(message, self.link.heard_s, self.link.post))
            case m.Lost():
                self.node.spool_heard_s = self.link.heard_s
                self._recorder.lost(message, self.link.heard_s, self.link.post)
            case m.Renew(csr_der):
                self._begin_renewal(csr_der)
            case _:
                pass  # Pong: that something arrived is all there is to know

    def _beat(self, beat: m.Beat) -> None:
        node, registry = self.node, self._sessions.registry
        now_s = self.link.heard_s
        node.core = core = clean_core(beat.core)
        node.promised_ms = beat.next_in_ms
        node.troubles = clean_troubles(beat.troubles) if beat.troubles else ()
        if node.conflict:
            node.conflict = self._sessions.still_in_conflict(node, now_s)
        arrived = BeatArrived(beat.mono_ms / 1000, beat.next_in_ms / 1000, node.period_ms / 1000)
        registry.apply(node, arrived, now_s)
        registry.seen(node, now_s)
        self._recorder.beat(beat, core, now_s)

    def _acknowledge(self, sequence: int, stored: int) -> None:
        self.link.post(m.Ack(sequence, stored))

    def _family(self, sample: m.FamilySample) -> None:
        cleaned = clean_family(sample)
        if not self.node.take_family(cleaned, self.link.heard_s):
            raise RemoteProtocolError(Violation.BAD_MESSAGE, "more families than there can be")
        self._recorder.family(cleaned)
        self._sessions.attention.family_arrived(self.node, cleaned.family)

    def _inventory(self, packed: msgspec.Raw) -> None:
        if bytes(packed) == self.node.inventory:
            return  # as nearly always when a link is made anew: it was cleaned then
        cleaned, inventory = clean_inventory(packed)
        if cleaned != self.node.inventory:
            self.node.take_inventory(cleaned, inventory)
            self._sessions.registry.inventory_changed(self.node)
            self._sessions.attention.inventory_arrived(self.node)

    def _take_leave(self, goodbye: m.Goodbye) -> str | None:
        reason = clean(f"{goodbye.code}: {goodbye.text}" if goodbye.text else goodbye.code)
        if goodbye.code == Parting.RENEWED:
            return None  # back in a moment, with its new key: neither gone nor lost
        if goodbye.code in _COMPLAINTS:
            return f"the agent gave the link up: {reason}"
        if self.node.conflict:
            return None  # one of two has gone: the other dials before the node is missed
        self._sessions.registry.apply(self.node, SaidGoodbye(reason), trio.current_time())
        return None

    def _begin_renewal(self, csr_der: bytes) -> None:
        # In a task of its own: the beats behind this message do not wait for the disk.
        if not self._is_renewing:
            self._is_renewing = True
            self._sessions.context.spawn(partial(self._renew, csr_der))

    async def _renew(self, csr_der: bytes) -> None:
        enrolment = self._sessions.enrolment
        identity = enrolment.identities.get(self.node.node_id)
        try:
            if identity is not None and not identity.revoked:
                certificate = await enrolment.renew(identity, csr_der, self.address)
                self.link.post(m.Renewed(certificate))
        except StoreError:
            pass  # the agent asks again; the store has said why
        except RemoteProtocolError as error:
            if self.ended is None:  # else it has been revoked meanwhile
                self.end(error.code, error.text)
                self._shun(error)
        finally:
            self._is_renewing = False

    def _shun(self, error: RemoteProtocolError) -> None:
        self.node.shunned_until_s = trio.current_time() + SHUNNED_S
        self._sessions.context.audit.incident(
            "protocol-error",
            self.address,
            identity=self.node.node_id,
            code=error.code,
            text=error.text,
        )
