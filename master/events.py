"""The event log: what happened, numbered, stored, and passed on to whoever follows."""

import sqlite3
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from master.store import Statement, Store
from shared.messages import EVENT_NODES_LIMIT, Event

Follower: TypeAlias = Callable[[Event], None]

PRUNE_EVERY: Final = 1000
"""Events between two looks at whether the oldest have to go."""


class EventLog:
    """Appends events. They are numbered at once and on disk within half a second."""

    def __init__(self, store: Store, wall_ms: Callable[[], int], kept: int) -> None:
        self.kept = kept
        """How many stored events stay; the oldest go first."""
        self._store = store
        self._wall_ms = wall_ms
        rows = store.load("SELECT max(number) AS last FROM events")
        self._last: int = rows[0]["last"] or 0
        self._followers: dict[Follower, None] = {}

    def __repr__(self) -> str:
        return f"<EventLog up to {self._last}, {len(self._followers)} followers>"

    def record(
        self,
        event: str,
        *,
        node_id: str = "",
        name: str = "",
        before: str = "",
        after: str = "",
        text: str = "",
        nodes: tuple[str, ...] = (),
    ) -> None:
        """Something happened, now; to all of `nodes` together, of which the first are kept."""
        self._last += 1
        named = nodes[:EVENT_NODES_LIMIT]
        entry = Event(self._last, self._wall_ms(), event, node_id, name, before, after, text, named)
        self._store.write_later(_insert(entry))
        if self._last % PRUNE_EVERY == 0:
            oldest = self._last - self.kept
            self._store.write_later(("DELETE FROM events WHERE number <= ?", (oldest,)))
        for follower in tuple(self._followers):
            follower(entry)

    async def latest(self, limit: int, node_id: str | None = None) -> tuple[Event, ...]:
        """The newest `limit` events, of one node or of all, oldest first."""
        where, parameters = ("WHERE node_id = ?", (node_id,)) if node_id else ("", ())
        rows = await self._store.read(
            f"SELECT * FROM events {where} ORDER BY number DESC LIMIT ?",  # noqa: S608 - constants
            (*parameters, limit),
        )
        return tuple(_event(row) for row in reversed(rows))

    def follow(self, follower: Follower) -> None:
        """Calls `follower` with every event from now on, until `unfollow`."""
        self._followers[follower] = None

    def unfollow(self, follower: Follower) -> None:
        self._followers.pop(follower, None)


def _event(row: sqlite3.Row) -> Event:
    columns = dict[str, Any](row)
    nodes: str = columns.pop("nodes")
    return Event(**columns, nodes=tuple(nodes.split()))


def _insert(event: Event) -> Statement:
    return (
        "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            event.number,
            event.wall_ms,
            event.event,
            event.node_id,
            event.name,
            event.before,
            event.after,
            event.text,
            " ".join(event.nodes),
        ),
    )
