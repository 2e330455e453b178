"""The fleet as a viewer knows it: a pure model of nodes, fed with snapshots and deltas.

Nothing here knows a screen or a clock: frames come in with the instant they were received, and
questions about age with the instant they are asked.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, assert_never

import msgspec
from msgspec import Raw, Struct

from shared.liveness import State
from shared.messages import Delta, NodeInfo, NodeVitals, Snapshot, raw
from tui.moment import MasterClock, Moment
from tui.node import Node, Profile, rank_of


class _First(Struct, array_like=True, gc=False):
    """The beginning of a `Core`."""

    cpu_busy_bp: int | None = None


_FIRST: Final[msgspec.msgpack.Decoder[_First | None]] = msgspec.msgpack.Decoder(_First | None)
_NOTHING: Final = raw(None)


def _order(node: Node) -> tuple[int, list[str | int], str]:
    """Problems first, then by name as people count."""
    return node.rank, node.profile.name_key, node.profile.node_id


class _Picture:
    """The nodes of one snapshot and what followed it, by the clock of the master that sent it."""

    __slots__ = ("clock", "nodes")

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.clock = MasterClock()


class Fleet:
    """Every node that the master knows, in order, problems first.

    A snapshot takes effect as a whole, when its last piece is there: until then the picture before
    it stays. Sorting and counting wait until somebody looks.
    """

    def __init__(self) -> None:
        self.is_current = False
        """Whether the picture is of the present: the link is live and its snapshot is complete."""
        self.behind_s = 0.0
        """How long the master last held the feed back because this viewer had not read on."""
        self._shown = _Picture()
        self._incoming: _Picture | None = None
        self._rows: list[Node] | None = []
        self._index: dict[str, int] = {}
        self._counts: list[tuple[str, int]] | None = []
        self.version = 0
        """Grows whenever a row may have to move: a node came, went, or changed in what it is."""

    def __repr__(self) -> str:
        return f"<Fleet of {len(self)}, {'current' if self.is_current else 'stale'}>"

    def __len__(self) -> int:
        return len(self._shown.nodes)

    def apply(self, message: Snapshot | Delta, received_s: float) -> None:
        """Takes in one frame of the feed, received at `received_s` on the viewer's clock."""
        match message:
            case Snapshot():
                self._apply_snapshot(message, received_s)
            case Delta():
                self._apply_delta(message, received_s)
            case _:
                assert_never(message)

    def link_lost(self) -> None:
        """The feed ended. The picture stays, as it was; half a snapshot is worth nothing."""
        self.is_current = False
        self.behind_s = 0.0
        self._incoming = None

    def moment(self, now_s: float, wall_ms: int) -> Moment:
        """The instant `now_s` on the viewer's monotonic clock and `wall_ms` on its wall clock."""
        return Moment(self._shown.clock.reading_ms(now_s), wall_ms)

    @property
    def rows(self) -> Sequence[Node]:
        """The nodes in order."""
        if self._rows is None:
            self._rows = sorted(self._shown.nodes.values(), key=_order)
            self._index = {node.profile.node_id: row for row, node in enumerate(self._rows)}
        return self._rows

    def node(self, node_id: str) -> Node | None:
        """A node as it is now; None: it is not in this fleet."""
        return self._shown.nodes.get(node_id)

    def still(self) -> "Fleet":
        """This fleet as it is now, for good."""
        copy = Fleet()
        copy._shown.nodes = dict(self._shown.nodes)
        copy._shown.clock = self._shown.clock
        copy._rows = copy._counts = None
        copy.is_current, copy.behind_s = self.is_current, self.behind_s
        return copy

    def row_of(self, node_id: str) -> int | None:
        """Where in `rows` a node is; None: it is not in this fleet."""
        return self._index.get(node_id) if self.rows else None

    @property
    def counts(self) -> Sequence[tuple[str, int]]:
        """How many nodes are in each state that any is in, the worst first."""
        if self._counts is None:
            counter = Counter(node.state for node in self._shown.nodes.values())
            self._counts = sorted(counter.items(), key=lambda item: (rank_of(item[0]), item[0]))
        return self._counts

    def _apply_snapshot(self, message: Snapshot, received_s: float) -> None:
        if self._incoming is None:
            self._incoming = _Picture()
        self._incoming.clock.heard(message.now_mono_ms, received_s)
        _merge(self._incoming.nodes, message.infos, message.vitals)
        if message.last:
            for node_id, node in self._incoming.nodes.items():
                if known := self._shown.nodes.get(node_id):
                    node.pulse = known.pulse
            self._shown, self._incoming = self._incoming, None
            self._moved()
            self.is_current = True

    def _apply_delta(self, message: Delta, received_s: float) -> None:
        picture = self._incoming or self._shown
        picture.clock.heard(message.now_mono_ms, received_s)
        moved = _merge(picture.nodes, message.infos, message.vitals)
        for node_id in message.gone:
            moved = picture.nodes.pop(node_id, None) is not None or moved
        if picture is not self._shown:
            return
        self.behind_s = message.behind_ms / 1000
        if moved:
            self._moved()
        elif self._rows is not None:
            for vitals in message.vitals:
                self._rows[self._index[vitals.node_id]] = picture.nodes[vitals.node_id]

    def _moved(self) -> None:
        self._rows = self._counts = None
        self.version += 1


def _merge(
    nodes: dict[str, Node], infos: Iterable[NodeInfo], changed: Iterable[NodeVitals]
) -> bool:
    """Takes news into `nodes`; whether any row may have to move, or be counted anew, for it."""
    moved = False
    for info in infos:
        known = nodes.get(info.node_id)
        vitals = known.vitals if known else _never_seen(info.node_id)
        pulse = known.pulse if known else None
        nodes[info.node_id] = Node(Profile(info), vitals, pulse)
        moved = True
    for vitals in changed:
        known = nodes.get(vitals.node_id)
        profile = known.profile if known else Profile(_nameless(vitals.node_id))
        node = nodes[vitals.node_id] = Node(profile, vitals, known.pulse if known else None)
        if known is None or vitals.seen_mono_ms != known.vitals.seen_mono_ms:
            node.pulse.add(_busy(vitals.core))
        moved = moved or known is None or (known.rank, known.state) != (node.rank, node.state)
    return moved


def _busy(core: Raw) -> int | None:
    """The first value of a sample, for a fraction of what decoding all of it costs."""
    try:
        value = _FIRST.decode(core)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value.cpu_busy_bp if value else None


def _never_seen(node_id: str) -> NodeVitals:
    return NodeVitals(node_id, State.NEVER_SEEN, "", 0, None, None, 0, _NOTHING)


def _nameless(node_id: str) -> NodeInfo:
    return NodeInfo(node_id, node_id, {}, "", "", "", 0)
