"""Which columns of the fleet table fit a screen, and where they go. Pure; widths are in cells."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len

from tui.columns import PERCENT_WIDTH, Column, badge_width, has_meter
from tui.view import Group, Row

METER_MOST: Final = 24
"""A meter gains nothing by more cells of what is left."""


class Placed(NamedTuple):
    """A column at its place on the screen."""

    column: Column
    x: int
    width: int


_FIRST_GROWN: Final = ("state", "name", "fullest")
"""Who is given spare room before anybody else: texts, which would be cut."""

_METERS: Final = ("cpu", "memory")
"""They grow together, to meters of one length, and take what room is left in the end."""

_LAST_GROWN: Final = ("uptime", "trail", "labels", "note")

_GAP: Final = 1
_WIDE_GAP: Final = 2
_WIDE_FROM: Final = 100
_INDENT: Final = 1


def fit(columns: Sequence[Column], width: int, content: Mapping[str, int]) -> tuple[Placed, ...]:
    """Where the columns go in `width` cells: those that fit, grown as far as there is room.

    `content` is how wide a column's widest content is, by its key, for those where that is known.
    """
    gap = _WIDE_GAP if width >= _WIDE_FROM else _GAP
    most = {c.key: max(len(c.title), min(c.most, content.get(c.key, c.most))) for c in columns}
    row = _Row(most, width - _INDENT + gap, gap)
    row.keep([column for column in columns if not column.is_extra])
    row.grow(_FIRST_GROWN)
    row.grow_together(_METERS)
    if all(column.is_extra or column.key in row.widths for column in columns):
        row.keep([column for column in columns if column.is_extra])
    row.grow(_LAST_GROWN)
    meters = [key for key in _METERS if has_meter(row.widths.get(key, 0))]
    for key in meters:
        row.widths[key] += min(METER_MOST, row.spare // len(meters))
    return tuple(_placed(columns, row.widths, gap))


class _Row:
    """The widths of the columns so far, and what is left of the line."""

    def __init__(self, most: Mapping[str, int], spare: int, gap: int) -> None:
        self.widths: dict[str, int] = {}
        self.spare = spare
        self._most = most
        self._gap = gap

    def keep(self, columns: Iterable[Column]) -> None:
        """Takes in the columns that fit at their least, the most important first."""
        for column in sorted(columns, key=lambda column: column.leaves):
            least = min(column.least, self._most[column.key])
            if column.leaves and least + self._gap > self.spare:
                break
            self.widths[column.key] = least
            self.spare -= least + self._gap

    def grow(self, keys: Iterable[str]) -> None:
        """Gives each in turn as much as it can use."""
        for key in keys:
            if key in self.widths:
                more = max(0, min(self._most[key] - self.widths[key], self.spare))
                self.widths[key] += more
                self.spare -= more

    def grow_together(self, keys: Iterable[str]) -> None:
        """Gives all of them the same, where that is enough for a meter."""
        known = [key for key in keys if key in self.widths]
        each = self.spare // max(1, len(known))
        for key in known:
            more = max(0, min(self._most[key] - self.widths[key], each))
            if has_meter(self.widths[key] + more):
                self.widths[key] += more
                self.spare -= more


def _placed(columns: Iterable[Column], widths: Mapping[str, int], gap: int) -> Iterator[Placed]:
    x = _INDENT
    for column in columns:
        if column.key in widths:
            yield Placed(column, x, widths[column.key])
            x += widths[column.key] + gap


def content_widths(rows: Sequence[Row]) -> dict[str, int]:
    """How wide the columns need to be whose content differs most from fleet to fleet."""
    nodes = [row for row in rows if not isinstance(row, Group)]
    titles = [cell_len(row.title) + 2 for row in rows if isinstance(row, Group)]
    return {
        "state": max(map(badge_width, nodes), default=8),
        "name": max([*(node.profile.name_width for node in nodes), *titles], default=0),
        "fullest": PERCENT_WIDTH + 1 + max((n.profile.mount_width for n in nodes), default=0),
    }
