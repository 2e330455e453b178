"""Reading the journal: all of one node, and every node at an instant that has not been compacted.

Rows are found by when they were committed, for that is how they are numbered; live samples are
committed within a second of their time, late ones whenever they come.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from master.history.journal import (
    SHARDS,
    Entry,
    JournalError,
    Keys,
    node_key,
    place_of,
    row_number,
    rows_of,
    shard_of,
    unpack_entries,
    unpack_keys,
)

COMMITTED_WITHIN_ROWS: Final = 8
"""So many rows after the first that is later than an instant, samples of before it may stand: the
commit that they were to go with was refused, or the clock was anchored anew."""

LOOK_BACK_ROWS: Final = 400
"""How far before an instant nodes are looked for: three minutes of commits. Who beats more rarely
is found in what has been compacted."""


def entries_of(connection: sqlite3.Connection, node: int) -> list[Entry]:
    """What the journal has of one node, in the order in which it came; damaged rows left out."""
    rows = connection.execute(
        "SELECT nodes, body FROM journal WHERE number BETWEEN ? AND ? AND instr(nodes, ?)",
        (*rows_of(shard_of(node)), node_key(node)),
    )
    return [entry for row in rows for entry in _unpacked(*row) if entry.node == node]


def keys_of(connection: sqlite3.Connection, node: int | None) -> Iterator[list[Keys]]:
    """What the journal has of one node, and perhaps of others, or of all: without values, a shard
    at a time; damaged rows left out."""
    key = None if node is None else node_key(node)
    for shard in range(SHARDS) if node is None else (shard_of(node),):
        rows = connection.execute(
            "SELECT nodes, body FROM journal WHERE number BETWEEN ? AND ?"
            " AND (? IS NULL OR instr(nodes, ?))",
            (*rows_of(shard), key, key),
        )
        found: list[Keys] = []
        for nodes, body in rows:
            with suppress(JournalError):
                found.append(unpack_keys(nodes, body))
        if found:
            yield found


def latest_at(connection: sqlite3.Connection, at_ms: int) -> dict[int, Entry]:
    """Of each node in the journal the last sample at or before an instant, by the node's number;
    only those that were taken within some minutes before it."""
    place = _place_at(connection, at_ms)
    found: dict[int, Entry] = {}
    if place is None:
        return found
    for shard in range(SHARDS):
        first = row_number(shard, max(0, place - LOOK_BACK_ROWS))
        last = row_number(shard, place + COMMITTED_WITHIN_ROWS)
        rows = connection.execute(
            "SELECT nodes, body FROM journal WHERE number BETWEEN ? AND ? ORDER BY number DESC",
            (first, last),
        )
        _take_latest(rows, at_ms, found)
    return found


def _take_latest(rows: sqlite3.Cursor, at_ms: int, found: dict[int, Entry]) -> None:
    settled: set[bytes] = set()
    for nodes, body in rows:
        # Most rows of a healthy fleet hold nobody who has not been found in a later one.
        if all(nodes[at : at + 4] in settled for at in range(0, len(nodes), 4)):
            continue
        for entry in _unpacked(nodes, body):
            if entry.at_ms > at_ms:
                continue
            if not entry.is_late:  # what comes late may be older than what stands before it
                settled.add(node_key(entry.node))
            best = found.get(entry.node)
            if best is None or entry.at_ms > best.at_ms:
                found[entry.node] = entry


def _place_at(connection: sqlite3.Connection, at_ms: int) -> int | None:
    """The place of the first commit whose samples are later than an instant, or of the last one;
    None where the journal is empty or begins after it."""
    for shard in range(SHARDS):
        first, last = connection.execute(
            "SELECT min(number), max(number) FROM journal WHERE number BETWEEN ? AND ?",
            rows_of(shard),
        ).fetchone()
        if first is not None:
            return _bisected(connection, first, last, at_ms)
    return None


def _bisected(connection: sqlite3.Connection, first: int, last: int, at_ms: int) -> int | None:
    low, high = first, last
    while low < high:
        middle = (low + high) // 2
        number, taken_ms = _taken_ms(connection, middle, last)
        if taken_ms > at_ms:
            high = middle
        else:
            low = number + 1
    return place_of(low)


def _taken_ms(connection: sqlite3.Connection, first: int, last: int) -> tuple[int, int]:
    """The first row from a key on with a sample that came live: its key, and when that was taken.
    Where there is none, the last row, as late as can be."""
    rows = connection.execute(
        "SELECT number, nodes, body FROM journal WHERE number BETWEEN ? AND ? ORDER BY number",
        (first, last),
    )
    for number, nodes, body in rows:
        live = [entry.at_ms for entry in _unpacked(nodes, body) if not entry.is_late]
        if live:
            return number, max(live)
    return last, 2**62


def _unpacked(nodes: bytes, body: bytes) -> list[Entry]:
    try:
        return unpack_entries(nodes, body)
    except JournalError:
        return []
