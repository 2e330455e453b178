"""The titles of pages in a line, the one that is open marked; the mouse picks one."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.tones import Piece, Tone
from tui.widgets.toned import TONE_CLASSES, background, padded, toned


class Tab(NamedTuple):
    """One page."""

    key: str
    hotkey: str
    title: str
    short: str
    """The title where there is little room."""


class Tabs(Widget):
    """A line of tabs, in short titles where the long ones do not fit."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONE_CLASSES, "tabs--open"}

    class Picked(Message):
        """The user wants this page."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, tabs: Sequence[Tab], *, id: str) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._tabs = tabs
        self._open = tabs[0].key

    def open(self, key: str) -> None:
        """Marks this page."""
        if key != self._open:
            self._open = key
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """See `textual.widget.Widget.render_line`."""
        width, beneath = self.content_size.width, background(self)
        if y:
            return Strip.blank(width, beneath)
        segments = toned(self, [Piece(" ")], beneath)
        marked = beneath + self.get_component_rich_style("tabs--open", partial=True)
        for tab, title in self._titled():
            is_open = tab.key == self._open
            pieces = (
                Piece(tab.hotkey, Tone.BRAND),
                Piece(f" {title}", Tone.STRONG if is_open else Tone.MUTED),
            )
            segments += toned(self, pieces, marked if is_open else beneath)
            segments += toned(self, [Piece(self._gap)], beneath)
        return padded(segments, width, beneath)

    def on_click(self, event: events.Click) -> None:
        """Picks the page whose title the mouse points at."""
        x = 1
        for tab, title in self._titled():
            end = x + cell_len(tab.hotkey) + 1 + cell_len(title)
            if x <= event.x < end:
                self.post_message(self.Picked(tab.key))
            x = end + len(self._gap)

    @property
    def _gap(self) -> str:
        return "  " if self._needed(2) <= self.content_size.width else " "

    def _needed(self, gap: int) -> int:
        return sum(len(tab.hotkey) + 1 + gap + cell_len(tab.title) for tab in self._tabs) + 1

    def _titled(self) -> Iterator[tuple[Tab, str]]:
        is_short = self._needed(1) > self.content_size.width
        for tab in self._tabs:
            yield tab, tab.short if is_short else tab.title
