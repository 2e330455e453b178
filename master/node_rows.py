"""Nodes in the store: the statements that keep their rows true, and the way back.

What is known of a node changes at different rates and is stored apart: what people and links say of
it, with its state; the inventory, which is long; and when it was last seen, which changes with
every beat. Of a large fleet many rows change at once: they are written by one statement, for each
lets go of the interpreter's lock several times. What is not known any more is not written again.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from typing import Final

import msgspec

from master.node import Node
from master.store import Statement
from shared.inventory import Inventory
from shared.liveness import State, restored

LOAD: Final = (
    "SELECT nodes.*, seen.wall_ms AS seen_wall_ms, inventories.inventory FROM nodes"
    " LEFT JOIN seen USING (node_id) LEFT JOIN inventories USING (node_id)"
)
"""Selects what `read` reads."""

_KEPT: Final = (
    "labels",
    "note",
    "address",
    "agent_version",
    "state",
    "reason",
    "since_wall_ms",
)
"""The columns that `keep` writes, in the order of `_kept`; the node's id is before them."""

_KEEP: Final = (
    f"UPDATE nodes SET {', '.join(f'{each} = now.{each}' for each in _KEPT)}"  # noqa: S608
    " FROM (SELECT json_extract(value, '$[0]') AS node_id, "
    + ", ".join(
        f"json_extract(value, '$[{place}]') AS {each}" for place, each in enumerate(_KEPT, 1)
    )
    + " FROM json_each(?)) AS now WHERE nodes.node_id = now.node_id"
)
_KEEP_SEEN: Final = (
    "INSERT OR REPLACE INTO seen SELECT key, value FROM json_each(?)"
    " WHERE key IN (SELECT node_id FROM nodes)"
)
_INVENTORY: Final = msgspec.msgpack.Decoder(Inventory)


def insert(node: Node) -> Statement:
    """A node that has just been enrolled."""
    return (
        "INSERT INTO nodes (node_id, name, first_seen_wall_ms, state, since_wall_ms)"
        " VALUES (?, ?, ?, ?, ?)",
        (node.node_id, node.name, node.first_seen_wall_ms, node.liveness.state, node.since_wall_ms),
    )


def keep(nodes: Collection[Node]) -> Statement:
    """What people and links say of these nodes, and their states."""
    return _KEEP, (_json([_kept(node) for node in nodes]),)


def keep_seen(nodes: Iterable[Node]) -> Statement:
    """When these nodes were last seen."""
    seen = {node.node_id: node.seen_wall_ms for node in nodes if node.seen_wall_ms is not None}
    return _KEEP_SEEN, (_json(seen),)


def keep_inventory(node: Node) -> Statement:
    """The inventory, as it came."""
    return (
        "INSERT OR REPLACE INTO inventories SELECT node_id, ? FROM nodes WHERE node_id = ?",
        (node.inventory, node.node_id),
    )


def delete(node: Node) -> tuple[Statement, ...]:
    """A node that is known no more."""
    node_id = (node.node_id,)
    return (
        ("DELETE FROM nodes WHERE node_id = ?", node_id),
        ("DELETE FROM seen WHERE node_id = ?", node_id),
        ("DELETE FROM inventories WHERE node_id = ?", node_id),
    )


def read(row: sqlite3.Row, now_s: float, now_wall_ms: int) -> Node:
    """A node of an earlier start; one that should live is awaited from now on.

    An inventory that cannot be read is left out: the agent sends it with its next link.
    """
    liveness = restored(State(row["state"]), row["reason"], now_s)
    node = Node(row["node_id"], row["name"], liveness, row["first_seen_wall_ms"])
    node.labels = json.loads(row["labels"])
    node.note = row["note"]
    node.address = row["address"]
    node.agent_version = row["agent_version"]
    node.seen_wall_ms = row["seen_wall_ms"]
    is_awaited = liveness.state is State.AWAITED
    node.since_wall_ms = now_wall_ms if is_awaited else row["since_wall_ms"]
    if row["inventory"] is not None:
        try:
            node.take_inventory(row["inventory"], _INVENTORY.decode(row["inventory"]))
        except msgspec.DecodeError:
            return node
    return node


def _kept(node: Node) -> tuple[str | int | dict[str, str], ...]:
    liveness = node.liveness
    return (
        node.node_id,
        node.labels,  # SQLite gives its text back
        node.note,
        node.address,
        node.agent_version,
        liveness.state,
        liveness.reason,
        node.since_wall_ms,
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


class Unsaved:
    """Nodes whose rows are no longer true, by what is not: the size of the fleet at most, however
    often they change while the disk takes nothing."""

    def __init__(self) -> None:
        self.rows: dict[str, Node] = {}
        self.inventories: dict[str, Node] = {}
        self.seen: dict[str, Node] = {}

    def __repr__(self) -> str:
        return f"<Unsaved {len(self)}>"

    def __len__(self) -> int:
        return len(self.rows) + len(self.inventories) + len(self.seen)

    def discard(self, node_id: str) -> None:
        """The node has been forgotten."""
        for nodes in (self.rows, self.inventories, self.seen):
            nodes.pop(node_id, None)

    def take(self, limit: int) -> "Unsaved":
        """Removes and returns `limit` of them."""
        taken = Unsaved()
        for source, target in self._pairs(taken):
            while source and len(taken) < limit:
                node_id, node = source.popitem()
                target[node_id] = node
        return taken

    def put_back(self, refused: "Unsaved") -> None:
        """What was taken has not been saved."""
        for nodes, returned in self._pairs(refused):
            nodes.update(returned)

    def statements(self) -> Iterator[Statement]:
        """What makes the rows true. With a node's state goes when it was last seen."""
        if self.rows:
            yield keep(self.rows.values())
        yield from map(keep_inventory, self.inventories.values())
        if self.rows or self.seen:
            yield keep_seen(chain(self.rows.values(), self.seen.values()))

    def _pairs(self, other: "Unsaved") -> Iterator[tuple[dict[str, Node], dict[str, Node]]]:
        yield self.rows, other.rows
        yield self.inventories, other.inventories
        yield self.seen, other.seen
