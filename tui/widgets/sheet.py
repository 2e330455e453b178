"""A page of lines that scrolls, beneath a few that do not; what changed is repainted."""

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.shortening import shorten_pieces
from tui.tones import Pieces
from tui.widgets.toned import TONE_CLASSES, background, padded, toned


class Sheet(ScrollView, can_focus=True):
    """Shows lines; only those in sight are painted."""

    COMPONENT_CLASSES: ClassVar[set[str]] = set(TONE_CLASSES)

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "Up", show=False),
        Binding("down,j", "scroll_down", "Down", show=False),
        Binding("pageup,ctrl+b", "page_up", "Page up", show=False),
        Binding("pagedown,ctrl+f", "page_down", "Page down", show=False),
        Binding("home", "scroll_home", "First", show=False),
        Binding("end", "scroll_end", "Last", show=False),
    ]

    class HeadClicked(Message):
        """The mouse pointed at line `y` of those that do not scroll, at cell `x`."""

        def __init__(self, x: int, y: int) -> None:
            super().__init__()
            self.x = x
            self.y = y

    class Resized(Message):
        """There is room for other lines now."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._head: Sequence[Pieces] = ()
        self._body: Sequence[Pieces] = ()
        self._painted: dict[int, Pieces] = {}

    @property
    def room(self) -> Size:
        """How many cells there are for lines."""
        return self.scrollable_content_region.size

    def show(self, head: Sequence[Pieces], body: Sequence[Pieces]) -> None:
        """Paints these lines from now on. Where they are scrolled to stays."""
        self._head, self._body = head, body
        self.virtual_size = Size(self.room.width, len(head) + len(body))
        width = self.content_size.width
        for y in range(self.content_size.height):
            if self._painted.get(y) != self._at(y):
                self.refresh(Region(0, y, width, 1))

    def render_line(self, y: int) -> Strip:
        """See `textual.widget.Widget.render_line`."""
        width = self.content_size.width
        beneath = background(self)
        pieces = self._painted[y] = self._at(y)
        return padded(toned(self, shorten_pieces(pieces, width), beneath), width, beneath)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Every line shows another one now; the scroll view repaints them all."""
        self._painted.clear()
        super().watch_scroll_y(old_value, new_value)

    def on_resize(self, _event: events.Resize) -> None:
        """Whoever makes the lines has to make them anew."""
        self._painted.clear()
        self.post_message(self.Resized())

    def on_click(self, event: events.Click) -> None:
        """Tells of clicks above the lines that scroll."""
        if event.y < len(self._head):
            self.post_message(self.HeadClicked(event.x, event.y))

    def action_scroll_up(self) -> None:
        """See `textual.widget.Widget`: at once, as keys are pressed many times."""
        self.scroll_up(animate=False)

    def action_scroll_down(self) -> None:
        """See `action_scroll_up`."""
        self.scroll_down(animate=False)

    def action_page_up(self) -> None:
        """See `action_scroll_up`."""
        self.scroll_page_up(animate=False)

    def action_page_down(self) -> None:
        """See `action_scroll_up`."""
        self.scroll_page_down(animate=False)

    def action_scroll_home(self) -> None:
        """See `action_scroll_up`."""
        self.scroll_home(animate=False)

    def action_scroll_end(self) -> None:
        """See `action_scroll_up`."""
        self.scroll_end(animate=False)

    def _at(self, y: int) -> Pieces:
        if y < len(self._head):
            return self._head[y]
        line = y - len(self._head) + self.scroll_offset.y
        return self._body[line] if line < len(self._body) else ()
