"""Nodes in the store: the statements that keep a row true, and the way back.

A row has three parts that change at different rates and are stored apart: what people and links say
about the node, the inventory, which is long, and its life, which changes with every beat.
"""

import json
import sqlite3
from collections.abc import Iterator
from typing import Final

import msgspec

from master.node import Node
from master.store import Statement
from shared.inventory import Inventory
from shared.liveness import State, restored

_INVENTORY: Final = msgspec.msgpack.Decoder(Inventory)


def insert(node: Node) -> Statement:
    """A node that has just been enrolled."""
    return (
        "INSERT INTO nodes (node_id, name, first_seen_wall_ms, state, since_wall_ms)"
        " VALUES (?, ?, ?, ?, ?)",
        (node.node_id, node.name, node.first_seen_wall_ms, node.liveness.state, node.since_wall_ms),
    )


def describe(node: Node) -> Statement:
    """Labels, note, address, version."""
    return (
        "UPDATE nodes SET labels = ?, note = ?, address = ?, agent_version = ? WHERE node_id = ?",
        (json.dumps(node.labels), node.note, node.address, node.agent_version, node.node_id),
    )


def keep_inventory(node: Node) -> Statement:
    """The inventory, as it came."""
    return "UPDATE nodes SET inventory = ? WHERE node_id = ?", (node.inventory, node.node_id)


def keep_life(node: Node) -> Statement:
    """The state, and when the node was last seen."""
    liveness = node.liveness
    return (
        "UPDATE nodes SET seen_wall_ms = ?, state = ?, reason = ?, since_wall_ms = ?"
        " WHERE node_id = ?",
        (node.seen_wall_ms, liveness.state, liveness.reason, node.since_wall_ms, node.node_id),
    )


def delete(node: Node) -> Statement:
    """A node that is known no more."""
    return "DELETE FROM nodes WHERE node_id = ?", (node.node_id,)


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


class Unsaved:
    """Nodes whose rows are no longer true, by what is not: the size of the fleet at most, however
    often they change while the disk takes nothing."""

    def __init__(self) -> None:
        self.described: dict[str, Node] = {}
        self.inventories: dict[str, Node] = {}
        self.lives: dict[str, Node] = {}

    def __repr__(self) -> str:
        return f"<Unsaved {len(self)}>"

    def __len__(self) -> int:
        return len(self.described) + len(self.inventories) + len(self.lives)

    def discard(self, node_id: str) -> None:
        """The node has been forgotten."""
        for nodes in (self.described, self.inventories, self.lives):
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
        """What makes the rows true."""
        yield from map(describe, self.described.values())
        yield from map(keep_inventory, self.inventories.values())
        yield from map(keep_life, self.lives.values())

    def _pairs(self, other: "Unsaved") -> Iterator[tuple[dict[str, Node], dict[str, Node]]]:
        yield self.described, other.described
        yield self.inventories, other.inventories
        yield self.lives, other.lives
