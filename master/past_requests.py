"""What viewers may ask of the past, and the operator's backup.

Long answers go out in pieces, each when the one before has been read, so that a viewer costs one
piece of memory and the loop never turns for long.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from master.backup import BackupError
from master.context import Context
from master.history.database import HistoryError
from master.history.ledger import Outlook
from master.history.queries import Queries
from master.node import NIL, Node
from master.past_answers import Send, coverage_of, fitting, send_pieces, series_of, vitals_then
from master.past_states import PastStates
from master.registry import NoSuchNodeError, Registry
from master.requests import FailureError, Viewer, no_such_node, not_allowed
from master.store import StoreError
from shared import messages as m
from shared.connection import TRANSFER_LIMIT_BYTES
from shared.liveness import State
from shared.metrics import metrics
from shared.text import clean

GAPS_LIMIT: Final = 100
"""Gaps in the coverage of one node."""

FLEET_GAPS_LIMIT: Final = 10
"""The same where all nodes are asked about."""

AHEAD_MS: Final = 60_000
"""How far a viewer's clock may be ahead of this one."""

SPOOL_QUIET_S: Final = 30.0
"""An agent that has more in its spool is not silent about it for so long while it beats."""

SPOOL_MS: Final = 2 * 86_400_000
"""How far back a spool may reach: twice what agents keep when nothing else is set."""

POINT_BYTES: Final = 30
"""What a step of one metric takes in an answer, at most; and what it takes besides."""

POINTS_OVER: Final = 1.5
"""So many times the steps that are wanted there may be (`master.history.series`)."""

_ROOM_BYTES: Final = TRANSFER_LIMIT_BYTES - 16 * 1024

_GONE: Final = frozenset({State.LEFT, State.REVOKED, State.NEVER_SEEN})
"""States in which nobody takes a sample."""

_COLUMNS: Final = {metric.name: metric.index for metric in metrics()}

Question: TypeAlias = (
    m.GetFleetAt | m.GetNodeAt | m.GetSeries | m.GetSamples | m.GetCoverage | m.BackUp
)
BackUp: TypeAlias = Callable[[Path], Awaitable[int]]
"""Writes a backup to a new file, and returns its size in bytes."""


class PastRequests:
    """Answers."""

    def __init__(
        self,
        context: Context,
        registry: Registry,
        queries: Queries,
        back_up: BackUp,
    ) -> None:
        self._context = context
        self._registry = registry
        self._queries = queries
        self._back_up = back_up
        self._states = PastStates(context.store)
        self._is_backing_up = False

    async def answer(self, question: Question, viewer: Viewer, send: Send) -> None:
        """Sends the answer to one question, or `Failed` when there is none."""
        try:
            await self._answer(question, viewer, send)
        except FailureError as failure:
            await send(m.Failed(question.request, failure.code, failure.text))
        except NoSuchNodeError as error:
            await send(no_such_node(question.request, error))
        except (BackupError, HistoryError, StoreError) as error:
            await send(m.Failed(question.request, "not-read", clean(str(error))))

    async def _answer(self, question: Question, viewer: Viewer, send: Send) -> None:
        match question:
            case m.GetFleetAt():
                await self._fleet_at(question, send)
            case m.GetNodeAt():
                await send(await self._node_at(question))
            case m.GetSeries():
                await send(await self._series(question))
            case m.GetSamples():
                await send(await self._samples(question))
            case m.GetCoverage():
                await self._coverage(question, send)
            case m.BackUp():
                if not viewer.may_operate:
                    raise not_allowed(self._context, viewer, question)
                await send(await self._write_backup(question))

    async def _write_backup(self, order: m.BackUp) -> m.Done:
        target = Path(order.path)
        if not target.is_absolute():
            raise FailureError("bad-request", f"{clean(order.path)!r} is no absolute path")
        if self._is_backing_up:
            raise FailureError("busy", "a backup is being written already")
        self._is_backing_up = True
        try:
            size_bytes = await self._back_up(target)
        finally:
            self._is_backing_up = False
        self._context.audit.record("backed-up", path=clean(order.path), bytes=size_bytes)
        return m.Done(order.request, str(size_bytes))

    # --- at an instant ----------------------------------------------------------------------------

    async def _fleet_at(self, question: m.GetFleetAt, send: Send) -> None:
        at_wall_ms = self._checked(question.at_wall_ms)
        samples = await self._queries.fleet_at(at_wall_ms)
        states = await self._states.at(self._registry, at_wall_ms)
        waiting = [node for node in self._registry if node.node_id in states]

        def piece(nodes: list[Node], is_last: bool) -> m.FleetAt:
            vitals = (vitals_then(node, states[node.node_id], samples) for node in nodes)
            infos = tuple(node.info() for node in nodes)
            return m.FleetAt(question.request, at_wall_ms, infos, tuple(vitals), is_last)

        await send_pieces(waiting, piece, send)

    async def _node_at(self, question: m.GetNodeAt) -> m.NodeAt:
        node = self._registry.find(question.node)
        at_wall_ms = self._checked(question.at_wall_ms)
        then = (await self._states.at([node], at_wall_ms)).get(node.node_id)
        if then is None:
            raise FailureError("not-found", f"{node.name} was not known yet")
        sample = await self._queries.node_at(node.node_id, at_wall_ms)
        families = await self._queries.families_at(node.node_id, at_wall_ms)
        samples = {} if sample is None else {node.node_id: sample}
        answer = m.NodeAt(
            question.request,
            at_wall_ms,
            node.info(),
            vitals_then(node, then, samples),
            NIL,
            (),
        )
        room = _ROOM_BYTES - len(m.encode_body(answer))
        inventory = node.inventory
        if inventory is not None and len(inventory) <= room:
            answer = msgspec.structs.replace(answer, inventory=msgspec.Raw(inventory))
            room -= len(inventory)
        return msgspec.structs.replace(answer, families=tuple(fitting(families, room)))

    # --- over a span of time ----------------------------------------------------------------------

    async def _series(self, question: m.GetSeries) -> m.Series:
        node = self._registry.find(question.node)
        self._check_span(question.from_wall_ms, question.to_wall_ms)
        unknown = [name for name in question.metrics if name not in _COLUMNS]
        if unknown or not question.metrics:
            named = clean(", ".join(unknown)) or "nothing"
            raise FailureError("bad-request", f"no such metric: {named}")
        per_step = POINT_BYTES * (len(question.metrics) + 1)
        data = await self._queries.series(
            node.node_id,
            [_COLUMNS[name] for name in question.metrics],
            question.from_wall_ms,
            question.to_wall_ms,
            max(1, min(question.points, int(_ROOM_BYTES / per_step / POINTS_OVER) - 1)),
        )
        return series_of(question, node, data)

    async def _samples(self, question: m.GetSamples) -> m.Samples:
        node = self._registry.find(question.node)
        self._check_span(question.from_wall_ms, question.to_wall_ms)
        found = await self._queries.samples(
            node.node_id, question.from_wall_ms, question.to_wall_ms, question.limit + 1
        )
        room = _ROOM_BYTES
        told: list[m.StoredSample] = []
        for sample in found[: question.limit]:
            room -= len(sample.core) + len(sample.boot_id) + 32
            if room < 0:
                break
            told.append(
                m.StoredSample(
                    sample.at_wall_ms, sample.boot_id, sample.sequence, msgspec.Raw(sample.core)
                )
            )
        more = len(told) < len(found)
        if more:
            # What follows is asked for from one millisecond after the last: none of that one's
            # own millisecond may be left behind.
            next_ms = found[len(told)].at_wall_ms
            kept = [each for each in told if each.at_wall_ms < next_ms]
            told = kept or told
        return m.Samples(question.request, node.node_id, tuple(told), more)

    async def _coverage(self, question: m.GetCoverage, send: Send) -> None:
        self._check_span(question.from_wall_ms, question.to_wall_ms)
        wanted = [self._registry.find(question.node)] if question.node else list(self._registry)
        outlooks = {node.node_id: self._outlook(node) for node in wanted}
        tallies = await self._queries.coverage(
            outlooks,
            question.from_wall_ms,
            question.to_wall_ms,
            GAPS_LIMIT if question.node else FLEET_GAPS_LIMIT,
        )

        def piece(nodes: list[Node], is_last: bool) -> m.CoverageOf:
            rows = (coverage_of(question, node, tallies[node.node_id]) for node in nodes)
            return m.CoverageOf(question.request, tuple(rows), is_last)

        await send_pieces(wanted, piece, send)

    def _outlook(self, node: Node) -> Outlook:
        now_wall_ms = self._context.wall_ms()
        is_expected = node.liveness.state not in _GONE
        if _spool_is_empty(node):
            return Outlook(now_wall_ms, is_expected)
        return Outlook(now_wall_ms, is_expected, now_wall_ms - SPOOL_MS)

    def _checked(self, at_wall_ms: int) -> int:
        if at_wall_ms > self._context.wall_ms() + AHEAD_MS:
            raise FailureError("bad-request", "that instant is still to come")
        return at_wall_ms

    def _check_span(self, from_wall_ms: int, to_wall_ms: int) -> None:
        if from_wall_ms >= to_wall_ms:
            raise FailureError("bad-request", "the span ends before it begins")


def _spool_is_empty(node: Node) -> bool:
    """Whether its agent has been linked for long enough without a word from its spool."""
    heard_s, seen_s = node.spool_heard_s, node.seen_mono_s
    return heard_s is None or seen_s is None or seen_s - heard_s > SPOOL_QUIET_S
