"""One node as it was at an instant, from close by: its row, its families, its inventory. Pure."""

from msgspec import structs

from shared.messages import FocusInventory, FocusUpdate, NodeAt
from tui.focus import Focus
from tui.node import Node, Profile
from tui.trail import Trail


class NodeThen:
    """The node that is looked at while one is in the past."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.at_wall_ms: int | None = None
        """Which instant is shown; None: no answer has come."""
        self.node: Node | None = None
        """None: no answer has come, or it was not known yet."""
        self.focus: Focus | None = None

    def __repr__(self) -> str:
        return f"<NodeThen {self.node_id} at {self.at_wall_ms}>"

    @property
    def is_answered(self) -> bool:
        """Whether any answer has come."""
        return self.at_wall_ms is not None

    def take(self, answer: NodeAt) -> None:
        """Shows what the master said of it."""
        at_ms = answer.at_wall_ms
        vitals = structs.replace(answer.vitals, seen_mono_ms=answer.vitals.seen_wall_ms)
        self.at_wall_ms = at_ms
        self.node = Node(Profile(answer.info), vitals)
        self.focus = Focus(self.node_id, Trail())
        self.focus.apply(FocusInventory(self.node_id, answer.inventory))
        for sample in answer.families:
            self.focus.apply(FocusUpdate(self.node_id, at_ms, sample.wall_ms, sample))

    def was_not_there(self, at_wall_ms: int) -> None:
        """The fleet had no such node yet."""
        self.at_wall_ms, self.node = at_wall_ms, None
        self.focus = Focus(self.node_id, Trail())
