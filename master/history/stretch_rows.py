"""Stretches in the database: a row per node and day of UTC, kept for as long as any roll-up is.

Called within the transactions of compaction and retention; a few dozen bytes a row.
"""

import logging
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from master.history.stretches import Stretch, joined

DAY_MS: Final = 86_400_000

_log: Final = logging.getLogger(__name__)

_ROWS: Final = msgspec.msgpack.Decoder(list[Stretch])


def keep(connection: sqlite3.Connection, node: int, stretches: Iterable[Stretch]) -> None:
    """Adds what has been compacted of a node."""
    by_day: defaultdict[int, list[Stretch]] = defaultdict(list)
    for stretch in stretches:
        by_day[stretch.first_wall_ms // DAY_MS * DAY_MS].append(stretch)
    for day_ms, added in by_day.items():
        row = connection.execute(
            "SELECT body FROM stretches WHERE node = ? AND from_ms = ?", (node, day_ms)
        ).fetchone()
        whole = joined([*added, *([] if row is None else _decoded(node, row[0]))])
        connection.execute(
            "INSERT OR REPLACE INTO stretches VALUES (?, ?, ?, ?)",
            (
                node,
                day_ms,
                max(stretch.last_wall_ms for stretch in whole),
                msgspec.msgpack.encode(whole),
            ),
        )


def read(
    connection: sqlite3.Connection, nodes: Iterable[int], from_ms: int, to_ms: int
) -> Mapping[int, list[Stretch]]:
    """The stretches that lie in a span of time, by node, with the last before it and the first
    after it; more may come with them."""
    found: dict[int, list[Stretch]] = {}
    for node in nodes:
        rows = connection.execute(
            "SELECT body FROM stretches WHERE node = :node"
            " AND from_ms >= coalesce((SELECT max(from_ms) FROM stretches"
            "   WHERE node = :node AND from_ms < :from_day), :from_day)"
            " AND from_ms <= coalesce((SELECT min(from_ms) FROM stretches"
            "   WHERE node = :node AND from_ms >= :to), :to)",
            {"node": node, "from_day": from_ms // DAY_MS * DAY_MS, "to": to_ms},
        )
        found[node] = [stretch for (body,) in rows for stretch in _decoded(node, body)]
    return found


def drop_before(connection: sqlite3.Connection, before_ms: int) -> None:
    """Drops what is older than the oldest roll-up that is kept."""
    connection.execute("DELETE FROM stretches WHERE last_ms < ?", (before_ms,))


def forget(connection: sqlite3.Connection, node: int) -> None:
    """Drops all of a node."""
    connection.execute("DELETE FROM stretches WHERE node = ?", (node,))


def _decoded(node: int, body: bytes) -> list[Stretch]:
    try:
        return _ROWS.decode(body)
    except msgspec.DecodeError as error:
        _log.error("damaged stretches are left out", extra={"node": node, "error": str(error)})
        return []
