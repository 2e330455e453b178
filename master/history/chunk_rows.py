"""Rows of chunks: how they are written, found, and set aside when they are damaged."""

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from master.history import marked
from master.history.database import insert, numbers_in
from master.history.family_chunks import KeptFamily, pack_families
from master.history.marked import Part
from master.history.tiers import SAMPLES

_log: Final = logging.getLogger(__name__)


class ChunkRow(NamedTuple):
    """A row of `chunks` that is to be written."""

    node: int
    tier_ms: int
    from_ms: int
    is_open: bool
    first_ms: int
    last_ms: int
    marks: bytes
    body: bytes


class FamilyRow(NamedTuple):
    """A row of `family_chunks` that is to be written."""

    node: int
    from_ms: int
    is_open: bool
    first_ms: int
    last_ms: int
    size_bytes: int
    body: bytes


class DamagedRow(NamedTuple):
    """A row that cannot be read, to be set aside."""

    table: str
    number: int
    node: int | None
    from_ms: int | None
    reason: str
    body: bytes


def sample_rows(parts: Sequence[Part], *, is_open: bool) -> list[ChunkRow]:
    """Each of these as a row."""
    packed = marked.pack([part.marked for part in parts])
    return [
        ChunkRow(part.node, SAMPLES.tier_ms, part.from_ms, is_open, *part.span_ms(), *columns)
        for part, columns in zip(parts, packed, strict=True)
    ]


def family_row(node: int, from_ms: int, kept: Iterable[KeptFamily], *, is_open: bool) -> FamilyRow:
    """Families of one window as a row."""
    kept = list(kept)
    times = [each.at_ms for each in kept]
    body = pack_families(kept)
    return FamilyRow(node, from_ms, is_open, min(times), max(times), len(body), body)


def insert_chunks(connection: sqlite3.Connection, rows: Iterable[ChunkRow]) -> None:
    """Writes these."""
    insert(
        connection,
        "INSERT OR FAIL INTO chunks"
        " (node, tier_ms, from_ms, is_open, first_ms, last_ms, marks, body)",
        rows,
    )


def insert_families(connection: sqlite3.Connection, rows: Iterable[FamilyRow]) -> None:
    """Writes these."""
    insert(
        connection,
        "INSERT OR FAIL INTO family_chunks"
        " (node, from_ms, is_open, first_ms, last_ms, bytes, body)",
        rows,
    )


def delete(connection: sqlite3.Connection, table: str, numbers: Iterable[int]) -> None:
    """Removes the rows of these numbers."""
    connection.execute(
        f"DELETE FROM {table}"  # noqa: S608 – the table is named in this package
        " WHERE number IN (SELECT value FROM json_each(?))",
        (numbers_in(numbers),),
    )


def set_aside(connection: sqlite3.Connection, rows: Iterable[DamagedRow], now_wall_ms: int) -> None:
    """Moves damaged rows to where nobody reads them and nothing is lost of them."""
    for row in rows:
        connection.execute(
            "INSERT INTO damaged (at_ms, table_name, row, node, from_ms, reason, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (now_wall_ms, *row),
        )
        delete(connection, row.table, [row.number])
        _log.error(
            "a damaged row of the history was set aside",
            extra={"table": row.table, "row": row.number, "reason": row.reason},
        )
