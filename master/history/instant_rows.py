"""Rows of `instants` (`master.history.instants`): written by compaction, and read to see the whole
fleet as it was.

A node that is forgotten stays in rows that it shares with others until they are too old; nothing
leads from its number to it any more.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from master.history import database
from master.history.codec import ChunkError
from master.history.instants import STEP_MS, Instant, Steps, read_instant, read_nodes
from master.history.marked import Part
from master.history.tiers import SAMPLES


class InstantRow(NamedTuple):
    """A row of `instants` that is to be written."""

    from_ms: int
    """Where its first step begins."""
    last_ms: int
    """And its last."""
    body: bytes


def encode(parts: Iterable[Part]) -> list[InstantRow]:
    """What has been compacted of the nodes of one shard, as rows."""
    windows: defaultdict[int, list[Part]] = defaultdict(list)
    for part in parts:
        windows[part.from_ms].append(part)
    return [_row(each) for each in windows.values()]


def _row(parts: Sequence[Part]) -> InstantRow:
    spans = [part.span_ms() for part in parts]
    first_ms = min(first for first, _ in spans) // STEP_MS * STEP_MS
    last_ms = max(last for _, last in spans) // STEP_MS * STEP_MS
    steps = Steps(first_ms, (last_ms - first_ms) // STEP_MS + 1)
    for part in parts:
        steps.add(part.node, part.marked.samples, part.marked.marks.period_ms)
    return InstantRow(first_ms, last_ms, steps.encode())


def insert(connection: sqlite3.Connection, rows: Iterable[InstantRow]) -> None:
    """Writes these, within a transaction."""
    database.insert(connection, "INSERT OR FAIL INTO instants (from_ms, last_ms, body)", rows)


def latest_at(
    connection: sqlite3.Connection, at_ms: int, look_back_ms: int
) -> tuple[list[Instant], list[int]]:
    """Of each node the last sample of a minute that is at or before an instant, as far as it was
    taken within `look_back_ms`, in parts that may overlap; and the numbers of damaged rows."""
    rows = connection.execute(
        "SELECT number, body FROM instants WHERE from_ms BETWEEN ? AND ? AND last_ms >= ?"
        " ORDER BY last_ms DESC",
        (
            at_ms - look_back_ms - SAMPLES.window_ms,
            at_ms,
            at_ms - look_back_ms - STEP_MS,
        ),
    )
    found: list[Instant] = []
    seen: set[int] = set()
    damaged: list[int] = []
    for number, body in rows:
        try:
            if seen.issuperset(read_nodes(body).tolist()):
                continue
            instant = read_instant(body, at_ms)
        except ChunkError:
            damaged.append(number)
            continue
        near = instant.take(np.flatnonzero(instant.at_ms >= at_ms - look_back_ms))
        # Whose last sample is older may have others, which came late and stand in a row apart.
        seen.update(near.node[near.at_ms >= at_ms - STEP_MS - near.period_ms].tolist())
        found.append(near)
    return found, damaged


def drop_before(connection: sqlite3.Connection, before_ms: int) -> None:
    """Drops what is older than the finest roll-up that is kept."""
    connection.execute("DELETE FROM instants WHERE from_ms < ?", (before_ms - SAMPLES.window_ms,))
