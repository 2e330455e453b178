"""Stretches in the database: a row per node and day of UTC, kept for as long as any roll-up is.

Called within the transactions of compaction and retention; a few dozen bytes a row.
"""

import logging
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from master.history.database import insert, numbers_in
from master.history.stretches import Stretch, joined

DAY_MS: Final = 86_400_000

_log: Final = logging.getLogger(__name__)

_ROWS: Final = msgspec.msgpack.Decoder(list[Stretch])


def keep(connection: sqlite3.Connection, compacted: Mapping[int, Iterable[Stretch]]) -> None:
    """Adds what has been compacted, by node."""
    by_day: defaultdict[tuple[int, int], list[Stretch]] = defaultdict(list)
    for node, stretches in compacted.items():
        for stretch in stretches:
            by_day[node, stretch.first_wall_ms // DAY_MS * DAY_MS].append(stretch)
    if not by_day:
        return
    for node, day_ms, body in connection.execute(
        "SELECT node, from_ms, body FROM stretches"
        " WHERE node IN (SELECT value FROM json_each(?)) AND from_ms BETWEEN ? AND ?",
        (
            numbers_in(compacted),
            min(day_ms for _, day_ms in by_day),
            max(day_ms for _, day_ms in by_day),
        ),
    ):
        if (node, day_ms) in by_day:
            by_day[node, day_ms] += _decoded(node, body)
    insert(
        connection,
        "INSERT OR REPLACE INTO stretches",
        [
            (*key, max(stretch.last_wall_ms for stretch in whole), msgspec.msgpack.encode(whole))
            for key, whole in ((key, joined(parts)) for key, parts in by_day.items())
        ],
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
