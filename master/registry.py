"""The registry of known nodes: in memory for the beats, in SQLite for the next start.

It owns the nodes and their states: what happens to one goes through here, so that the detector, the
event log, the store and the feed always agree.
"""

import json
from collections.abc import Iterator
from typing import Final

import msgspec
import trio

from master.context import Context
from master.detector import Detector
from master.feed import Feed
from master.node import Node
from master.store import Statement
from shared.inventory import Inventory
from shared.liveness import Liveness, LivenessEvent, State, restored
from shared.text import clean_name

SAVE_EVERY_S: Final = 30.0
"""How stale "last seen" may be after a crash of the master. States and identities are never
stale."""

_INVENTORY: Final = msgspec.msgpack.Decoder(Inventory)


class NoSuchNodeError(KeyError):
    """No node, or more than one, answers to what was asked for; `candidates` are their names."""

    def __init__(self, wanted: str, candidates: tuple[str, ...] = ()) -> None:
        super().__init__(wanted)
        self.wanted: Final = wanted
        self.candidates: Final = candidates


class Registry:
    """Every known node, by id."""

    def __init__(self, context: Context, feed: Feed) -> None:
        self._context = context
        self._store = context.store
        self._feed = feed
        self._detector = Detector(context.sweeper, self._on_transition)
        self._nodes: dict[str, Node] = {}
        self._names: dict[str, str] = {}
        self._told: dict[str, State] = {}
        self._unsaved: dict[str, Node] = {}
        feed.source = self

    def __repr__(self) -> str:
        return f"<Registry of {len(self._nodes)} nodes>"

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def load(self, now_s: float) -> None:
        """Takes up the nodes of earlier starts; those that should live are awaited."""
        for row in self._store.load("SELECT * FROM nodes"):
            liveness = restored(State(row["state"]), row["reason"], now_s)
            node = Node(row["node_id"], row["name"], liveness, row["first_seen_wall_ms"])
            node.labels = json.loads(row["labels"])
            node.note = row["note"]
            node.address = row["address"]
            node.agent_version = row["agent_version"]
            node.seen_wall_ms = row["seen_wall_ms"]
            node.since_wall_ms = row["since_wall_ms"]
            if row["inventory"] is not None:
                node.take_inventory(row["inventory"], _INVENTORY.decode(row["inventory"]))
            self._told[node.node_id] = State(row["state"])
            if liveness.state is State.AWAITED:
                node.since_wall_ms = self._context.wall_ms()
            self._keep(node)

    def get(self, node_id: str) -> Node | None:
        """A node by its id."""
        return self._nodes.get(node_id)

    def find(self, wanted: str) -> Node:
        """A node by name, by id, or by the unambiguous beginning of either.

        Raises:
            NoSuchNodeError: none or several.
        """
        node = self._nodes.get(self._names.get(wanted, wanted))
        if node is not None:
            return node
        found = [
            node
            for node in self._nodes.values()
            if wanted and (node.name.startswith(wanted) or node.node_id.startswith(wanted))
        ]
        if len(found) != 1:
            raise NoSuchNodeError(wanted, tuple(sorted(node.name for node in found)))
        return found[0]

    def free_name(self, wanted: str) -> str:
        """`wanted` made safe and unique: `web`, `web-2`, `web-3`."""
        base = name = clean_name(wanted)
        number = 1
        while name in self._names:
            number += 1
            suffix = f"-{number}"
            name = base[: 64 - len(suffix)] + suffix
        return name

    def new_node(self, node_id: str, name: str, now_s: float) -> tuple[Node, Statement]:
        """A node that has just been enrolled and has not linked yet, and what stores it.

        It is not known until `add` is called.
        """
        node = Node(node_id, name, Liveness(State.NEVER_SEEN, now_s), self._context.wall_ms())
        return node, _insert(node)

    def reserve(self, name: str, node_id: str) -> None:
        """Keeps a name from others while its node is being stored."""
        self._names[name] = node_id

    def release(self, name: str, node_id: str) -> None:
        """The node of a reserved name could not be stored."""
        if self._names.get(name) == node_id:
            del self._names[name]

    def add(self, node: Node) -> None:
        """The node is known from now on."""
        self._told[node.node_id] = node.liveness.state
        self._keep(node)
        self._feed.info_changed(node.node_id)
        self._feed.vitals_changed(node.node_id)

    def forget(self, node: Node) -> Statement:
        """The node is known no more; returns what drops it from the store."""
        self._nodes.pop(node.node_id, None)
        self._names.pop(node.name, None)
        self._told.pop(node.node_id, None)
        self._unsaved.pop(node.node_id, None)
        self._detector.forget(node.node_id)
        self._feed.gone(node.node_id)
        return ("DELETE FROM nodes WHERE node_id = ?", (node.node_id,))

    def apply(self, node: Node, event: LivenessEvent, now_s: float) -> None:
        """Something bears on the node's state."""
        node.liveness = self._detector.apply(node.node_id, event, now_s)

    def seen(self, node: Node, now_s: float) -> None:
        """A sign of life arrived."""
        node.seen_mono_s = now_s
        node.seen_wall_ms = self._context.wall_ms()
        self._unsaved[node.node_id] = node
        self._feed.vitals_changed(node.node_id)

    def info_changed(self, node: Node) -> None:
        """Something that changes rarely has changed; it is stored within half a second."""
        self._store.write_later(_update(node))
        self._feed.info_changed(node.node_id)

    def vitals_changed(self, node: Node) -> None:
        """Something that is not stored has changed."""
        self._feed.vitals_changed(node.node_id)

    async def run(self) -> None:
        """Stores when nodes were last seen, every half minute, for ever."""
        while True:
            await trio.sleep(SAVE_EVERY_S)
            self.save()

    def save(self) -> None:
        """Hands everything unsaved to the store."""
        unsaved, self._unsaved = self._unsaved, {}
        self._store.write_later(*(_update(node) for node in unsaved.values()))

    def _keep(self, node: Node) -> None:
        self._nodes[node.node_id] = node
        self._names[node.name] = node.node_id
        self._detector.know(node.node_id, node.liveness)

    def _on_transition(self, node_id: str, after: Liveness) -> None:
        node = self._nodes[node_id]
        node.liveness = after
        node.since_wall_ms = self._context.wall_ms()
        self._store.write_later(_update(node))
        self._feed.vitals_changed(node_id)
        if after.state is State.JOINING:
            return  # a step on the way to up: not worth an event of its own
        told = self._told[node_id]
        if told is not after.state:
            self._told[node_id] = after.state
            self._context.events.record(
                "state",
                node_id=node_id,
                name=node.name,
                before=told,
                after=after.state,
                text=after.reason,
            )


def _insert(node: Node) -> Statement:
    return (
        "INSERT INTO nodes (node_id, name, first_seen_wall_ms, state, since_wall_ms)"
        " VALUES (?, ?, ?, ?, ?)",
        (node.node_id, node.name, node.first_seen_wall_ms, node.liveness.state, node.since_wall_ms),
    )


def _update(node: Node) -> Statement:
    return (
        "UPDATE nodes SET labels = ?, agent_labels = ?, note = ?, address = ?, agent_version = ?,"
        " seen_wall_ms = ?, state = ?, reason = ?, since_wall_ms = ?, inventory = ?"
        " WHERE node_id = ?",
        (
            json.dumps(node.labels),
            json.dumps(node.agent_labels),
            node.note,
            node.address,
            node.agent_version,
            node.seen_wall_ms,
            node.liveness.state,
            node.liveness.reason,
            node.since_wall_ms,
            node.inventory,
            node.node_id,
        ),
    )
