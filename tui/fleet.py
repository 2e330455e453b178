"""The fleet as a viewer knows it: a pure model of nodes, fed with snapshots and deltas.

Nothing here knows a screen or a clock: frames come in with the instant they were received, and
questions about age with the instant they are asked. What the master sends is cleaned again, and
decoded only when somebody looks at it; a sample that does not decode is a node without numbers.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, assert_never

import msgspec
from msgspec import Raw, Struct
from rich.cells import cell_len

from shared.liveness import SEVERITY, State
from shared.messages import Delta, NodeInfo, NodeVitals, Snapshot, Trouble, raw
from shared.metrics import Core
from shared.text import clean, clean_name

DRIFT_PER_S: Final = 0.001
"""How fast an old estimate of the master's clock gives way; real clocks drift ten times less."""

STALE_PERIODS: Final = 2.5
"""Numbers older than so many periods of their node are no longer how it is, only how it was."""

PULSE_BEATS: Final = 40
"""As many as the widest sparkline shows."""

_UNKNOWN_LEVEL: Final = 255

_CORE: Final[msgspec.msgpack.Decoder[Core | None]] = msgspec.msgpack.Decoder(Core | None)


class _First(Struct, array_like=True, gc=False):
    """The beginning of a `Core`."""

    cpu_busy_bp: int | None = None


_FIRST: Final[msgspec.msgpack.Decoder[_First | None]] = msgspec.msgpack.Decoder(_First | None)
_NO_CORE: Final = Core()
_NOTHING: Final = raw(None)
_DIGITS: Final = re.compile("([0-9]+)")

_RANKS: Final[Mapping[str, int]] = {state: 2 * rank for rank, state in enumerate(SEVERITY)}
_UNKNOWN_RANK: Final = _RANKS[State.AWAITED] + 1
"""A state that a newer master knows might be a problem: after those that certainly are."""

_ABSENT: Final = frozenset(
    {State.NEVER_SEEN, State.AWAITED, State.LOST, State.DOWN, State.LEFT, State.REVOKED}
)
"""States in which nothing is heard of a node, so that its numbers are not of today."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The instant for which a view is made."""

    master_mono_ms: float | None
    """On the master's monotonic clock, as estimated; None before its first frame."""
    wall_ms: int
    """The viewer's wall clock: for records of before the master's start, and to say when."""


class MasterClock:
    """An estimate of the master's monotonic clock, from the frames it stamped.

    A frame that was held up on its way shows a time that is too early, never one that is too late.
    So the frame that was delayed least is believed, and given up slowly in case a clock drifts.
    """

    __slots__ = ("_at_s", "_offset_ms")

    def __init__(self) -> None:
        self._offset_ms: float | None = None
        self._at_s = 0.0

    def heard(self, stamp_mono_ms: int, received_s: float) -> None:
        """A frame stamped `stamp_mono_ms` arrived at `received_s`, on the viewer's clock."""
        offset_ms = stamp_mono_ms - received_s * 1000
        if self._offset_ms is not None:
            elapsed_ms = (received_s - self._at_s) * 1000
            offset_ms = max(offset_ms, self._offset_ms - elapsed_ms * DRIFT_PER_S)
        self._offset_ms, self._at_s = offset_ms, received_s

    def reading_ms(self, now_s: float) -> float | None:
        """What the master's clock says at `now_s` on the viewer's; None before the first frame."""
        return None if self._offset_ms is None else now_s * 1000 + self._offset_ms


class Profile:
    """What is rarely news about a node, made ready to show. Shared by all versions of the node."""

    def __init__(self, info: NodeInfo) -> None:
        self.node_id = info.node_id
        self.name = clean_name(info.name, fallback=clean_name(info.node_id))
        self.name_key = natural_key(self.name)
        self.address = clean(info.address)
        self.os = clean(info.os)
        self.agent_version = clean(info.agent_version)
        self.note = clean(info.note)
        self.first_seen_wall_ms = info.first_seen_wall_ms
        self.labels = {clean(key): clean(value) for key, value in sorted(info.labels.items())}
        self.filesystems = tuple(clean(mount) for mount in info.filesystems)
        self.name_width = cell_len(self.name)
        self.mount_width = max(map(cell_len, self.filesystems), default=0)
        """Of the longest mount point. Widths are in cells of a terminal."""

    def __repr__(self) -> str:
        return f"<Profile {self.name}>"

    @cached_property
    def searchable(self) -> str:
        """Its texts, each on a line, without the difference of capitals."""
        labels = (f"{key}={value}" for key, value in self.labels.items())
        texts = (self.name, *labels, self.address, self.os, self.agent_version, self.note)
        return "\n".join(texts).casefold()


class Pulse:
    """How busy a node was in its latest beats, coarsely: a few bytes, for a fleet has many nodes.

    Shared by all versions of the node; the only thing of it that changes.
    """

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        self._levels = bytearray()

    def add(self, cpu_busy_bp: int | None) -> None:
        """Takes in one beat."""
        level = _UNKNOWN_LEVEL if cpu_busy_bp is None else min(cpu_busy_bp // 100, 100)
        self._levels.append(level)
        del self._levels[:-PULSE_BEATS]

    def ratios(self, count: int) -> tuple[float | None, ...]:
        """The latest `count` beats, the last one at the end; None where nothing is known."""
        levels = self._levels[-count:]
        known = tuple(None if level == _UNKNOWN_LEVEL else level / 100 for level in levels)
        return (None,) * (count - len(known)) + known


class Node:
    """One node at one version: what the master last said of it. Replaced, never changed."""

    def __init__(self, profile: Profile, vitals: NodeVitals, pulse: Pulse | None = None) -> None:
        self.profile = profile
        self.vitals = vitals
        self.pulse = pulse or Pulse()
        self.state = clean(vitals.state)
        """A `shared.liveness.State`, or the word of a newer master."""

    def __repr__(self) -> str:
        return f"<Node {self.profile.name} {self.state}>"

    @cached_property
    def rank(self) -> int:
        """Where it stands among problems; the lowest is the worst. What is degraded, or comes and
        goes, stands before what is not."""
        is_worse = self.is_degraded or self.vitals.flapping
        return _RANKS.get(self.state, _UNKNOWN_RANK) - is_worse

    @property
    def is_degraded(self) -> bool:
        """Whether something about it is not as it should be, whatever its state."""
        return bool(self.vitals.troubles) or self.vitals.conflict

    @cached_property
    def troubles(self) -> Sequence[Trouble]:
        """Families that are not being measured as they should be, cleaned."""
        return tuple(
            Trouble(clean(t.family), clean(t.state), t.age_s, clean(t.text))
            for t in self.vitals.troubles
        )

    @property
    def is_problem(self) -> bool:
        """Whether somebody should look: it stands before those that are simply up."""
        return self.rank < _RANKS[State.UP]

    @cached_property
    def reason(self) -> str:
        """Why it is in its state, and what else is wrong; empty when there is nothing to say."""
        remarks = [self.vitals.reason]
        if self.vitals.conflict:
            remarks.append("identity in use twice")
        remarks += [f"{t.family} {t.state}: {t.text}" for t in self.vitals.troubles]
        return clean(" · ".join(filter(None, remarks)))

    @cached_property
    def searchable(self) -> str:
        """All of its texts in one, without the difference of capitals: for finding it."""
        flapping = " flapping" * self.vitals.flapping
        return f"{self.profile.searchable}\n{self.state}{flapping}\n{self.reason.casefold()}"

    @cached_property
    def core(self) -> Core:
        """The latest sample; without values before the first, and if it cannot be read."""
        try:
            return _CORE.decode(self.vitals.core) or _NO_CORE
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _NO_CORE

    @property
    def fullest_filesystem(self) -> str:
        """The mount point of the filesystem in `core.filesystem_used_max_bp`; empty if unknown."""
        index = self.core.filesystem_fullest
        mounts = self.profile.filesystems
        return mounts[index] if index is not None and index < len(mounts) else ""

    def age_s(self, moment: Moment) -> float | None:
        """Seconds since the last sign of life; None when there never was one."""
        seen_mono_ms, seen_wall_ms = self.vitals.seen_mono_ms, self.vitals.seen_wall_ms
        if seen_mono_ms is not None and moment.master_mono_ms is not None:
            return max(0.0, (moment.master_mono_ms - seen_mono_ms) / 1000)
        if seen_wall_ms is not None:
            return max(0.0, (moment.wall_ms - seen_wall_ms) / 1000)
        return None

    def is_stale(self, moment: Moment) -> bool:
        """Whether its numbers are history."""
        if self.state in _ABSENT:
            return True
        age_s = self.age_s(moment)
        return age_s is None or age_s * 1000 > STALE_PERIODS * self.vitals.period_ms


def _order(node: Node) -> tuple[int, list[str | int], str]:
    """Problems first, then by name as people count."""
    return node.rank, node.profile.name_key, node.profile.node_id


def natural_key(name: str) -> list[str | int]:
    """A key that sorts digits by value, `web-2` before `web-10`. Any two such keys compare."""
    pieces: list[str | int] = [*_DIGITS.split(name.casefold())]
    pieces[1::2] = [int(digits) for digits in pieces[1::2]]
    return pieces


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
            self._counts = sorted(
                counter.items(), key=lambda item: (_RANKS.get(item[0], _UNKNOWN_RANK), item[0])
            )
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
