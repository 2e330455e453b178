"""The registry of known nodes: in memory for the beats, in SQLite for the next start.

It owns the nodes and their states: what happens to one goes through here, so that the detector, the
event log, the store and the feed always agree.
"""

from collections.abc import Callable, Iterator
from typing import Final

import trio

from master import node_rows
from master.context import Context
from master.detector import Detector, Probe
from master.feed import Feed
from master.masses import common_ground
from master.node import Node
from master.outages import Outages
from master.store import RETRY_S, Statement, StoreError
from shared.addresses import parse_address, subnet
from shared.liveness import Liveness, LivenessEvent, State
from shared.text import NAME_LIMIT_CHARACTERS, clean_name

SAVE_EVERY_S: Final = 0.5
"""How stale a state may be after a crash of the master. Identities are never stale."""

SEEN_EVERY_S: Final = 30.0
"""How stale "last seen" may be after a crash of the master."""

SAVED_AT_ONCE: Final = 2_000
"""Nodes in one commit: a large fleet's do not keep an operator's order waiting."""


_PASSING: Final = frozenset({State.JOINING, State.AWAITED})


class NoSuchNodeError(KeyError):
    """No node, or more than one, answers to what was asked for; `candidates` are their names."""

    def __init__(self, wanted: str, candidates: tuple[str, ...] = ()) -> None:
        super().__init__(wanted)
        self.wanted: Final = wanted
        self.candidates: Final = candidates


def _always(now_s: float) -> bool:  # noqa: ARG001 - the signature of a canary's
    return True


class Registry:
    """Every known node, by id. `is_well` says whether the master itself is, by the master's
    clock."""

    def __init__(
        self, context: Context, feed: Feed, is_well: Callable[[float], bool] = _always
    ) -> None:
        self._context = context
        self._store = context.store
        self._feed = feed
        self._is_well = is_well
        self._detector = Detector(context.sweeper, self)
        self._nodes: dict[str, Node] = {}
        self._names: dict[str, str] = {}
        self._told: dict[str, State] = {}
        self._unsaved = node_rows.Unsaved()
        self._seen: dict[str, Node] = {}
        self.outages: Final = Outages(context)
        feed.source = self

    def __repr__(self) -> str:
        return f"<Registry of {len(self._nodes)} nodes>"

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def load(self, now_s: float) -> None:
        """Takes up the nodes of earlier starts; those that should live are awaited."""
        for row in self._store.load(node_rows.LOAD):
            node = node_rows.read(row, now_s, self._context.wall_ms())
            self._told[node.node_id] = State(row["state"])
            self._keep(node)
        self.outages.load(self)

    def get(self, node_id: str) -> Node | None:
        """A node by its id."""
        return self._nodes.get(node_id)

    def find(self, wanted: str) -> Node:
        """A node by id, by name, or by the unambiguous beginning of either.

        An id first: no agent can have itself called by another node's.

        Raises:
            NoSuchNodeError: none or several.
        """
        node = self._nodes.get(wanted) or self._nodes.get(self._names.get(wanted, ""))
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
            name = base[: NAME_LIMIT_CHARACTERS - len(suffix)] + suffix
        return name

    def new_node(self, node_id: str, name: str, now_s: float) -> tuple[Node, Statement]:
        """A node that has just been enrolled and has not linked yet, and what stores it.

        It is not known until `add` is called.
        """
        node = Node(node_id, name, Liveness(State.NEVER_SEEN, now_s), self._context.wall_ms())
        return node, node_rows.insert(node)

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

    def forget(self, node: Node) -> tuple[Statement, ...]:
        """The node is known no more; returns what drops it from the store."""
        self._nodes.pop(node.node_id, None)
        self._names.pop(node.name, None)
        self._told.pop(node.node_id, None)
        self._seen.pop(node.node_id, None)
        self._unsaved.discard(node.node_id)
        self._detector.forget(node.node_id)
        self.outages.forget(node.node_id)
        self._feed.gone(node.node_id)
        return node_rows.delete(node)

    def apply(self, node: Node, event: LivenessEvent, now_s: float) -> None:
        """Something bears on the node's state. Nothing does once it has been forgotten."""
        if self._nodes.get(node.node_id) is node:
            node.liveness = self._detector.apply(node.node_id, event, now_s)

    def seen(self, node: Node, now_s: float) -> None:
        """A sign of life arrived."""
        node.seen_mono_s = now_s
        node.seen_wall_ms = self._context.wall_ms()
        self._seen[node.node_id] = node
        self._feed.vitals_changed(node.node_id)

    def info_changed(self, node: Node) -> None:
        """Something that changes rarely has changed."""
        self._unsaved.rows[node.node_id] = node
        self._feed.info_changed(node.node_id)

    def inventory_changed(self, node: Node) -> None:
        """The inventory has changed, and with it what viewers are shown of it."""
        self._unsaved.inventories[node.node_id] = node
        self._feed.info_changed(node.node_id)

    def vitals_changed(self, node: Node) -> None:
        """Something that is not stored has changed."""
        self._feed.vitals_changed(node.node_id)

    async def run(self) -> None:
        """Stores what has changed, twice a second, and when nodes were last seen, every half
        minute, for ever."""
        seen_saved_s = trio.current_time()
        while True:
            await trio.sleep(SAVE_EVERY_S)
            now_s = trio.current_time()
            if now_s - seen_saved_s >= SEEN_EVERY_S:
                seen_saved_s = now_s
                self._take_seen()
            if not await self._save_changes():
                await trio.sleep(RETRY_S)

    async def save(self) -> bool:
        """Stores everything; False, and the rest stays unsaved, when the disk refuses."""
        self._take_seen()
        return await self._save_changes()

    def _take_seen(self) -> None:
        seen, self._seen = self._seen, {}
        self._unsaved.seen |= seen

    async def _save_changes(self) -> bool:
        while self._unsaved:
            part = self._unsaved.take(SAVED_AT_ONCE)
            try:
                await self._store.write(*part.statements())
            except StoreError:
                self._unsaved.put_back(part)
                return False
        return True

    def _keep(self, node: Node) -> None:
        self._nodes[node.node_id] = node
        self._names[node.name] = node.node_id
        self._detector.know(node.node_id, node.liveness)

    def probe(self, node_id: str) -> Probe | None:
        """For the detector: the node's link."""
        return self._nodes[node_id].session

    def master_is_well(self, now_s: float) -> bool:
        """For the detector: whether what agents send gets through at all."""
        return self._is_well(now_s)

    def changed(self, node_id: str, before: Liveness, after: Liveness) -> None:
        """For the detector: a node's state is another one."""
        node = self._nodes[node_id]
        node.liveness = after
        node.since_wall_ms = self._context.wall_ms()
        self._unsaved.rows[node_id] = node
        self._feed.vitals_changed(node_id)
        if after.state in _PASSING:
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
        self.outages.changed(node, before.state, after, trio.current_time())

    def mass_event(self, node_ids: tuple[str, ...], alive: int) -> None:
        """For the detector: these nodes fell silent together."""
        marks = {node.node_id: frozenset(_marks(node)) for node in self._nodes.values()}
        shared_marks = common_ground(node_ids, marks)
        where = f"; all of {', '.join(shared_marks)}" if shared_marks else ""
        self._context.events.record(
            "mass",
            text=f"{len(node_ids)} of {alive} nodes fell silent at once{where}: network or master?",
            nodes=node_ids,
        )

    def flapping_changed(self, node_id: str, *, is_on: bool) -> None:
        """For the detector: a node has begun, or ceased, to come and go."""
        node = self._nodes[node_id]
        node.flapping = is_on
        self._feed.vitals_changed(node_id)
        self._context.events.record(
            "flapping" if is_on else "steady", node_id=node_id, name=node.name
        )


def _marks(node: Node) -> Iterator[str]:
    """What a node may have in common with others: its labels and its subnet."""
    for key, value in (node.agent_labels | node.labels).items():
        yield f"{key}={value}"
    if node.address:
        yield subnet(parse_address(node.address).host)
