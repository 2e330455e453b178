"""All nodes of a fleet at once, a cell each: for fleets larger than a screen has lines."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import ClassVar, cast

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui import comb
from tui.look import Sight
from tui.moment import Moment
from tui.node import Node
from tui.tones import Piece, Pieces, Tone
from tui.view import Group, View, key_of
from tui.widgets.toned import TONE_CLASSES, background, padded, toned


class Honeycomb(ScrollView, can_focus=True):
    """Cells in the order of the rows of a view. The cursor is on a node, and goes where it goes."""

    COMPONENT_CLASSES: ClassVar[set[str]] = set(TONE_CLASSES)

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", key_display="⏎"),
        Binding("left", "move(-1)", "Left", show=False),
        Binding("right", "move(1)", "Right", show=False),
        Binding("up,k", "move_line(-1)", "Up", show=False),
        Binding("down,j", "move_line(1)", "Down", show=False),
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
        self._view = View()
        self._version = -1
        self._cells: Sequence[int] = ()
        """The rows of the view that are nodes."""
        self._sight = Sight(Moment(None, 0))
        self._is_current = False
        self._nothing: Sequence[str] = ()
        self._cursor = 0
        self._cursor_id = ""
        self._painted: dict[int, Pieces] = {}

    @property
    def cursor_node(self) -> Node | None:
        """The node under the cursor; None: there are no nodes."""
        return self._node(self._cursor) if self._cells else None

    def sync(self, view: View, sight: Sight, nothing: Sequence[str], *, is_current: bool) -> None:
        """Shows the nodes of `view` as they are seen now; the lines of `nothing` without any."""
        self._view, self._sight, self._is_current = view, sight, is_current
        self._nothing = nothing
        if view.version != self._version:
            self._version = view.version
            self._cells = [n for n, row in enumerate(view.rows) if not isinstance(row, Group)]
            self._follow_cursor()
            width = self.scrollable_content_region.width
            self.virtual_size = Size(width, comb.lines_for(len(self._cells), width))
        for y in range(self.content_size.height):
            pieces = self._pieces(y)
            if self._painted.get(y) != pieces:
                self._painted[y] = pieces
                self.refresh(Region(0, y, self.content_size.width, 1))

    def put_cursor_on(self, node_id: str) -> None:
        """Moves the cursor to a node, if it is shown."""
        row = self._view.row_of(node_id)
        if row is not None:
            self._put_cursor(bisect_left(self._cells, row))

    def render_line(self, y: int) -> Strip:
        """See `textual.widget.Widget.render_line`."""
        width, beneath = self.content_size.width, background(self)
        pieces = self._painted.get(y)
        if pieces is None:
            pieces = self._painted[y] = self._pieces(y)
        return padded(toned(self, pieces, beneath), width, beneath)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Every line shows other nodes now; the scroll view repaints them all."""
        self._painted.clear()
        super().watch_scroll_y(old_value, new_value)

    def on_resize(self, _event: events.Resize) -> None:
        """Other nodes stand in each line."""
        self._painted.clear()
        self._version = -1
        self.sync(self._view, self._sight, self._nothing, is_current=self._is_current)
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """The cursor goes where the mouse points; twice opens the node."""
        line = event.y + self.scroll_offset.y
        place = comb.place_at(line, event.x, self.scrollable_content_region.width)
        if place is not None and place < len(self._cells):
            self._put_cursor(place)
            if event.chain > 1:
                self.action_open()

    def action_open(self) -> None:
        """Asks for the node under the cursor."""
        if self._cells:
            self.post_message(self.Opened())

    def action_move(self, cells: int) -> None:
        """Moves the cursor so many cells to the right, or to the left."""
        self._put_cursor(self._cursor + cells)

    def action_move_line(self, lines: int) -> None:
        """Moves the cursor so many lines down, or up."""
        self._put_cursor(self._cursor + lines * self._across)

    def action_page(self, pages: int) -> None:
        """Moves the cursor down by as many lines as are in sight, or up."""
        self.action_move_line(pages * max(1, self.content_size.height - 1))

    def action_first(self) -> None:
        """Moves the cursor to the first node."""
        self._put_cursor(0)

    def action_last(self) -> None:
        """Moves the cursor to the last node."""
        self._put_cursor(len(self._cells) - 1)

    @property
    def _across(self) -> int:
        return comb.columns_in(self.scrollable_content_region.width)

    def _put_cursor(self, place: int) -> None:
        if not self._cells:
            return
        self._cursor = min(max(place, 0), len(self._cells) - 1)
        self._cursor_id = key_of(self._view.rows[self._cells[self._cursor]])
        line, top = self._cursor // self._across, self.scroll_offset.y
        if line < top:
            self.scroll_to(y=line, animate=False)
        elif line >= top + self.content_size.height:
            self.scroll_to(y=line - self.content_size.height + 1, animate=False)
        self._painted.clear()
        self.refresh()
        self.post_message(self.CursorMoved())

    def _node(self, place: int) -> Node:
        return cast("Node", self._view.at(self._cells[place]))

    def _follow_cursor(self) -> None:
        """Keeps the cursor on its node; where that is gone, on the cell where it was."""
        row = self._view.row_of(self._cursor_id)
        if row is not None:
            self._cursor = bisect_left(self._cells, row)
        self._cursor = max(0, min(self._cursor, len(self._cells) - 1))
        if self._cells:
            self._cursor_id = key_of(self._view.rows[self._cells[self._cursor]])

    def _pieces(self, y: int) -> Pieces:
        """What a line shows, in runs of one tone. The cursor takes the gaps around its node."""
        if not self._cells:
            return (Piece(f" {self._nothing[y]}"),) if y < len(self._nothing) else ()
        line = y + self.scroll_offset.y
        first = line * self._across
        last = min(first + self._across, len(self._cells))
        runs: list[Piece] = []
        text, tone = " " * (comb.indent_of(line) - 1), Tone.PLAIN
        for place in range(first, last):
            shape, own = comb.cell(self._node(place), self._sight, is_current=self._is_current)
            gap = (
                "[" if place == self._cursor else "]" if first < place == self._cursor + 1 else " "
            )
            if own is not tone:
                runs.append(Piece(text, tone))
                text, tone = "", own
            text += gap + shape
        runs.append(Piece(text + "]" * (self._cursor == last - 1), tone))
        return tuple(runs) if first < last else ()
