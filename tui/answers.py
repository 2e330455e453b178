"""What a recording has told of single nodes so far: the answers of a master that is not there.

Whoever opens a node while a recording is played is told what was last heard of it. It keeps no more
than the recording holds, whose size is limited. Pure.
"""

from collections.abc import Iterator, Sequence

from msgspec import structs

from shared import messages as m
from shared.frames import LINK_FRAME_LIMIT_BYTES
from tui.outages import OUTAGES_ASKED
from tui.recording import FLEET_OUTAGES_ASKED, FLEET_REQUEST


class _Known:
    """Of one node."""

    __slots__ = ("detail", "families", "inventory", "outages")

    def __init__(self) -> None:
        self.families: dict[str, m.FocusUpdate] = {}
        self.inventory: m.FocusInventory | None = None
        self.detail: m.NodeDetail | None = None
        self.outages: dict[int, m.Outage] = {}


class Answers:
    """Learns from what is played, and answers by it."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Known] = {}
        self._knows_all_outages = False

    def __repr__(self) -> str:
        return f"<Answers about {len(self._nodes)} nodes>"

    def learn(self, message: m.FromMaster) -> None:
        """Takes in what is being played."""
        match message:
            case m.FocusUpdate(node_id=node_id, sample=sample):
                self._known(node_id).families[sample.family] = message
            case m.FocusInventory(node_id=node_id):
                self._known(node_id).inventory = message
            case m.NodeDetail(info=info):
                self._known(info.node_id).detail = message
            case m.Outages(outages=outages):
                for outage in outages:
                    self._known(outage.node_id).outages[outage.number] = outage
                if message.request == FLEET_REQUEST:
                    self._knows_all_outages = _is_whole(message)
            case _:
                pass

    def to(self, question: m.FromViewer) -> Iterator[m.FromMaster]:
        """What is known; nothing where nothing was recorded."""
        match question:
            case m.FocusNode(node_id=node_id):
                known = self._nodes.get(node_id, _Known())
                if known.inventory is not None:
                    yield known.inventory
                yield from known.families.values()
            case m.GetNode(request=request, node=node_id):
                known = self._nodes.get(node_id, _Known())
                if known.detail is not None:
                    yield structs.replace(known.detail, request=request)
            case m.ListOutages(request=request, node=node_id):
                outages = self.outages_of(node_id)
                if outages is not None:
                    yield m.Outages(request, tuple(outages))
            case _:
                pass

    def outages_of(self, node_id: str) -> Sequence[m.Outage] | None:
        """Its newest outages, oldest first; None: none were recorded, though there may be some."""
        known = self._nodes.get(node_id, _Known())
        if not known.outages and not self._knows_all_outages:
            return None
        return [known.outages[number] for number in sorted(known.outages)][-OUTAGES_ASKED:]

    def _known(self, node_id: str) -> _Known:
        return self._nodes.setdefault(node_id, _Known())


def _is_whole(answer: m.Outages) -> bool:
    """Whether nothing was left out of it for its number or its length."""
    size_bytes = len(m.encode_body(answer))
    return len(answer.outages) < FLEET_OUTAGES_ASKED and size_bytes < LINK_FRAME_LIMIT_BYTES // 2
