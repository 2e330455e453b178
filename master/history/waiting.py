"""What has arrived and is not on disk yet: a queue in order of arrival, bounded in bytes."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import trio

from master.history.taken import Taken, size_bytes

LIMIT_BYTES: Final = 64 * 1024 * 1024
"""What waits for a disk that does not keep up: a minute of ten thousand nodes and more. Beyond that
nothing is taken, and so nothing confirmed: agents keep it."""

BATCH_BYTES: Final = 8 * 1024 * 1024
"""What is committed at once: little enough to find room on a disk that is nearly full."""

TOLD_AT_ONCE: Final = 4096
"""Beats that are acknowledged before other tasks get their turn: some thirty milliseconds' worth.
Where all are busy, more arrive in one turn than a few hundred; whoever acknowledges fewer than
arrive falls behind for good."""

OnStored: TypeAlias = Callable[[], None]


Entry: TypeAlias = tuple[Taken | None, OnStored | None]
"""Something to store, or nothing; and somebody to tell then, or nobody."""


@dataclass(frozen=True)
class Batch:
    """What is committed together."""

    entries: list[Entry]
    size_bytes: int

    @property
    def taken(self) -> list[Taken]:
        """What is to be stored, in order of arrival."""
        return [taken for taken, _ in self.entries if taken is not None]

    async def tell(self) -> None:
        """It is on disk: tells all who want to know. Cancellation waits until that is done."""
        for told, (_, on_stored) in enumerate(self.entries, 1):
            if on_stored is not None:
                on_stored()
            if told % TOLD_AT_ONCE == 0:
                await trio.lowlevel.cancel_shielded_checkpoint()


class Waiting:
    """The queue, in order of arrival."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._entries = deque[Entry]()

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Waiting: {len(self._entries)}, {self.size_bytes} bytes>"

    @property
    def is_full(self) -> bool:
        """Nothing more may be added that takes room."""
        return self.size_bytes >= LIMIT_BYTES

    def add(self, taken: Taken | None, on_stored: OnStored | None) -> None:
        """At the end; `taken` is None for somebody who only wants to be told when all before it
        is stored."""
        self._entries.append((taken, on_stored))
        if taken is not None:
            self.size_bytes += size_bytes(taken)

    def next_batch(self) -> Batch:
        """Takes the oldest, `BATCH_BYTES` of them or a little more."""
        entries = list[Entry]()
        taken_bytes = 0
        while self._entries and taken_bytes < BATCH_BYTES:
            entry = self._entries.popleft()
            entries.append(entry)
            taken_bytes += _size_bytes(entry)
        self.size_bytes -= taken_bytes
        return Batch(entries, taken_bytes)

    def put_back(self, batch: Batch) -> None:
        """A batch that could not be stored: ahead of what came meanwhile."""
        self._entries.extendleft(reversed(batch.entries))
        self.size_bytes += batch.size_bytes

    def drop_node(self, node_id: str) -> None:
        """Takes out what is of this node. Nobody is told that it is stored, for it is not."""
        self._entries = deque(entry for entry in self._entries if not _is_of(entry, node_id))
        self.size_bytes = sum(_size_bytes(entry) for entry in self._entries)


def _size_bytes(entry: Entry) -> int:
    taken, _ = entry
    return 0 if taken is None else size_bytes(taken)


def _is_of(entry: Entry, node_id: str) -> bool:
    taken, _ = entry
    return taken is not None and taken.node_id == node_id
