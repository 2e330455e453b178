"""Reading the whole fleet as it was at an instant.

What has not been compacted is found in the journal, exactly. Of the rest a small fleet is read out
of its chunks, exactly too; a large one out of the instants, which are a minute apart.
"""

import logging
import sqlite3
from typing import Final, NamedTuple

from master.history import instant_rows
from master.history.instants import STEP_MS
from master.history.journal_reading import entries_of, latest_at
from master.history.node_reading import core_of, last_sample

NEAR_PERIODS: Final = 3
"""A sample tells what a node was like for so many periods after it: then the node was not there."""

NEAR_LEAST_MS: Final = 5_000
NEAR_MOST_MS: Final = 180_000
"""However often the node beat."""

EXACT_NODES: Final = 100
"""So many nodes are read out of their chunks, at some milliseconds each."""

_log: Final = logging.getLogger(__name__)


class SampleThen(NamedTuple):
    """What a node was like."""

    at_wall_ms: int
    """When the sample was taken, by the master's clock."""
    period_ms: int
    core: bytes
    """A `shared.metrics.Core` in MessagePack."""


def fleet_at(connection: sqlite3.Connection, at_ms: int) -> dict[str, SampleThen]:
    """Of each node, by its id, the last sample at or before an instant; nodes that had not been
    sampled for some periods are left out. Within one read transaction."""
    nodes: dict[int, str] = dict(connection.execute("SELECT number, node_id FROM nodes").fetchall())
    found: dict[int, SampleThen] = {}
    if len(nodes) <= EXACT_NODES:
        _exactly(connection, at_ms, list(nodes), found)
    else:
        _by_the_minute(connection, at_ms, found)
    for node, entry in latest_at(connection, at_ms).items():
        then = SampleThen(entry.at_ms, entry.period_ms, entry.core)
        if _is_near(then, at_ms, 0):
            _keep_later(found, node, then)
    return {nodes[node]: then for node, then in found.items() if node in nodes}


def node_at(connection: sqlite3.Connection, node: int, at_ms: int) -> SampleThen | None:
    """The same of one node, by its number, exactly."""
    found: dict[int, SampleThen] = {}
    _exactly(connection, at_ms, [node], found)
    for entry in entries_of(connection, node):
        then = SampleThen(entry.at_ms, entry.period_ms, entry.core)
        if then.at_wall_ms <= at_ms and _is_near(then, at_ms, 0):
            _keep_later(found, node, then)
    return found.get(node)


def _exactly(
    connection: sqlite3.Connection, at_ms: int, nodes: list[int], found: dict[int, SampleThen]
) -> None:
    for node in nodes:
        last = last_sample(connection, node, at_ms, NEAR_MOST_MS)
        if last is None:
            continue
        taken = last.samples
        then = SampleThen(
            int(taken.at_ms[0]), int(last.marks.period_ms[0]), core_of(taken.values[0].tolist())
        )
        if _is_near(then, at_ms, 0):
            _keep_later(found, node, then)


def _by_the_minute(
    connection: sqlite3.Connection, at_ms: int, found: dict[int, SampleThen]
) -> None:
    instants, damaged = instant_rows.latest_at(connection, at_ms, NEAR_MOST_MS + STEP_MS)
    for number in damaged:
        _log.error("a damaged row of instants is left out", extra={"row": number})
    for instant in instants:
        columns = zip(
            instant.node.tolist(),
            instant.at_ms.tolist(),
            instant.period_ms.tolist(),
            instant.values.tolist(),
            strict=True,
        )
        for node, taken_ms, period_ms, values in columns:
            then = SampleThen(taken_ms, period_ms, core_of(values))
            if _is_near(then, at_ms, STEP_MS):
                _keep_later(found, node, then)


def _is_near(then: SampleThen, at_ms: int, coarse_ms: int) -> bool:
    near_ms = min(max(NEAR_PERIODS * then.period_ms, NEAR_LEAST_MS), NEAR_MOST_MS)
    return then.at_wall_ms >= at_ms - near_ms - coarse_ms


def _keep_later(found: dict[int, SampleThen], node: int, then: SampleThen) -> None:
    known = found.get(node)
    if known is None or known.at_wall_ms < then.at_wall_ms:
        found[node] = then
