"""Answers about the past as messages, in pieces that fit."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias, TypeVar

import msgspec
import numpy as np

from master.history.fleet_reading import SampleThen
from master.history.ledger import Tally
from master.history.samples import ABSENT
from master.history.series import SeriesData
from master.node import NIL, Node
from master.past_states import StateThen
from shared import messages as m
from shared.connection import TRANSFER_LIMIT_BYTES

PIECE_NODES: Final = 100
"""Nodes in one piece of an answer: 60 kB or so, made in some milliseconds."""

Send: TypeAlias = Callable[[m.ToViewer], Awaitable[None]]
"""Sends a message when there is room for it; waits until then."""

Piece = TypeVar("Piece", m.FleetAt, m.CoverageOf)


async def send_pieces(nodes: list[Node], piece: Callable[..., Piece], send: Send) -> None:
    """Sends pieces about all of these nodes; one, where there are none."""
    begin = 0
    while True:
        size = PIECE_NODES
        while True:
            part = nodes[begin : begin + size]
            is_last = begin + size >= len(nodes)
            made = piece(part, is_last)
            if len(part) <= 1 or len(m.encode_body(made)) <= TRANSFER_LIMIT_BYTES:
                break
            size //= 2  # one always fits: master.node
        await send(made)
        if is_last:
            return
        begin += size


def vitals_then(node: Node, then: StateThen, samples: Mapping[str, SampleThen]) -> m.NodeVitals:
    """What was taken during an outage tells what the node was like, and came when it was over: it
    was no sign of life."""
    sample = samples.get(node.node_id)
    seen_wall_ms = then.seen_wall_ms
    if seen_wall_ms is None and sample is not None:
        seen_wall_ms = sample.at_wall_ms
    return m.NodeVitals(
        node.node_id,
        then.state,
        then.reason,
        then.since_wall_ms,
        None,
        seen_wall_ms,
        node.period_ms if sample is None else sample.period_ms,
        NIL if sample is None else msgspec.Raw(sample.core),
    )


def fitting(families: Iterable[m.FamilySample], room: int) -> Iterator[m.FamilySample]:
    """Those that fit into an answer, the small ones first."""
    sizes = {each.family: len(m.encode_body(each)) for each in families}
    for each in sorted(families, key=lambda each: sizes[each.family]):
        room -= sizes[each.family]
        if room < 0:
            return
        yield each


def series_of(question: m.GetSeries, node: Node, data: SeriesData | None) -> m.Series:
    if data is None or not data.steps.start_ms.size:  # steps of nothing have no columns either
        step_ms = question.to_wall_ms - question.from_wall_ms
        empty = tuple(m.SeriesOf(name, (), (), ()) for name in question.metrics)
        return m.Series(question.request, node.node_id, step_ms, 0, (), (), empty)
    steps = data.steps
    means = steps.mean()
    return m.Series(
        question.request,
        node.node_id,
        steps.bucket_ms,
        data.tier_ms,
        tuple(steps.start_ms.tolist()),
        tuple(steps.count.tolist()),
        tuple(
            m.SeriesOf(
                name,
                tuple(_none_where_absent(steps.least[:, place].tolist())),
                tuple(None if np.isnan(mean) else mean for mean in means[:, place].tolist()),
                tuple(_none_where_absent(steps.greatest[:, place].tolist())),
            )
            for place, name in enumerate(question.metrics)
        ),
    )


def _none_where_absent(values: list[int]) -> Iterator[int | None]:
    return (None if value == ABSENT else value for value in values)


def coverage_of(question: m.GetCoverage, node: Node, tally: Tally) -> m.Coverage:
    return m.Coverage(
        node.node_id,
        node.name,
        question.from_wall_ms,
        question.to_wall_ms,
        tally.expected,
        tally.stored,
        tally.late,
        tally.lost,
        tally.never_collected,
        tally.awaited,
        tally.gaps,
    )
