"""The feed: what changed in the fleet, to every viewer, four times a second.

Changes are coalesced: per tick and node only the latest values go out, encoded once for all viewers
that keep up. A viewer that does not is never waited for: the ids of what it has missed are noted
(at most the fleet's), and when it reads again it gets the current values of those. So a slow viewer
costs a set of ids and its outbox, whose size is bounded.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

import trio

from master.node import Node
from shared.connection import PIECE_BYTES, TRANSFER_LIMIT_BYTES, part_frames
from shared.frames import encode_frame
from shared.messages import Delta, NodeInfo, NodeVitals, Snapshot, encode_body

TICK_S: Final = 0.25
"""Four times a second: faster than people read, and the rate that the protocol promises not to
exceed."""

CHUNK_NODES: Final = 200
"""Nodes in one message: some 100 kB. What hostile agents make longer is halved until it fits."""


class Source(Protocol):
    """Where the current values come from: the registry."""

    def get(self, node_id: str) -> Node | None: ...

    def __iter__(self) -> Iterator[Node]: ...


class Piece(NamedTuple):
    """One message to viewers: what it says and its frames, which fit into an empty outbox."""

    changed: "Changes"
    frames: list[bytes]


class Watcher(Protocol):
    """A viewer's session, as the feed sees it."""

    def offer(self, pieces: Sequence[Piece]) -> None:
        """New values, already encoded: take the frames, or note what changed. Must not wait, and
        must leave the pieces as they are."""
        ...


class Changes:
    """Ids of nodes whose values have changed, by kind."""

    __slots__ = ("gone", "infos", "vitals")

    def __init__(self) -> None:
        self.infos: set[str] = set()
        self.vitals: set[str] = set()
        self.gone: set[str] = set()

    def __repr__(self) -> str:
        return (
            f"<Changes {len(self.infos)} infos, {len(self.vitals)} vitals, {len(self.gone)} gone>"
        )

    def merge(self, other: "Changes") -> None:
        """Notes the other's changes too."""
        self.infos |= other.infos
        self.vitals |= other.vitals
        self.gone |= other.gone
        self.infos -= other.gone
        self.vitals -= other.gone

    def take(self, limit: int) -> "Changes":
        """Removes and returns all that changed of at most `limit` nodes, those gone first."""
        taken = Changes()
        for source, target in (
            (self.gone, taken.gone),
            (self.infos, taken.infos),
            (self.vitals, taken.vitals),
        ):
            while source and limit > 0:
                node_id = source.pop()
                target.add(node_id)
                if source is self.infos and node_id in self.vitals:
                    self.vitals.discard(node_id)
                    taken.vitals.add(node_id)
                limit -= 1
        return taken

    def __len__(self) -> int:
        return len(self.infos | self.vitals | self.gone)

    def __bool__(self) -> bool:
        return bool(self.infos or self.vitals or self.gone)


class Feed:
    """Collects changes and hands them to the watchers. `source` is set by the registry."""

    source: Source

    def __init__(self) -> None:
        self._changes = Changes()
        self._watchers: dict[Watcher, None] = {}

    def __repr__(self) -> str:
        return f"<Feed to {len(self._watchers)} viewers, {self._changes!r} waiting>"

    def info_changed(self, node_id: str) -> None:
        self._changes.infos.add(node_id)

    def vitals_changed(self, node_id: str) -> None:
        self._changes.vitals.add(node_id)

    def gone(self, node_id: str) -> None:
        self._changes.gone.add(node_id)
        self._changes.infos.discard(node_id)
        self._changes.vitals.discard(node_id)

    def join(self, watcher: Watcher) -> None:
        """From now on this watcher is offered every change; it starts from `everything`."""
        self._watchers[watcher] = None

    def leave(self, watcher: Watcher) -> None:
        self._watchers.pop(watcher, None)

    def everything(self) -> Changes:
        """The whole fleet, as changes."""
        changes = Changes()
        changes.infos = {node.node_id for node in self.source}
        changes.vitals = set(changes.infos)
        return changes

    def tick(self, now_s: float) -> None:
        """Hands what has changed since the last tick to every watcher."""
        changed, self._changes = self._changes, Changes()
        if not self._watchers:
            return
        pieces: list[Piece] = []
        while changed:
            pieces.append(self.take_delta(changed, now_s))
        for watcher in tuple(self._watchers):
            watcher.offer(pieces)

    def take_delta(self, changes: Changes, now_s: float, behind_s: float = 0.0) -> Piece:
        """One Delta with the current values of some of `changes`, which are removed from there."""
        part = changes.take(CHUNK_NODES)
        while True:
            delta = Delta(
                int(now_s * 1000),
                self._infos(part.infos),
                self._vitals(part.vitals),
                tuple(part.gone),
                int(behind_s * 1000),
            )
            body = encode_body(delta)
            if len(body) <= TRANSFER_LIMIT_BYTES or len(part) == 1:  # one always fits: master.node
                return Piece(part, message_frames(Delta.kind, body))
            changes.merge(part.take(len(part) // 2))

    def take_snapshot(self, rest: Changes, now_s: float) -> list[bytes]:
        """The frames of one Snapshot with some of `rest`, which are removed from there; the last
        one when nothing is left."""
        part = rest.take(CHUNK_NODES)
        while True:
            infos, vitals = self._infos(part.infos), self._vitals(part.vitals)
            body = encode_body(Snapshot(int(now_s * 1000), infos, vitals, not rest))
            if len(body) <= TRANSFER_LIMIT_BYTES or len(part) == 1:
                return message_frames(Snapshot.kind, body)
            rest.merge(part.take(len(part) // 2))

    async def run(self) -> None:
        """Ticks four times a second, for ever."""
        while True:
            await trio.sleep(TICK_S)
            self.tick(trio.current_time())

    def _infos(self, node_ids: Iterable[str]) -> tuple[NodeInfo, ...]:
        return tuple(node.info() for node in map(self.source.get, node_ids) if node)

    def _vitals(self, node_ids: Iterable[str]) -> tuple[NodeVitals, ...]:
        return tuple(node.vitals() for node in map(self.source.get, node_ids) if node)


def message_frames(kind: int, body: bytes) -> list[bytes]:
    """The frames of one message to viewers, encoded once for all of them."""
    if len(body) <= PIECE_BYTES:
        return [encode_frame(kind, body)]
    return list(part_frames(kind, body))
