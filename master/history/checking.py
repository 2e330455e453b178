"""Checks of what is on disk: SQLite's own, of the file's structure, and the checksums of chunks.

The first is bounded in time at the start, and finished in the background. The second goes on for
ever, a little at a time: whatever a disk has forgotten is found before it is asked for.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from master.history.chunk_rows import DamagedRow
from master.history.codec import ChunkError, read_header
from master.history.family_chunks import unpack_families
from master.history.marks import unpack_marks
from master.history.tiers import SAMPLES

SLICE_BYTES: Final = 4 * 1024 * 1024
"""How much is checked at once: 16 GB in less than a day."""

_INSTRUCTIONS: Final = 10_000
"""Of SQLite's, between two looks at the clock."""

_CORRUPT: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PRIMARY_CODE: Final = 0xFF

_Row: TypeAlias = tuple[int, int, int, int, bytes, bytes]


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error means that the file is not what SQLite has written."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE in _CORRUPT


def damage(reason: str) -> sqlite3.DatabaseError:
    """The error that says so, as SQLite would."""
    error = sqlite3.DatabaseError(reason)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def structure(connection: sqlite3.Connection, limit_s: float | None = None) -> str | None:
    """What is wrong with the file's structure; empty: nothing; None: not known within `limit_s`.

    Raises:
        sqlite3.Error: it cannot be read, for another reason than damage.
    """
    if limit_s is not None:
        deadline_s = time.monotonic() + limit_s
        connection.set_progress_handler(lambda: time.monotonic() > deadline_s, _INSTRUCTIONS)
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return str(error)
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None
        raise
    finally:
        connection.set_progress_handler(None, 0)
    return "" if found == "ok" else str(found)


@dataclass
class Cursor:
    """How far the checksums have been checked."""

    number: int = 0
    """Of the row that was checked last, in its table; 0: none yet."""
    has_done_chunks: bool = False
    """Whether it is the families' turn."""

    @property
    def is_at_start(self) -> bool:
        """Whether a round is over, or none has begun."""
        return not self.number and not self.has_done_chunks


def checksums(connection: sqlite3.Connection, cursor: Cursor) -> list[DamagedRow]:
    """Checks the next `SLICE_BYTES` of chunks, and after them of families; after the last of both,
    `cursor` is at the start again.

    Raises:
        sqlite3.Error: they cannot be read.
    """
    damaged = list[DamagedRow]()
    if cursor.has_done_chunks:
        families = connection.execute(
            "SELECT number, node, from_ms, 0, x'', body FROM family_chunks"
            " WHERE number > ? ORDER BY number",
            (cursor.number,),
        )
        cursor.number = _checked(families, "family_chunks", _check_families, damaged)
        cursor.has_done_chunks = bool(cursor.number)
    else:
        chunks = connection.execute(
            "SELECT number, node, from_ms, tier_ms, marks, body FROM chunks"
            " WHERE number > ? ORDER BY number",
            (cursor.number,),
        )
        cursor.number = _checked(chunks, "chunks", _check_chunk, damaged)
        cursor.has_done_chunks = not cursor.number
    return damaged


def _checked(
    rows: Iterator[_Row], table: str, check: Callable[[_Row], None], damaged: list[DamagedRow]
) -> int:
    """Where to go on; 0 after the last row."""
    size_bytes = 0
    for row in rows:
        number, node, from_ms, _, _, body = row
        try:
            check(row)
        except ChunkError as error:
            damaged.append(DamagedRow(table, number, node, from_ms, str(error), body))
        size_bytes += len(body)
        if size_bytes >= SLICE_BYTES:
            return number
    return 0


def _check_chunk(row: _Row) -> None:
    *_, tier_ms, marks, body = row
    count = read_header(body).count
    if tier_ms == SAMPLES.tier_ms:
        unpack_marks(marks, count)


def _check_families(row: _Row) -> None:
    unpack_families(row[-1])
