"""Which state each node was in at an instant, from the events that are stored.

Events are dropped when there are too many. Where none is left from before an instant, the first one
after it says what the state was until then.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from master.node import Node
from master.store import Store

AWAY: Final = "last known: the master was not there"

_BEFORE: Final = (
    "SELECT n.node_id, e.after AS state, e.text AS reason, e.wall_ms AS since FROM nodes AS n"
    " JOIN events AS e ON e.number = (SELECT number FROM events WHERE event = 'state'"
    " AND node_id = n.node_id AND wall_ms <= ? ORDER BY wall_ms DESC, number DESC LIMIT 1)"
)
_AFTER: Final = (
    "SELECT n.node_id, e.before AS state, '' AS reason, n.first_seen_wall_ms AS since"
    " FROM nodes AS n"
    " JOIN events AS e ON e.number = (SELECT number FROM events WHERE event = 'state'"
    " AND node_id = n.node_id AND wall_ms > ? ORDER BY wall_ms, number LIMIT 1)"
)
_ONE: Final = " WHERE n.node_id = ?"

_AWAY: Final = (
    "SELECT node_id, max(from_wall_ms) AS seen FROM outages"
    " WHERE from_wall_ms <= ? AND (to_wall_ms IS NULL OR to_wall_ms > ?) GROUP BY node_id"
)

_LIFE: Final = (
    "SELECT started_wall_ms, alive_wall_ms, number = (SELECT max(number) FROM master_lives)"
    " AS is_this FROM master_lives WHERE started_wall_ms <= ? ORDER BY number DESC LIMIT 1"
)


class StateThen(Struct, frozen=True):
    """As `NodeVitals` has it, at an instant."""

    state: str
    reason: str
    since_wall_ms: int
    seen_wall_ms: int | None = None
    """The last sign of life before an outage that it was in; None: it was in none."""


class PastStates:
    """Of the nodes that the registry still knows."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def at(self, nodes: Iterable[Node], at_wall_ms: int) -> Mapping[str, StateThen]:
        """The states of these nodes at an instant, by their ids; of those that were known then.
        While the master was away, the last ones that it knew.

        Raises:
            StoreError: they cannot be read.
        """
        known = [node for node in nodes if node.first_seen_wall_ms <= at_wall_ms]
        one, parameter = (_ONE, (known[0].node_id,)) if len(known) == 1 else ("", ())
        found = await self._states(_BEFORE + one, (at_wall_ms, *parameter))
        if any(node.node_id not in found for node in known):
            found = await self._states(_AFTER + one, (at_wall_ms, *parameter)) | found
        was_away = await self._was_away(at_wall_ms)
        seen = await self._last_seen(at_wall_ms)
        states: dict[str, StateThen] = {}
        for node in known:
            then = found.get(node.node_id) or StateThen(
                node.liveness.state, node.liveness.reason, node.since_wall_ms
            )
            if was_away:
                then = replace(then, reason=": ".join(filter(None, (AWAY, then.reason))))
            states[node.node_id] = replace(then, seen_wall_ms=seen.get(node.node_id))
        return states

    async def _last_seen(self, at_wall_ms: int) -> dict[str, int]:
        rows = await self._store.read(_AWAY, (at_wall_ms, at_wall_ms))
        return {row["node_id"]: row["seen"] for row in rows}

    async def _states(self, query: str, parameters: tuple[int | str, ...]) -> dict[str, StateThen]:
        rows = await self._store.read(query, parameters)
        return {
            row["node_id"]: StateThen(row["state"], row["reason"], row["since"]) for row in rows
        }

    async def _was_away(self, at_wall_ms: int) -> bool:
        rows = await self._store.read(_LIFE, (at_wall_ms,))
        return not rows or (not rows[0]["is_this"] and rows[0]["alive_wall_ms"] < at_wall_ms)
