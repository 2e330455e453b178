"""Who looks at which node, and what that asks of the node's agent.

While somebody has a node in focus, its agent is asked to beat every second and to send its process
table every two. The request is a lease, renewed for as long as somebody looks: a viewer, a link or
a master that vanishes leaves nothing behind. All viewers of a node share one request, and see what
arrives whether the agent grants it or not.

Looking is not to make a node look dead: the detector's margins stay those of the ordinary cadence,
from the beat that is missing on.

The viewers and the links are those of this master. Where a node's agent is linked to another one,
that one has to be told that somebody looks, as if it were a viewer.
"""

from typing import Final, Protocol

import trio

from master.focus import INVENTORY, Focus, part_of
from master.node import Node
from master.registry import Registry
from shared.messages import Attend

PERIOD_MS: Final = 1_000
"""Between two beats of a node that somebody looks at."""

DETAIL_MS: Final = 2_000
"""Between two process tables: as often as people can read them."""

LEASE_MS: Final = 10_000
"""How long an agent keeps it up unasked: a request may get lost and the next one be late."""

REPEAT_S: Final = 4.0
"""Between two requests."""


class Onlooker(Protocol):
    """A viewer's session, as this sees it."""

    focus: Focus | None

    def show(self, part: str, frames: list[bytes]) -> None:
        """There is news of a part of the node in focus: take the frames, or note the part. Must not
        wait."""
        ...

    def catch_up(self) -> None:
        """Something of the focus is due."""
        ...


class Attention:
    """Every viewer's focus, and the requests that follow from them."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._onlookers: dict[Node, dict[Onlooker, None]] = {}

    def __repr__(self) -> str:
        return f"<Attention to {len(self._onlookers)} nodes>"

    def focus(self, onlooker: Onlooker, node_id: str) -> None:
        """Turns a viewer to the node with this id, from the one that it looked at before.

        An empty id, or one that is not known, turns it to none.
        """
        node = self._registry.get(node_id)
        if onlooker.focus is not None and onlooker.focus.node is not node:
            self.leave(onlooker)
        if node is None:
            return
        onlooker.focus = Focus(node)
        onlooker.catch_up()
        onlookers = self._onlookers.setdefault(node, {})
        is_first = not onlookers
        onlookers[onlooker] = None
        if is_first:
            self._set_watched(node, LEASE_MS)

    def leave(self, onlooker: Onlooker) -> None:
        """The viewer looks at nothing any more, or is gone."""
        focus, onlooker.focus = onlooker.focus, None
        if focus is None:
            return
        onlookers = self._onlookers[focus.node]
        del onlookers[onlooker]
        if not onlookers:
            del self._onlookers[focus.node]
            self._set_watched(focus.node, 0)

    def linked(self, node: Node) -> None:
        """The node has a new link, whose agent knows of nobody that looks."""
        if node in self._onlookers:
            _ask(node, LEASE_MS)

    def family_arrived(self, node: Node, family: str) -> None:
        """There is news of a family."""
        self._show(node, family)

    def inventory_arrived(self, node: Node) -> None:
        """There is news of the inventory."""
        self._show(node, INVENTORY)

    async def run(self) -> None:
        """Renews the leases, for ever."""
        while True:
            await trio.sleep(REPEAT_S)
            for node in self._onlookers:
                _ask(node, LEASE_MS)

    def _show(self, node: Node, part: str) -> None:
        onlookers = self._onlookers.get(node)
        if onlookers:
            frames = part_of(node, part, trio.current_time())  # encoded once for all of them
            for onlooker in onlookers:
                onlooker.show(part, frames)

    def _set_watched(self, node: Node, lease_ms: int) -> None:
        node.watched_period_ms = PERIOD_MS if lease_ms else None
        self._registry.vitals_changed(node)
        _ask(node, lease_ms)


def _ask(node: Node, lease_ms: int) -> None:
    # Of a session that has ended the link takes nothing more, and the next one is asked anew.
    if node.session is not None:
        node.session.link.post(Attend(PERIOD_MS, DETAIL_MS, lease_ms))
