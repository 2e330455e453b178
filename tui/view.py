"""Which nodes of the fleet are shown, in which order, and under which headings.

Pure. What the user has asked for is an `Arrangement`; a `View` applies it to a fleet. Rows that
stand in an order of values are put in order once a second at most: they would be hard to read
otherwise, and cost more. Their values are always the latest.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from tui.filters import EVERYTHING, Filter
from tui.fleet import Fleet
from tui.measures import MEASURES, Measure, Total
from tui.moment import Moment
from tui.node import Node, natural_key

REORDER_S: Final = 1.0
"""How long rows stay where they are while values change."""

UNLABELLED: Final = ""
"""The group of those that have no such label."""

UNFOLDED: Final[frozenset[str]] = frozenset()

MEASURE_OF: Final[Mapping[str, str]] = {
    "cpu": "cpu",
    "trail": "cpu",
    "memory": "mem",
    "swap": "swap",
    "load": "load",
    "per-core": "load/core",
    "fullest": "disk",
    "temperature": "temp",
    "received": "in",
    "sent": "out",
    "uptime": "up",
    "age": "age",
}
"""What a column is sorted by, where that is a measure: the largest first."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What the user has asked for."""

    order: str = ""
    """The key of a column; empty: problems first, then names."""
    is_reversed: bool = False
    filter: Filter = EVERYTHING
    is_faults_only: bool = False
    group: str = ""
    """A label; empty: no groups."""
    folded: frozenset[str] = UNFOLDED
    """Groups of which only the heading is shown."""

    @property
    def is_plain(self) -> bool:
        """Whether the fleet is shown as it stands."""
        return not (self.order or self.filter or self.is_faults_only or self.group)

    @property
    def is_lasting(self) -> bool:
        """Whether new numbers leave every row in its place."""
        is_by_value = self.order in MEASURE_OF
        return self.filter.is_lasting and not self.group and not is_by_value


class Group:
    """A heading, and the nodes beneath it as they were when the rows were last put in order."""

    def __init__(self, label: str, value: str, nodes: Sequence[Node], *, is_folded: bool) -> None:
        self.value = value
        self.nodes = nodes
        self.is_folded = is_folded
        self.title = f"{label}={value}" if value else f"no {label}"
        self._live: list[Node] | None = None
        self._totals: dict[str, float | None] = {}

    def __repr__(self) -> str:
        return f"<Group {self.title} of {len(self.nodes)}>"

    def total(self, measure: Measure, moment: Moment) -> float | None:
        """What its nodes have of a measure together, without those whose numbers are history.

        Answered once: a group is made anew whenever rows are put in order.
        """
        if measure.key not in self._totals:
            if self._live is None:
                self._live = [node for node in self.nodes if not node.is_stale(moment)]
            values = (measure.value(node, moment) for node in self._live)
            self._totals[measure.key] = summed([v for v in values if v is not None], measure.total)
        return self._totals[measure.key]


def summed(values: Sequence[float], total: Total) -> float | None:
    """Values together; None where there are none."""
    if not values:
        return None
    match total:
        case Total.MEAN:
            return sum(values) / len(values)
        case Total.SUM:
            return sum(values)
        case Total.MOST:
            return max(values)


Row: TypeAlias = Node | Group


def key_of(row: Row) -> str:
    """What a row is remembered by."""
    return f"group {row.value}" if isinstance(row, Group) else row.profile.node_id


class View:
    """The rows of a fleet as arranged."""

    def __init__(self) -> None:
        self.arrangement = Arrangement()
        self.rows: Sequence[Row] = ()
        self.version = 0
        """Grows whenever another row may stand in some place."""
        self.shown = 0
        """How many nodes have come through the filters, under folded headings too."""
        self._fleet: Fleet | None = None
        self._fleet_version = -1
        self._arranged: Arrangement | None = None
        self._arranged_at_s = 0.0
        self._index: dict[str, int] | None = None

    def __repr__(self) -> str:
        return f"<View of {len(self.rows)} rows>"

    def sync(self, fleet: Fleet, moment: Moment, now_s: float) -> None:
        """Takes in the fleet as it is, at `now_s` on the viewer's clock."""
        is_changed = (
            fleet is not self._fleet
            or fleet.version != self._fleet_version
            or self.arrangement != self._arranged
        )
        is_due = not self.arrangement.is_lasting and now_s - self._arranged_at_s >= REORDER_S
        if is_changed or is_due:
            self._fleet, self._fleet_version = fleet, fleet.version
            self._arranged, self._arranged_at_s = self.arrangement, now_s
            self._arrange(fleet, moment)

    def at(self, number: int) -> Row:
        """The row at a place, with the values of now."""
        row = self.rows[number]
        if isinstance(row, Group) or self._fleet is None:
            return row
        return self._fleet.node(row.profile.node_id) or row

    def row_of(self, key: str) -> int | None:
        """Where a row is; None: it is not shown."""
        if self._index is None:
            self._index = {key_of(row): number for number, row in enumerate(self.rows)}
        return self._index.get(key)

    def _arrange(self, fleet: Fleet, moment: Moment) -> None:
        wanted = self.arrangement
        self.version += 1
        self._index = None
        if wanted.is_plain:
            self.rows, self.shown = fleet.rows, len(fleet)
            return
        nodes = [
            node
            for node in fleet.rows
            if (not wanted.is_faults_only or node.is_problem)
            and (not wanted.filter or wanted.filter.matches(node, moment))
        ]
        self.shown = len(nodes)
        ordered = in_order(nodes, wanted.order, moment, is_reversed=wanted.is_reversed)
        self.rows = list(_grouped(ordered, wanted)) if wanted.group else ordered


def in_order(
    nodes: Sequence[Node], order: str, moment: Moment, *, is_reversed: bool = False
) -> list[Node]:
    """`nodes` by a column; what is equal stays as it was, what is not known comes last."""
    if measure := MEASURES.get(MEASURE_OF.get(order, "")):
        valued = [(measure.value(node, moment), node) for node in nodes]
        known = [(value, node) for value, node in valued if value is not None]
        known.sort(key=lambda pair: pair[0], reverse=not is_reversed)
        return [node for _, node in known] + [node for value, node in valued if value is None]
    if text := _TEXTS.get(order):
        return sorted(nodes, key=text, reverse=is_reversed)
    return list(reversed(nodes)) if is_reversed else list(nodes)


_TEXTS: Final[Mapping[str, Callable[[Node], list[str | int]]]] = {
    "name": lambda node: node.profile.name_key,
    "labels": lambda node: natural_key(
        " ".join(f"{key}={value}" for key, value in node.profile.labels.items())
    ),
    "note": lambda node: natural_key(node.reason),
}


def labels_of(nodes: Iterable[Node]) -> list[str]:
    """The labels that any of `nodes` has, by which they could be grouped."""
    return sorted({label for node in nodes for label in node.profile.labels})


def _grouped(nodes: Sequence[Node], wanted: Arrangement) -> Iterator[Row]:
    """Headings and what stands beneath them: the group with the worst node first."""
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        groups.setdefault(node.profile.labels.get(wanted.group, UNLABELLED), []).append(node)
    worst = {value: min(node.rank for node in inside) for value, inside in groups.items()}
    for value in sorted(groups, key=lambda value: (worst[value], natural_key(value))):
        is_folded = value in wanted.folded
        yield Group(wanted.group, value, groups[value], is_folded=is_folded)
        if not is_folded:
            yield from groups[value]
