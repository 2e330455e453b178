"""What goes: what is older than the settings keep, and the oldest of what is too much.

Everything here does a little and says whether there is more, so that no transaction takes long.
Nothing that is open goes: it is in no coarser tier yet.
"""

import sqlite3
from collections.abc import Iterator
from typing import Final, NamedTuple

from master.history import chunk_rows, instant_rows, stretch_rows
from master.history.tiers import HOURS, MINUTES, SAMPLES, TIERS, keep_ms
from shared.settings import DAY_S, HistorySettings

SLICE_BYTES: Final = 4 * 1024 * 1024
"""What is removed in one transaction, roughly."""

_SLICE_ROWS: Final = 256

FAMILIES_PART: Final = 0.25
"""Of what may be kept, what families may take: the rest is for samples."""

KNOWN_MS: Final = 400 * DAY_S * 1000
"""How long it is known which samples of a boot came: as long as an agent may still send them."""

FREE_PART: Final = 0.1
FREE_BYTES: Final = 64 * 1024 * 1024
"""Room in the file that is kept for what comes next; what is more goes back to the disk."""

VACUUM_PAGES: Final = 256


class Usage(NamedTuple):
    """How large the file is."""

    used_bytes: int
    free_bytes: int
    """In the file, for what is written next."""
    page_bytes: int


def usage(connection: sqlite3.Connection) -> Usage:
    """How large the database is, without its log.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    pages, free, page_bytes = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return Usage((pages - free) * page_bytes, free * page_bytes, page_bytes)


def families_bytes(connection: sqlite3.Connection) -> int:
    """How much of it is families.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    (size,) = connection.execute("SELECT sum(bytes) FROM family_chunks").fetchone()
    return size or 0


def drop_old(connection: sqlite3.Connection, settings: HistorySettings, now_wall_ms: int) -> bool:
    """Removes some of what is older than the settings keep; whether there may be more.

    Raises:
        sqlite3.Error: the disk refuses it.
    """
    for tier in TIERS:
        before_ms = now_wall_ms - keep_ms(tier, settings) - tier.window_ms
        if _drop(connection, f"chunks WHERE tier_ms = {tier.tier_ms} AND NOT is_open", before_ms):
            return True
    if _drop(connection, _FAMILIES, now_wall_ms - keep_ms(SAMPLES, settings) - SAMPLES.window_ms):
        return True
    minutes_ms = now_wall_ms - keep_ms(MINUTES, settings)
    instant_rows.drop_before(connection, minutes_ms)
    connection.execute("DELETE FROM damaged WHERE at_ms < ?", (minutes_ms,))
    last_ms = now_wall_ms - keep_ms(HOURS, settings)
    stretch_rows.drop_before(connection, last_ms)
    connection.execute("DELETE FROM lost WHERE last_ms < ?", (last_ms,))
    _drop_boots(connection, now_wall_ms - KNOWN_MS)
    return False


def _drop_boots(connection: sqlite3.Connection, before_ms: int) -> None:
    connection.execute(
        "DELETE FROM runs WHERE (node, boot_id) IN"
        " (SELECT node, boot_id FROM known WHERE last_ms < ?)",
        (before_ms,),
    )
    connection.execute("DELETE FROM known WHERE last_ms < ?", (before_ms,))


def drop_oldest(connection: sqlite3.Connection) -> bool:
    """Removes some of the oldest there is, the finest tier first; False if there is nothing.

    Raises:
        sqlite3.Error: the disk refuses it.
    """
    oldest = [
        (from_ms, selection)
        for selection in (_SAMPLES, _FAMILIES, _INSTANTS)
        if (from_ms := _oldest(connection, selection)) is not None
    ]
    if oldest and _drop(connection, min(oldest)[1], None):
        return True
    return any(
        _drop(connection, f"chunks WHERE tier_ms = {tier.tier_ms} AND NOT is_open", None)
        for tier in TIERS[1:]
    )


def drop_oldest_families(connection: sqlite3.Connection) -> int:
    """Removes some of the oldest families; how many bytes.

    Raises:
        sqlite3.Error: the disk refuses it.
    """
    return _drop(connection, _FAMILIES, None)


def give_back(connection: sqlite3.Connection, keep_bytes: int) -> bool:
    """Gives some of the free room in the file back to the disk; whether there may be more.

    Raises:
        sqlite3.Error: the disk refuses it.
    """
    used_bytes, free_bytes, page_bytes = usage(connection)
    spare_bytes = min(max(FREE_BYTES, FREE_PART * used_bytes), keep_bytes - used_bytes)
    if free_bytes <= max(spare_bytes, VACUUM_PAGES * page_bytes):
        return False
    connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
    return True


def erase(connection: sqlite3.Connection, node: int) -> bool:
    """Removes some of what there is of a forgotten node; whether there is more.

    Raises:
        sqlite3.Error: the disk refuses it.
    """
    for table in ("chunks", "family_chunks", "damaged"):
        if _drop(connection, f"{table} WHERE node = {node:d}", None, order="number"):
            return True
    for table in ("known", "stretches", "lost", "runs", "forgotten"):
        connection.execute(f"DELETE FROM {table} WHERE node = ?", (node,))  # noqa: S608
    return False


_SAMPLES: Final = "chunks WHERE tier_ms = 0 AND NOT is_open"
_FAMILIES: Final = "family_chunks WHERE NOT is_open"
_INSTANTS: Final = "instants WHERE 1"


def _oldest(connection: sqlite3.Connection, selection: str) -> int | None:
    row = connection.execute(
        f"SELECT from_ms FROM {selection} ORDER BY from_ms LIMIT 1"  # noqa: S608
    ).fetchone()
    return None if row is None else int(row[0])


def _drop(
    connection: sqlite3.Connection, selection: str, before_ms: int | None, order: str = "from_ms"
) -> int:
    """Removes some rows, oldest first; how many bytes, 0 if there were none."""
    bound = "" if before_ms is None else f" AND from_ms <= {before_ms:d}"
    rows = list(_slice(connection, f"{selection}{bound} ORDER BY {order}"))
    table = selection.partition(" ")[0]
    chunk_rows.delete(connection, table, [number for number, _ in rows])
    return sum(length for _, length in rows)


def _slice(connection: sqlite3.Connection, selection: str) -> Iterator[tuple[int, int]]:
    size_bytes = 0
    for number, length in connection.execute(
        f"SELECT number, length(body) FROM {selection} LIMIT {_SLICE_ROWS}"  # noqa: S608
    ):
        yield number, length
        size_bytes += length
        if size_bytes >= SLICE_BYTES:
            return
