"""Compaction: rows of the journal become chunks, one per node and window.

Read and encoded outside of any transaction that would hold up a commit; written in one that also
removes the journal's rows. A crash leaves either those or the chunks.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import compress
from typing import Final

import numpy as np

from master.history import chunk_rows, instant_rows, known_rows, marked, stretch_rows
from master.history.chunk_rows import ChunkRow, DamagedRow, FamilyRow
from master.history.database import insert, numbers_in
from master.history.family_chunks import WINDOW_MS as FAMILY_WINDOW_MS
from master.history.family_chunks import KeptFamily
from master.history.instant_rows import InstantRow
from master.history.intervals import Intervals
from master.history.journal import (
    Columns,
    FamilyEntry,
    JournalError,
    rows_of,
    unpack_columns,
    unpack_families,
)
from master.history.marked import Marked, Part
from master.history.stretches import Seen, Stretch, stretches_of
from master.history.tiers import SAMPLES

SLICE_ROWS: Final = 1_200
"""Rows of one shard that are compacted together: what is in memory at once, and how long the
transaction takes that writes it."""


@dataclass
class Compaction:
    """Some rows of the journal, and what becomes of them."""

    journal: list[int] = field(default_factory=list[int])
    family_journal: list[int] = field(default_factory=list[int])
    chunks: list[ChunkRow] = field(default_factory=list[ChunkRow])
    families: list[FamilyRow] = field(default_factory=list[FamilyRow])
    instants: list[InstantRow] = field(default_factory=list[InstantRow])
    stretches: dict[int, list[Stretch]] = field(default_factory=dict[int, list[Stretch]])
    last_ms: dict[int, int] = field(default_factory=dict[int, int])
    """By node, when the last of its samples was taken."""
    damaged: list[DamagedRow] = field(default_factory=list[DamagedRow])

    def __bool__(self) -> bool:
        return bool(self.journal or self.family_journal or self.damaged)


def newest(connection: sqlite3.Connection, shard: int) -> int:
    """The key of the newest row of a shard: up to where a compaction goes that begins now."""
    first, last = rows_of(shard)
    (found,) = connection.execute(
        "SELECT max(number) FROM (SELECT max(number) AS number FROM journal"
        " WHERE number BETWEEN :first AND :last UNION ALL SELECT max(number) FROM family_journal"
        " WHERE number BETWEEN :first AND :last)",
        {"first": first, "last": last},
    ).fetchone()
    return first if found is None else int(found)


def read(connection: sqlite3.Connection, shard: int, upto: int) -> Compaction:
    """The oldest `SLICE_ROWS` rows of a shard up to this one, encoded; empty when there are none.

    Raises:
        sqlite3.Error: they cannot be read.
    """
    compaction = Compaction()
    keys = (rows_of(shard)[0], upto)
    forgotten = {node for (node,) in connection.execute("SELECT node FROM forgotten")}
    rows = _read_samples(connection, compaction, keys)
    _encode_samples(compaction, [_without(each, forgotten) for each in rows])
    families = _read_families(connection, compaction, keys)
    _encode_families(compaction, [each for each in families if each.node not in forgotten])
    return compaction


def write(connection: sqlite3.Connection, compaction: Compaction, now_wall_ms: int) -> None:
    """Puts chunks in the place of the rows they were made from, within a transaction.

    Raises:
        sqlite3.Error: the disk refuses it.
    """
    chunk_rows.insert_chunks(connection, compaction.chunks)
    chunk_rows.insert_families(connection, compaction.families)
    instant_rows.insert(connection, compaction.instants)
    stretch_rows.keep(connection, compaction.stretches)
    _write_known(connection, compaction)
    chunk_rows.delete(connection, "journal", compaction.journal)
    chunk_rows.delete(connection, "family_journal", compaction.family_journal)
    chunk_rows.set_aside(connection, compaction.damaged, now_wall_ms)


def _read_samples(
    connection: sqlite3.Connection, compaction: Compaction, keys: tuple[int, int]
) -> list[Columns]:
    found = list[Columns]()
    for number, nodes, body in connection.execute(
        "SELECT number, nodes, body FROM journal WHERE number BETWEEN ? AND ?"
        " ORDER BY number LIMIT ?",
        (*keys, SLICE_ROWS),
    ):
        try:
            found.append(unpack_columns(nodes, body))
            compaction.journal.append(number)
        except JournalError as error:
            compaction.damaged.append(
                DamagedRow("journal", number, None, None, str(error), nodes + body)
            )
    return found


def _without(columns: Columns, forgotten: set[int]) -> Columns:
    """The samples of other nodes."""
    if forgotten.isdisjoint(columns.node):
        return columns
    kept = [node not in forgotten for node in columns.node]
    return Columns._make([*compress(column, kept)] for column in columns)


def _read_families(
    connection: sqlite3.Connection, compaction: Compaction, keys: tuple[int, int]
) -> list[FamilyEntry]:
    found = list[FamilyEntry]()
    for number, nodes, body in connection.execute(
        "SELECT number, nodes, body FROM family_journal WHERE number BETWEEN ? AND ?"
        " ORDER BY number LIMIT ?",
        (*keys, SLICE_ROWS),
    ):
        try:
            found += unpack_families(nodes, body)
            compaction.family_journal.append(number)
        except JournalError as error:
            compaction.damaged.append(
                DamagedRow("family_journal", number, None, None, str(error), nodes + body)
            )
    return found


def _encode_samples(compaction: Compaction, rows: list[Columns]) -> None:
    if not any(each.node for each in rows):
        return
    by_node = list(marked.by_node(rows))
    compaction.last_ms = {node: int(each.samples.at_ms[-1]) for node, each in by_node}
    compaction.stretches = _stretches(by_node)
    parts = [
        Part(node, *window) for node, each in by_node for window in each.windows(SAMPLES.window_ms)
    ]
    compaction.chunks = chunk_rows.sample_rows(parts, is_open=True)
    compaction.instants = instant_rows.encode(parts)


def _stretches(by_node: list[tuple[int, Marked]]) -> dict[int, list[Stretch]]:
    samples, marks = [each.samples for _, each in by_node], [each.marks for _, each in by_node]
    seen = Seen(
        np.concatenate([np.full(len(each), node) for node, each in by_node]),
        np.concatenate([each.run for each in samples]),
        np.concatenate([each.sequence for each in samples]),
        np.concatenate([each.at_ms for each in samples]),
        np.concatenate([each.period_ms for each in marks]),
        np.concatenate([each.is_late for each in marks]),
    )
    return stretches_of(seen)


def _encode_families(compaction: Compaction, entries: Iterable[FamilyEntry]) -> None:
    windows = defaultdict[tuple[int, int], list[KeptFamily]](list)
    for each in entries:
        from_ms = each.at_ms - each.at_ms % FAMILY_WINDOW_MS
        kept = KeptFamily(each.family, each.at_ms, each.period_ms, each.data)
        windows[each.node, from_ms].append(kept)
    compaction.families = [
        chunk_rows.family_row(*key, kept, is_open=True) for key, kept in windows.items()
    ]


def _write_known(connection: sqlite3.Connection, compaction: Compaction) -> None:
    runs = {each.run for stretches in compaction.stretches.values() for each in stretches}
    boots = dict[int, str](
        connection.execute(
            "SELECT number, boot_id FROM runs WHERE number IN (SELECT value FROM json_each(?))",
            (numbers_in(runs),),
        ).fetchall()
    )
    by_boot = defaultdict[tuple[int, str], list[Stretch]](list)
    for node, stretches in compaction.stretches.items():
        for each in stretches:
            if each.run in boots:
                by_boot[node, boots[each.run]].append(each)
    before = {
        (node, boot_id): (last_ms, packed)
        for node, boot_id, last_ms, packed in connection.execute(
            "SELECT node, boot_id, last_ms, intervals FROM known"
            " WHERE node IN (SELECT value FROM json_each(?))",
            (numbers_in({node for node, _ in by_boot}),),
        )
    }
    rows = list[tuple[int, str, int, bytes]]()
    for key, stretches in by_boot.items():
        last_ms, whole = compaction.last_ms[key[0]], Intervals()
        if key in before:
            before_ms, packed = before[key]
            last_ms = max(last_ms, before_ms)
            whole = known_rows.read(connection, *key, packed)
        for each in stretches:
            whole.add_range(each.first, each.last)
        rows.append((*key, last_ms, known_rows.pack(whole)))
    insert(connection, "INSERT OR REPLACE INTO known", rows)
