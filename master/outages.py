"""Outages: from a node's last sign of life to its return, why, and what is stored of it.

Opened when a node is lost, down or has left, and for every node that should live when the master
starts; a restart of the master that is shorter than what makes a node down leaves none. Over with
the first beat after the return; judged when the agent has told what it knows (`Returned`), or has
not within `EVIDENCE_S`. A return that does not last that long was none.

The registry tells of changes of state, the sessions of links and of what agents tell.
"""

import math
from collections.abc import Iterable
from typing import Final

import trio
from msgspec.structs import replace

from master.availability import WINDOWS_S, availabilities
from master.context import Context
from master.node import Node
from master.outage_log import OutageLog
from master.outage_rows import Row
from master.own_life import OwnLife
from master.store import RETRY_S
from master.sweeper import NOT_SCHEDULED
from shared import messages as m
from shared.absence import Absence, Departure, How, Process
from shared.causes import Cause, Verdict, in_words, judge, lasting
from shared.liveness import DOWN_LEAST_PERIODS, Liveness, State
from shared.messages import Parting
from shared.text import clean

EVIDENCE_S: Final = 10.0
"""How long after its return a node is waited for, at the least, to tell where it was. An agent
tells it at once on a new link, and on an old one once it has been answered."""

CONTESTED_S: Final = 10.0
"""How long a run whose live link another took over has to dial again, before it is believed that it
ended: several times what a displaced agent waits before it looks again (`agent.linker`)."""

SAVE_EVERY_S: Final = 0.5
COUNTED_LIMIT: Final = 10_000
"""Outages that a node's availability is counted from: more in a month is one every four minutes."""

EVENTS_AT_ONCE: Final = 3
"""Nodes that the master's own absence is told of one by one, rather than all in one event."""

_ALIVE: Final = frozenset({State.UP, State.LATE, State.HUNG})
_GONE: Final = frozenset({State.LOST, State.DOWN, State.LEFT})


class Outages:
    """Every node's absences. `run` it; `stop` it in order."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.log: Final = OutageLog(context)
        self.life: Final = OwnLife(context.store, context.wall_ms, context.missed_s)
        self._away: dict[str, _Away] = {}
        self._processes: dict[str, Process] = {}
        self._replaced: dict[str, Process] = {}
        """Which run a node's present link has taken over from, until it has beaten."""
        self._successors: dict[str, _Away] = {}
        """Runs that ended unnoticed, as the next one says, until nobody is left to contest it."""
        self._tellers: set[str] = set()
        """Nodes whose present link began with what the agent had to tell."""
        self._unseen: list[tuple[str, str, str]] = []

    def __repr__(self) -> str:
        return f"<Outages of {len(self._away)} nodes, {self.log!r}>"

    def load(self, nodes: Iterable[Node]) -> None:
        """Goes on with the outages of earlier lives, and begins one for each node that is
        awaited."""
        self._processes = self.log.load_processes()
        not_judged = self.log.load_not_judged()
        stored = {
            row["node_id"]: row
            for row in self._context.store.load("SELECT node_id, state, since_wall_ms FROM nodes")
        }
        for node in nodes:
            left = stored[node.node_id]
            was_up = left["state"] in _ALIVE
            row = not_judged.get(node.node_id)
            if row is not None and (was_up or row.to_wall_ms is not None):
                self._close_unjudged(row, left["since_wall_ms"])
                row = None
            if row is None and node.liveness.state is State.AWAITED:
                row = self._unseen_row(node, was_up=was_up)
            if row is not None:
                self._away[node.node_id] = _Away(self, node, row)

    def linked(self, node: Node, process: Process) -> None:
        """This run of the node's agent has linked."""
        self._tellers.discard(node.node_id)
        away = self._away.get(node.node_id)
        if away is not None:
            away.is_linked_anew = True
        successor = self._successors.get(node.node_id)
        if successor is not None and process == successor.row.process:
            del self._successors[node.node_id]  # it has not ended: two agents have one identity
        before = self._processes.get(node.node_id)
        if process == before:
            return
        if before is not None and away is None:
            self._replaced[node.node_id] = before
        self._processes[node.node_id] = process
        self.log.keep_process(node.node_id, process)

    def told(self, node: Node, told: m.Returned, now_s: float) -> None:
        """The agent tells where it was. Of an absence that nobody has noticed it is told in vain,
        unless it ended the run that had the link."""
        self._tellers.add(node.node_id)
        away = self._away.get(node.node_id)
        if away is None:
            before = self._replaced.pop(node.node_id, None)
            ended = {Process(run.boot_id, run.started_mono_ms) for run in told.runs}
            if before not in ended or node.conflict:
                return
            away = self._begun(node, How.SILENT, "another run of the agent linked", before, now_s)
            if node.liveness.state is State.UP:
                # It has never been anything else: no beat will change that. The run before may yet
                # be there, displaced by a copy of it that says that it ended.
                away.row = replace(away.row, to_wall_ms=self._context.wall_ms())
                away.told, away.returned_s, away.waits_until_s = told, now_s, now_s + CONTESTED_S
                self._successors[node.node_id] = away
                return
            self._register(away)
        away.told = told
        if away.returned_s is not None:
            self._close(away)

    def unlinked(self, node: Node, now_s: float) -> None:
        """The node's link has ended."""
        self._replaced.pop(node.node_id, None)
        away = self._away.get(node.node_id)
        if away is not None and away.unlinked_s is None:
            away.unlinked_s = now_s

    def orphaned(self, node: Node, now_s: float) -> None:
        """The node's link has ended with the worker that held it: as in a restart of the master, it
        was away if it does not come back soon. One that has never been seen is not away."""
        self.unlinked(node, now_s)
        if node.node_id not in self._away and node.seen_wall_ms is not None:
            process = self._processes.get(node.node_id)
            away = self._begun(node, How.UNSEEN, "", process, now_s)
            away.orphaned_s = now_s
            self._away[node.node_id] = away

    def changed(self, node: Node, before: State, after: Liveness, now_s: float) -> None:
        """The node's state has changed."""
        state, away = after.state, self._away.get(node.node_id)
        if state is State.UP:
            self._replaced.pop(node.node_id, None)
            if away is not None:
                self._came_back(away, now_s)
        elif state is State.REVOKED:
            if away is not None:
                self._revoked(away)
        elif state in _GONE:
            if away is not None and away.returned_s is not None and state is State.LEFT:
                self._close(away)
                away = None
            if away is None:
                process = self._processes.get(node.node_id)
                self._open(node, _how(before, state), after.reason, process, now_s)
            else:
                away.returned_s, away.told = None, None
                reason = away.row.reason or after.reason
                away.row = self.log.keep(replace(away.row, to_wall_ms=None, reason=reason))

    def forget(self, node_id: str) -> None:
        """The node is known no more, and neither are its outages."""
        away = self._away.pop(node_id, None)
        if away is not None:
            away.is_over = True
        self._successors.pop(node_id, None)
        self._processes.pop(node_id, None)
        self._replaced.pop(node_id, None)
        self._tellers.discard(node_id)
        self.log.forget(node_id)

    def give_up_waiting(self, away: "_Away") -> None:
        """The agent has not told in time. One beat alone may be an old one that was on its way for
        long: then there is nothing to be said yet."""
        if away.has_beaten_since and away.node.liveness.state is State.UP:
            self._close(away)
        else:
            away.waits_until_s += EVIDENCE_S

    async def run(self) -> None:
        """Stores what has changed, twice a second, for ever."""
        while True:
            await trio.sleep(SAVE_EVERY_S)
            self.life.mark(trio.current_time())
            self._settle(trio.current_time())
            self._tell_unseen()
            if not await self.log.save():
                await trio.sleep(RETRY_S)

    def stopping(self) -> None:
        """The master is about to end its links, in order."""
        self.life.stopped()

    async def stop(self) -> None:
        """The master ends: judges what has returned, and stores everything."""
        for away in [away for away in self._away.values() if away.returned_s is not None]:
            self._close(away)
        self._settle(math.inf)
        self._tell_unseen()
        await self.log.save()

    async def of_node(self, node: Node) -> tuple[tuple[m.Availability, ...], m.Outage | None]:
        """A node's availability, and its last outage. Neither for one that was never up.

        Raises:
            StoreError: they cannot be read.
        """
        if node.seen_wall_ms is None:
            return (), None

        def name_of(_: str) -> str:
            return node.name

        outages = await self.log.latest(COUNTED_LIMIT, name_of, node.node_id, WINDOWS_S[-1])
        last = await self.log.latest(1, name_of, node.node_id)
        is_revoked = node.liveness.state is State.REVOKED
        until_wall_ms = node.since_wall_ms if is_revoked else self._context.wall_ms()
        shares = availabilities(outages, node.first_seen_wall_ms, until_wall_ms)
        return shares, last[0] if last else None

    def _open(
        self, node: Node, how: How, reason: str, process: Process | None, now_s: float
    ) -> None:
        self._register(self._begun(node, how, reason, process, now_s))

    def _register(self, away: "_Away") -> None:
        away.row = self.log.keep(away.row)
        self._away[away.node.node_id] = away

    def _begun(
        self, node: Node, how: How, reason: str, process: Process | None, now_s: float
    ) -> "_Away":
        self.life.notice_stalls(now_s)
        now_wall_ms = self._context.wall_ms()
        is_seen = how is not How.GOODBYE and node.seen_wall_ms is not None
        from_wall_ms = node.seen_wall_ms if is_seen and node.seen_wall_ms else now_wall_ms
        row = Row(0, node.node_id, from_wall_ms, now_wall_ms, how, reason, process)
        away = _Away(self, node, row)
        away.seen_s = now_s if node.seen_mono_s is None else node.seen_mono_s
        away.gone_s = now_s if how in {How.GOODBYE, How.BROKE} else away.seen_s
        return away

    def _settle(self, now_s: float) -> None:
        """Judges the runs that others followed and nobody has taken the place back from since."""
        settled = [away for away in self._successors.values() if now_s >= away.waits_until_s]
        for away in settled:
            del self._successors[away.node.node_id]
            if not away.node.conflict:
                self._close(away)

    def _came_back(self, away: "_Away", now_s: float) -> None:
        away.returned_s, away.waits_until_s = now_s, now_s + EVIDENCE_S
        if away.told is not None:
            self._close(away)
            return
        away.row = self.log.keep(replace(away.row, to_wall_ms=self._context.wall_ms()))
        self._context.sweeper.schedule(away)

    def _close(self, away: "_Away") -> None:
        """The node has returned: judges why it was away."""
        node, returned_s = away.node, away.returned_s
        to_wall_ms = away.row.to_wall_ms or self._context.wall_ms()
        away.row = row = self._remembered(away.row, away.told, to_wall_ms)
        returned_s = trio.current_time() if returned_s is None else returned_s
        self.life.notice_stalls(returned_s)
        missing = self.life.missing(row.from_wall_ms, to_wall_ms, away.seen_s, returned_s)
        if away.orphaned_s is not None and away.seen_s is not None:
            missing = missing.longer(away.orphaned_s - away.seen_s, returned_s - away.orphaned_s)
        hung_s = 0.0
        if row.how is How.HUNG and away.seen_s is not None:
            unlinked_s = returned_s if away.unlinked_s is None else away.unlinked_s
            hung_s = unlinked_s - away.seen_s
        absence = Absence(
            lasted_s=self._lasted_s(away, to_wall_ms, returned_s) + missing.stalled_s,
            period_s=node.period_ms / 1000,
            is_exact=away.gone_s is not None,
            process=self._processes.get(node.node_id),
            returned=away.told,
            master_away_s=missing.away_s,
            finding_s=missing.finding_s,
            hung_s=hung_s,
            noticed_nothing=away.has_beaten_since
            and not away.is_linked_anew
            and node.node_id in self._tellers,
        )
        verdict = judge(Departure(row.how, row.reason, row.process), absence)
        self._over(away, replace(row, to_wall_ms=to_wall_ms, verdict=verdict))

    def _remembered(self, row: Row, told: m.Returned | None, to_wall_ms: int) -> Row:
        """The beginning of an absence, where the agent was there when the life before this one
        ended in order and the disk took neither that nor what had happened until then."""
        if row.how is not How.UNSEEN or self.life.end_is_stored or told is None:
            return row
        if told.link_code != Parting.RESTARTING or told.silent_ms is None:
            return row
        from_wall_ms = to_wall_ms - told.silent_ms
        if from_wall_ms <= row.from_wall_ms:
            return row
        return replace(row, from_wall_ms=from_wall_ms, process=None)

    def _lasted_s(self, away: "_Away", to_wall_ms: int, returned_s: float) -> float:
        if away.gone_s is not None:
            return max(0.0, returned_s - away.gone_s)
        from_wall_ms = away.row.from_wall_ms
        if away.row.how is How.UNSEEN:
            from_wall_ms = max(from_wall_ms, self.life.last_end_wall_ms or 0)
        return max(0.0, (to_wall_ms - from_wall_ms) / 1000)

    def _revoked(self, away: "_Away") -> None:
        words = "the operator revoked the node before it came back"
        row = replace(away.row, to_wall_ms=self._context.wall_ms())
        self._over(away, replace(row, verdict=Verdict(Cause.UNKNOWN, (words,))))

    def _over(self, away: "_Away", row: Row) -> None:
        if self._away.get(away.node.node_id) is away:
            del self._away[away.node.node_id]
        away.is_over = True
        if self._is_restart(row):
            return
        self.log.keep(row)
        verdict = row.verdict
        if verdict is None or row.to_wall_ms is None:
            return
        lasted = lasting((row.to_wall_ms - row.from_wall_ms) / 1000)
        name = away.node.name
        because = "; ".join(verdict.evidence)
        text = clean(f"{name} was away {lasted}: {in_words(verdict)}; {because}")
        if row.how is How.UNSEEN and verdict.cause is Cause.MASTER_AWAY:
            self._unseen.append((row.node_id, name, text))
        else:
            self._context.events.record("outage", node_id=row.node_id, name=name, text=text)

    def _is_restart(self, row: Row) -> bool:
        """Whether only the master was away, for less than makes a node that falls silent down: the
        master's start tells of it, and no node's outage does."""
        if row.how is not How.UNSEEN or row.number or row.to_wall_ms is None:
            return False
        is_short = row.to_wall_ms - row.from_wall_ms < self._called_down_ms
        return is_short and row.verdict is not None and row.verdict.cause is Cause.MASTER_AWAY

    @property
    def _called_down_ms(self) -> int:
        """How long a node on a good link may be silent, in the ordinary period."""
        return round((1 + DOWN_LEAST_PERIODS) * self._context.settings.period_s * 1000)

    def _tell_unseen(self) -> None:
        """A restart of the master is not worth an event for each node of a fleet."""
        unseen, self._unseen = self._unseen, []
        if len(unseen) > EVENTS_AT_ONCE:
            text = f"{len(unseen)} nodes were away while the master was, and are back"
            self._context.events.record("outage", text=text)
            return
        for node_id, name, text in unseen:
            self._context.events.record("outage", node_id=node_id, name=name, text=text)

    def _close_unjudged(self, row: Row, since_wall_ms: int) -> None:
        verdict = Verdict(Cause.UNKNOWN, ("the master ended before the cause was judged",))
        to_wall_ms = since_wall_ms if row.to_wall_ms is None else row.to_wall_ms
        self.log.keep(replace(row, to_wall_ms=to_wall_ms, verdict=verdict))

    def _unseen_row(self, node: Node, *, was_up: bool) -> Row:
        """Of a node that is awaited. Not stored before it is known whether it comes."""
        now_wall_ms = self._context.wall_ms()
        seen_wall_ms = now_wall_ms if node.seen_wall_ms is None else node.seen_wall_ms
        ended_wall_ms = self.life.last_end_wall_ms
        if was_up and ended_wall_ms is not None:
            # "Last seen" is stored now and then; a node that was up had been seen lately.
            lately_ms = min(ended_wall_ms, now_wall_ms) - self._called_down_ms
            seen_wall_ms = max(seen_wall_ms, lately_ms)
        process = self._processes.get(node.node_id)
        return Row(0, node.node_id, seen_wall_ms, now_wall_ms, How.UNSEEN, "", process)


class _Away:
    """A node that is away, or has just returned. The sweeper's, for as long as it is to tell."""

    __slots__ = (
        "_outages",
        "gone_s",
        "is_linked_anew",
        "is_over",
        "node",
        "orphaned_s",
        "returned_s",
        "row",
        "scheduled_s",
        "seen_s",
        "told",
        "unlinked_s",
        "waits_until_s",
    )

    def __init__(self, outages: Outages, node: Node, row: Row) -> None:
        self._outages = outages
        self.node: Final = node
        self.row = row
        self.seen_s: float | None = None
        """The last sign of life, on trio's clock; None: before this life of the master."""
        self.gone_s: float | None = None
        """When it went: with its link, or when it fell silent. None: before this life."""
        self.unlinked_s: float | None = None
        self.orphaned_s: float | None = None
        """When the worker that held its link ended, which began the absence."""
        self.returned_s: float | None = None
        self.told: m.Returned | None = None
        self.waits_until_s = math.inf
        self.is_linked_anew = False
        self.is_over = False
        self.scheduled_s = NOT_SCHEDULED

    def __repr__(self) -> str:
        return f"<_Away {self.node.name} {self.row.how}>"

    @property
    def has_beaten_since(self) -> bool:
        """Whether a beat has followed the one with which it returned."""
        seen_s, returned_s = self.node.seen_mono_s, self.returned_s
        return seen_s is not None and returned_s is not None and seen_s > returned_s

    def deadline_s(self) -> float | None:
        if self.is_over or self.returned_s is None:
            return None
        return self.waits_until_s

    def expire(self, now_s: float) -> None:  # noqa: ARG002 - the sweeper's signature
        self._outages.give_up_waiting(self)


def _how(before: State, after: State) -> How:
    match after:
        case State.LEFT:
            return How.GOODBYE
        case State.LOST:
            return How.BROKE
        case _ if before is State.HUNG:
            return How.HUNG
        case _:
            return How.SILENT
