"""The table of nodes: paints the rows on the screen, however many there are beyond it.

`sync` is the only way in: it draws the visible rows anew, compares them with what was painted and
repaints the cells that differ. A beat that shows nothing new costs no output, nor does a resort
that moves nothing on the screen. The cursor is on a node, not on a line: where its node goes, it
goes.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final, NamedTuple

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.cells import cells
from tui.columns import DEFAULT, chosen
from tui.look import Sight
from tui.moment import Moment
from tui.node import Node
from tui.placement import Placed, content_widths, fit
from tui.tones import Piece, Pieces
from tui.view import Group, Row, View, key_of
from tui.widgets.toned import TONE_CLASSES, background, padded, toned, width_of

_TITLE_LINES: Final = 1
_CURSOR_MARK: Final = "▌"
_MARGIN: Final = 1
"""Between the last column and the scroll bar."""


class _Line(NamedTuple):
    """What is painted on one line."""

    key: str
    has_cursor: bool
    cells: tuple[Pieces, ...]


class FleetTable(ScrollView, can_focus=True):
    """One row per node, or per heading of a group of them.

    Until the cursor is moved it stays on the first row, so that the worst node is the one in sight.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *TONE_CLASSES,
        "fleet-table--cursor",
        "fleet-table--title",
    }

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", key_display="⏎"),
        Binding("less_than_sign", "order(-1)", "Sort by the column before", show=False),
        Binding("greater_than_sign", "order(1)", "Sort by the next column", show=False),
        Binding("O", "reverse", "Sort the other way round", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False),
        Binding("home", "first", "First", show=False),
        Binding("end", "last", "Last", show=False),
    ]

    class Opened(Message):
        """The user wants to see the node under the cursor from close by."""

    class Folded(Message):
        """The user wants a group without its nodes, or with them again."""

        def __init__(self, group: Group) -> None:
            super().__init__()
            self.group = group

    class Ordered(Message):
        """The user wants the rows by a column; empty: problems first."""

        def __init__(self, order: str, *, is_reversed: bool) -> None:
            super().__init__()
            self.order = order
            self.is_reversed = is_reversed

    class CursorMoved(Message):
        """The cursor is on another row now."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.columns = chosen(DEFAULT)
        self._view = View()
        self._rows: Sequence[Row] = ()
        """As of the last `sync`: the view itself may have gone on since."""
        self._version = -1
        self._order = ""
        self._is_reversed = False
        self._is_current = False
        self._sight = Sight(Moment(None, 0))
        self._nothing: tuple[str, ...] = ()
        self._placed: tuple[Placed, ...] = ()
        self._painted: dict[int, _Line] = {}
        self._cursor_id: str | None = None
        self._cursor_row = 0
        self._cursor_was_moved = False

    @property
    def cursor_node(self) -> Node | None:
        """The node under the cursor; None: there is none, or the cursor is on a heading."""
        row = self._latest(self._cursor_row) if self._rows else None
        return None if isinstance(row, Group) else row

    @property
    def cursor_group(self) -> Group | None:
        """The heading under the cursor."""
        row = self._rows[self._cursor_row] if self._rows else None
        return row if isinstance(row, Group) else None

    def sync(self, view: View, sight: Sight, nothing: Iterable[str], *, is_current: bool) -> None:
        """Shows the rows of `view` as they are seen now; the lines of `nothing` while it has none.

        `is_current` is whether the picture is of the present.
        """
        was_nothing, was_order = self._nothing, (self._order, self._is_reversed)
        self._is_current, self._sight, self._nothing = is_current, sight, tuple(nothing)
        self._order, self._is_reversed = view.arrangement.order, view.arrangement.is_reversed
        self._view, self._rows = view, view.rows
        if view.version != self._version:
            self._version = view.version
            self._follow_cursor(view)
            self._lay_out()
        if was_order != (self._order, self._is_reversed):
            self.refresh(Region(0, 0, self.content_size.width, _TITLE_LINES))
        if not self._rows and self._nothing != was_nothing:
            self.refresh()
        self._repaint()

    def show_columns(self, keys: Iterable[str]) -> None:
        """Shows these columns from now on, in this order, as far as they fit."""
        self.columns = chosen(keys)
        self._lay_out()

    def put_cursor_on(self, node_id: str, view: View) -> None:
        """Moves the cursor to a node, if it is shown."""
        row = view.row_of(node_id)
        if row is not None:
            self._put_cursor(row)

    def render_line(self, y: int) -> Strip:
        """See `textual.widget.Widget.render_line`."""
        width = self.content_size.width
        if y < _TITLE_LINES:
            return self._title_strip(width)
        row = self._line_at(y)
        if row is None:
            return self._nothing_strip(y, width)
        self._painted[y] = row
        return self._line_strip(row, width)

    def on_resize(self, _event: events.Resize) -> None:
        """Other columns fit now."""
        self._lay_out()
        self._reveal_cursor()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Every line shows another row now; the scroll view repaints them all."""
        self._painted.clear()
        super().watch_scroll_y(old_value, new_value)

    def on_click(self, event: events.Click) -> None:
        """The cursor goes where the mouse points, twice opens the node; titles sort."""
        if event.y < _TITLE_LINES:
            self._click_title(event.x)
            return
        if self._row_number(event.y) < len(self._rows):
            self._put_cursor(self._row_number(event.y))
            if event.chain > 1:
                self.action_open()

    def action_open(self) -> None:
        """Asks for the node under the cursor; folds and unfolds a group."""
        if (group := self.cursor_group) is not None:
            self.post_message(self.Folded(group))
        elif self._rows:
            self.post_message(self.Opened())

    def action_order(self, columns: int) -> None:
        """Sorts by the column so many to the right; beyond the ends, problems first."""
        keys = ["", *(column.key for column in self.columns if column.key != "state")]
        place = keys.index(self._order) if self._order in keys else 0
        self.post_message(self.Ordered(keys[(place + columns) % len(keys)], is_reversed=False))

    def action_reverse(self) -> None:
        """Sorts by the same column the other way round."""
        self.post_message(self.Ordered(self._order, is_reversed=not self._is_reversed))

    def action_move(self, rows: int) -> None:
        """Moves the cursor down by so many rows, or up."""
        self._put_cursor(self._cursor_row + rows)

    def action_page(self, pages: int) -> None:
        """Moves the cursor down by as many rows as are in sight, or up."""
        self._put_cursor(self._cursor_row + pages * max(1, self._lines_for_rows - 1))

    def action_first(self) -> None:
        """Moves the cursor to the first row."""
        self._put_cursor(0)

    def action_last(self) -> None:
        """Moves the cursor to the last row."""
        self._put_cursor(len(self._rows) - 1)

    # --- the cursor ------------------------------------------------------------------------------

    def _click_title(self, x: int) -> None:
        for column, start, width in self._placed:
            if start <= x < start + width:
                key = "" if column.key == "state" else column.key
                is_again = key == self._order
                is_reversed = is_again and not self._is_reversed
                self.post_message(self.Ordered(key, is_reversed=is_reversed))

    def _put_cursor(self, row: int) -> None:
        if not self._rows:
            return
        self._cursor_row = min(max(row, 0), len(self._rows) - 1)
        self._cursor_id = key_of(self._rows[self._cursor_row])
        self._cursor_was_moved = True
        self._reveal_cursor()
        self._repaint()
        self.post_message(self.CursorMoved())

    def _follow_cursor(self, view: View) -> None:
        """Keeps the cursor on its node after a resort, and in sight if it was.

        If the node is gone, the cursor stays on its line, on the node that is there now.
        """
        rows, top = self._rows, self.scroll_offset.y
        was_in_sight = top <= self._cursor_row < top + self._lines_for_rows
        row = view.row_of(self._cursor_id) if self._cursor_id else None
        if not self._cursor_was_moved:
            row = 0
        elif row is None:
            row = self._cursor_row
        self._cursor_row = max(0, min(row, len(rows) - 1))
        self._cursor_id = key_of(rows[self._cursor_row]) if rows else None
        if was_in_sight:
            self.call_after_refresh(self._reveal_cursor)

    def _reveal_cursor(self) -> None:
        """Scrolls as little as it takes to have the cursor in sight."""
        top, height = self.scroll_offset.y, self._lines_for_rows
        if self._cursor_row < top:
            self.scroll_to(y=self._cursor_row, animate=False)
        elif self._cursor_row >= top + height:
            self.scroll_to(y=self._cursor_row - height + 1, animate=False)

    # --- what is where ---------------------------------------------------------------------------

    @property
    def _lines_for_rows(self) -> int:
        return max(0, self.content_size.height - _TITLE_LINES)

    def _row_number(self, y: int) -> int:
        return y - _TITLE_LINES + self.scroll_offset.y

    def _lay_out(self) -> None:
        width = self.scrollable_content_region.width
        self.virtual_size = Size(width, len(self._rows) + _TITLE_LINES)
        placed = fit(self.columns, width - _MARGIN, content_widths(self._rows))
        if placed != self._placed:
            self._placed = placed
            self._painted.clear()
            self.refresh()

    def _latest(self, number: int) -> Row:
        return self._view.at(number) if self._view.rows is self._rows else self._rows[number]

    def _line_at(self, y: int) -> _Line | None:
        number = self._row_number(y)
        if number >= len(self._rows):
            return None
        row = self._latest(number)
        drawn = cells(row, self._sight, self._placed, is_current=self._is_current)
        return _Line(key_of(row), number == self._cursor_row, drawn)

    def _repaint(self) -> None:
        """Marks what differs from what was painted."""
        width = self.content_size.width
        for y in range(_TITLE_LINES, self.content_size.height):
            before, now = self._painted.get(y), self._line_at(y)
            if before == now:
                continue
            if before is None or now is None or before.has_cursor != now.has_cursor:
                self._painted.pop(y, None)
                self.refresh(Region(0, y, width, 1))
                continue
            changed = zip(self._placed, before.cells, now.cells, strict=True)
            self.refresh(
                *(Region(place.x, y, place.width, 1) for place, old, new in changed if old != new)
            )

    # --- painting --------------------------------------------------------------------------------

    def _line_strip(self, row: _Line, width: int) -> Strip:
        beneath = background(self)
        if row.has_cursor:
            beneath += self.get_component_rich_style("fleet-table--cursor", partial=True)
        segments = [Segment(_CURSOR_MARK if row.has_cursor else " ", beneath)]
        x = 1
        for place, pieces in zip(self._placed, row.cells, strict=True):
            slack = place.width - width_of(pieces)
            indent = place.x - x + (slack if place.column.is_number else 0)
            segments.append(Segment(" " * indent, beneath))
            segments += toned(self, pieces, beneath)
            segments.append(Segment(" " * (0 if place.column.is_number else slack), beneath))
            x = place.x + place.width
        return padded(segments, width, beneath)

    def _title_strip(self, width: int) -> Strip:
        beneath = background(self)
        plain = beneath + self.get_component_rich_style("fleet-table--title", partial=True)
        marked = beneath + self.get_component_rich_style("tone--brand", partial=True)
        segments: list[Segment] = []
        end = 0
        for column, x, column_width in self._placed if self._rows else ():
            is_order = column.key == self._order
            arrow = ("▲" if self._is_reversed else "▼") if is_order else ""
            title = column.title[: column_width - len(arrow)] + arrow
            shown = f"{title:>{column_width}}" if column.is_number else f"{title:<{column_width}}"
            segments.append(Segment(" " * (x - end), plain))
            segments.append(Segment(shown, marked if is_order else plain))
            end = x + column_width
        return padded(segments, width, plain)

    def _nothing_strip(self, y: int, width: int) -> Strip:
        lines = () if self._rows else self._nothing
        number = y - _TITLE_LINES - max(0, (self._lines_for_rows - len(lines)) // 2)
        text = lines[number] if 0 <= number < len(lines) else ""
        left = max(0, (width - max(map(len, lines), default=0)) // 2)
        beneath = background(self)
        return padded(toned(self, [Piece(" " * left + text)], beneath), width, beneath)
