"""What waits to be written on one link: two lanes, bounded, a beat before any bulk.

The urgent lane holds beats, acknowledgements, pings and farewells; the bulk lane everything long,
cut into pieces (`Connection.send_bulk`), so that an urgent frame waits for one piece at most. When
a lane is full `put` says so and keeps nothing: the owner decides (drop the sample, coalesce, end
the link).
"""

from collections.abc import Iterable
from typing import Final

URGENT_LIMIT_BYTES: Final = 64 * 1024
"""More than a hundred unsent beats: by then the write timeout has long ended the link."""

BULK_LIMIT_BYTES: Final = 512 * 1024
"""Two of the longest messages; what does not fit is measured anew later anyway."""


class Outbox:
    """Frames in the order they have to be written.

    `head` stays the same until `written` is called, even when something more urgent arrives in
    between: TLS requires that a refused write be repeated with the same bytes. The head counts in
    `pending_bytes`, and no longer against its lane's limit.
    """

    __slots__ = ("_bulk", "_bulk_room", "_head", "_urgent", "_urgent_room", "pending_bytes")

    def __init__(
        self, urgent_limit_bytes: int = URGENT_LIMIT_BYTES, bulk_limit_bytes: int = BULK_LIMIT_BYTES
    ) -> None:
        # Not deques, although they are taken from in front: an empty deque is 760 bytes, and every
        # link has two. What waits is bounded, and next to nothing on nearly every link.
        self._urgent: list[bytes] = []
        self._bulk: list[bytes] = []
        self._urgent_room = urgent_limit_bytes
        self._bulk_room = bulk_limit_bytes
        self._head: bytes | None = None
        self.pending_bytes = 0
        """Bytes accepted and not yet written, in both lanes."""

    def __repr__(self) -> str:
        waiting = f"{len(self._urgent)} urgent, {len(self._bulk)} bulk"
        return f"<Outbox {waiting}, {self.pending_bytes} B>"

    def __bool__(self) -> bool:
        return self.pending_bytes > 0

    def put(self, frame: bytes) -> bool:
        """Takes an urgent frame; False, and nothing taken, when the lane is full."""
        if len(frame) > self._urgent_room:
            return False
        self._urgent.append(frame)
        self._urgent_room -= len(frame)
        self.pending_bytes += len(frame)
        return True

    def put_bulk(self, frames: Iterable[bytes]) -> bool:
        """Takes all pieces of one message, or none: False when they do not fit."""
        pieces = list(frames)
        size = sum(map(len, pieces))
        if size > self._bulk_room:
            return False
        self._bulk.extend(pieces)
        self._bulk_room -= size
        self.pending_bytes += size
        return True

    def head(self) -> bytes | None:
        """What has to be written next, or None when nothing waits."""
        if self._head is None:
            if self._urgent:
                self._head = self._urgent.pop(0)
                self._urgent_room += len(self._head)
            elif self._bulk:
                self._head = self._bulk.pop(0)
                self._bulk_room += len(self._head)
        return self._head

    def written(self) -> None:
        """The head has been written whole.

        Raises:
            ValueError: `head` was not called since the last time.
        """
        if self._head is None:
            raise ValueError("nothing was taken from this outbox")
        self.pending_bytes -= len(self._head)
        self._head = None
