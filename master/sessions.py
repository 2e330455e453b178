"""Every agent's session together: who has a node's place, and what they all are told."""

from typing import Final

import trio

from master.agent_session import AgentSession
from master.attention import Attention
from master.conflicts import Conflicts
from master.context import Context
from master.enrolment import Enrolment
from master.node import Node
from master.recording import Recording
from master.registry import Registry
from master.roster import Roster
from shared import messages as m
from shared.messages import Parting
from shared.settings import LinkSettings

ALIVE_PERIODS: Final = 1.5
"""A link that has spoken within so many periods was alive when another took its place."""

LATE_S: Final = 0.5
"""How often it is looked after beats that wait to be acknowledged because of the disk."""

AT_ONCE: Final = 128
"""Agents that are told something before other tasks get their turn."""


class Sessions:
    """Every agent's session, and what they share."""

    def __init__(
        self,
        context: Context,
        registry: Registry,
        enrolment: Enrolment,
        attention: Attention,
        recording: Recording,
    ) -> None:
        self.context: Final = context
        self.registry: Final = registry
        self.enrolment: Final = enrolment
        self.attention: Final = attention
        self.recording: Final = recording
        self.roster: Final = Roster[AgentSession](context.sweeper)
        self._conflicts = Conflicts()

    def __repr__(self) -> str:
        return f"<Sessions {self.roster!r}>"

    async def run(self) -> None:
        """Acknowledges what the disk is late with, for ever; when it is cancelled, closes every
        link, and says nothing."""
        try:
            while True:
                await trio.sleep(LATE_S)
                if self.recording.history.is_behind(trio.current_time()):
                    await self._acknowledge_at_last()
        finally:
            for session in self.roster:
                session.abandon()

    def still_admits(self, node: Node) -> bool:
        """Whether the node is known and not revoked: both may have changed since it was asked."""
        identity = self.enrolment.identities.get(node.node_id)
        known = self.registry.get(node.node_id) is node
        return known and identity is not None and not identity.revoked

    def take_over(self, session: AgentSession, now_s: float) -> None:
        """The session is its node's from now on; one that the node still has is told and ended."""
        node = session.node
        old, node.session = node.session, session
        if old is None:
            return
        was_alive = now_s - old.link.heard_s <= ALIVE_PERIODS * max(1.0, node.period_ms / 1000)
        old.end(Parting.REPLACED, f"a link from {session.address} took this one's place")
        if was_alive:
            self._taken_over(node, old, session, now_s)

    def give_up(self, session: AgentSession) -> bool:
        """The session is over; whether it was still its node's."""
        if session.node.session is not session:
            return False
        session.node.session = None
        return True

    def still_in_conflict(self, node: Node, now_s: float) -> bool:
        return self._conflicts.exists(node.node_id, now_s)

    def change_period(self, period_ms: int) -> None:
        """Asks every agent for another cadence."""
        for session in self.roster:
            session.node.period_ms = period_ms
            session.link.post(m.Cadence(period_ms))

    def confirm(self) -> None:
        """Tells every agent what is on disk, without waiting for its next beat."""
        for session in self.roster:
            session.confirm()

    def patience(self) -> LinkSettings:
        """The settings of every session, as they are now."""
        return self.context.link

    def end(self, node: Node, code: str, text: str) -> None:
        """Cuts the node's live link, if it has one, and says why."""
        if node.session is not None:
            node.session.end(code, text)

    async def _acknowledge_at_last(self) -> None:
        for looked_at, session in enumerate(self.roster, 1):
            session.acknowledge_at_last()
            if looked_at % AT_ONCE == 0:
                await trio.lowlevel.checkpoint()

    def _taken_over(self, node: Node, old: AgentSession, new: AgentSession, now_s: float) -> None:
        before, after = old.address, new.address
        self.context.audit.incident("session-replaced", after, identity=node.node_id, before=before)
        is_conflict = self._conflicts.takeover(node.node_id, old.process, new.process, now_s)
        if is_conflict and not node.conflict:
            node.conflict = True
            self.registry.vitals_changed(node)
            self.context.events.record(
                "conflict",
                node_id=node.node_id,
                name=node.name,
                text=f"two agents use this identity, at {before} and at {after}",
            )
