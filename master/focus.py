"""The node that one viewer looks at, and what of it that viewer has yet to be sent.

What is due is noted by name and read when it is sent: a viewer that does not read costs a set of
names, and then gets the latest of each.
"""

from typing import Final

import msgspec

from master.feed import message_frames
from master.node import NIL, Node
from shared.connection import TRANSFER_LIMIT_BYTES
from shared.messages import FocusInventory, FocusUpdate, Message, encode_body

INVENTORY: Final = ""
"""The inventory among the parts of a node; the others are families, whose names are not empty."""


class Focus:
    """One viewer's look at one node, from the moment it asked for it: everything is due."""

    __slots__ = ("_due", "node")

    def __init__(self, node: Node) -> None:
        self.node: Final = node
        self._due = dict.fromkeys((INVENTORY, *node.families))

    def __repr__(self) -> str:
        return f"<Focus on {self.node.name}, {len(self._due)} parts due>"

    @property
    def due(self) -> bool:
        """Whether there is something that the viewer has not been sent."""
        return bool(self._due)

    def note(self, part: str) -> None:
        """There is news of a part; what was noted first is sent first."""
        self._due[part] = None

    def take(self, now_s: float) -> list[bytes]:
        """The frames of the part that has been due for longest. Something must be `due`."""
        part = next(iter(self._due))
        del self._due[part]
        return part_of(self.node, part, now_s)


def part_of(node: Node, part: str, now_s: float) -> list[bytes]:
    """The message about one part of a node as it is now, as frames that fit an empty outbox.

    None are left of what a hostile agent has made too long to be passed on.
    """
    message: Message
    if part == INVENTORY:
        packed = NIL if node.inventory is None else msgspec.Raw(node.inventory)
        message = FocusInventory(node.node_id, packed)
    else:
        sample, seen_s = node.families[part]
        now_ms, seen_ms = int(now_s * 1000), int(seen_s * 1000)
        message = FocusUpdate(node.node_id, now_ms, seen_ms, sample)
    body = encode_body(message)
    return message_frames(message.kind, body) if len(body) <= TRANSFER_LIMIT_BYTES else []
