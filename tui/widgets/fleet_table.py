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

from tui.columns import COLUMNS, Placed, cells, content_widths, fit
from tui.fleet import Fleet, Moment, Node
from tui.tones import Piece, Pieces
from tui.widgets.toned import TONE_CLASSES, background, padded, toned, width_of

_TITLE_LINES: Final = 1
_CURSOR_MARK: Final = "▌"
_MARGIN: Final = 1
"""Between the last column and the scroll bar."""

_MOVE: Final = Binding.Group("Move", compact=True)


class _Row(NamedTuple):
    """What is painted on one line."""

    node_id: str
    has_cursor: bool
    cells: tuple[Pieces, ...]


class FleetTable(ScrollView, can_focus=True):
    """One row per node, problems first.

    Until the cursor is moved it stays on the first row, so that the worst node is the one in sight.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *TONE_CLASSES,
        "fleet-table--cursor",
        "fleet-table--title",
    }

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open"),
        Binding("up,k", "move(-1)", "Up", group=_MOVE),
        Binding("down,j", "move(1)", "Down", group=_MOVE),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False),
        Binding("home", "first", "First", show=False),
        Binding("end", "last", "Last", show=False),
    ]

    class Opened(Message):
        """The user wants to see the node under the cursor from close by."""

    class CursorMoved(Message):
        """The cursor is on another node now."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._rows: Sequence[Node] = ()
        """As of the last `sync`: the fleet itself may have gone on since."""
        self._is_current = False
        self._moment = Moment(None, 0)
        self._nothing: tuple[str, ...] = ()
        self._placed: tuple[Placed, ...] = ()
        self._painted: dict[int, _Row] = {}
        self._cursor_id: str | None = None
        self._cursor_row = 0
        self._cursor_was_moved = False

    @property
    def cursor_node(self) -> Node | None:
        """The node under the cursor; None: there are no nodes."""
        return self._rows[self._cursor_row] if self._rows else None

    def sync(self, fleet: Fleet, moment: Moment, nothing: Iterable[str]) -> None:
        """Shows `fleet` as it is at `moment`; the lines of `nothing` while it has no node."""
        was_nothing = self._nothing
        self._is_current, self._moment, self._nothing = fleet.is_current, moment, tuple(nothing)
        if fleet.rows is not self._rows:
            self._rows = fleet.rows
            self._follow_cursor(fleet)
            self._lay_out()
        if not self._rows and self._nothing != was_nothing:
            self.refresh()
        self._repaint()

    def render_line(self, y: int) -> Strip:
        """See `textual.widget.Widget.render_line`."""
        width = self.content_size.width
        if y < _TITLE_LINES:
            return self._title_strip(width)
        row = self._row_at(y)
        if row is None:
            return self._nothing_strip(y, width)
        self._painted[y] = row
        return self._row_strip(row, width)

    def on_resize(self, _event: events.Resize) -> None:
        """Other columns fit now."""
        self._lay_out()
        self._reveal_cursor()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Every line shows another row now; the scroll view repaints them all."""
        self._painted.clear()
        super().watch_scroll_y(old_value, new_value)

    def on_click(self, event: events.Click) -> None:
        """The cursor goes where the mouse points; twice opens the node."""
        if event.y >= _TITLE_LINES and self._row_number(event.y) < len(self._rows):
            self._put_cursor(self._row_number(event.y))
            if event.chain > 1:
                self.action_open()

    def action_open(self) -> None:
        """Asks for the node under the cursor."""
        if self._rows:
            self.post_message(self.Opened())

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

    def _put_cursor(self, row: int) -> None:
        if not self._rows:
            return
        self._cursor_row = min(max(row, 0), len(self._rows) - 1)
        self._cursor_id = self._rows[self._cursor_row].profile.node_id
        self._cursor_was_moved = True
        self._reveal_cursor()
        self._repaint()
        self.post_message(self.CursorMoved())

    def _follow_cursor(self, fleet: Fleet) -> None:
        """Keeps the cursor on its node after a resort, and in sight if it was.

        If the node is gone, the cursor stays on its line, on the node that is there now.
        """
        rows, top = self._rows, self.scroll_offset.y
        was_in_sight = top <= self._cursor_row < top + self._lines_for_rows
        row = fleet.row_of(self._cursor_id) if self._cursor_id else None
        if not self._cursor_was_moved:
            row = 0
        elif row is None:
            row = self._cursor_row
        self._cursor_row = max(0, min(row, len(rows) - 1))
        self._cursor_id = rows[self._cursor_row].profile.node_id if rows else None
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
        placed = fit(COLUMNS, width - _MARGIN, content_widths(self._rows))
        if placed != self._placed:
            self._placed = placed
            self._painted.clear()
            self.refresh()

    def _row_at(self, y: int) -> _Row | None:
        number = self._row_number(y)
        if number >= len(self._rows):
            return None
        node = self._rows[number]
        drawn = cells(node, self._moment, self._placed, is_current=self._is_current)
        return _Row(node.profile.node_id, number == self._cursor_row, drawn)

    def _repaint(self) -> None:
        """Marks what differs from what was painted."""
        width = self.content_size.width
        for y in range(_TITLE_LINES, self.content_size.height):
            before, now = self._painted.get(y), self._row_at(y)
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

    def _row_strip(self, row: _Row, width: int) -> Strip:
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
        style = self.get_component_rich_style("fleet-table--title")
        text = ""
        for column, x, column_width in self._placed if self._rows else ():
            title = column.title[:column_width]
            shown = f"{title:>{column_width}}" if column.is_number else title
            text = f"{text:<{x}}{shown}"
        return padded([Segment(text, style)], width, style)

    def _nothing_strip(self, y: int, width: int) -> Strip:
        lines = () if self._rows else self._nothing
        number = y - _TITLE_LINES - max(0, (self._lines_for_rows - len(lines)) // 2)
        text = lines[number] if 0 <= number < len(lines) else ""
        left = max(0, (width - max(map(len, lines), default=0)) // 2)
        beneath = background(self)
        return padded(toned(self, [Piece(" " * left + text)], beneath), width, beneath)
