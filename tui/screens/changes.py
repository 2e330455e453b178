"""What changed before one outage of a node; from here one key leads to that instant."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from tui import summary
from tui.feed import Feed, PictureChanged
from tui.inquiry import Inquiry
from tui.look import Look
from tui.pages.changes import lines
from tui.screens.telling import status, tell
from tui.tones import Piece, Tone
from tui.widgets.banner import Banner
from tui.widgets.key_line import KeyLine
from tui.widgets.lines import Line, Lines
from tui.widgets.sheet import Sheet


class ChangesScreen(Screen[int | None]):
    """Ends with the instant to go to, as Unix time in milliseconds; None: nowhere."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back"),
        Binding("t,enter", "travel", "To that instant", key_display="t"),
    ]

    def __init__(self, feed: Feed, inquiry: Inquiry, name: str, look: Look) -> None:
        super().__init__()
        self._feed = feed
        self._inquiry = inquiry
        self._node_name = name
        self._look = look
        self._masthead = Lines(id="masthead")
        self._banner = Banner(id="banner")
        self._sheet = Sheet(id="sheet")

    def compose(self) -> ComposeResult:
        """See `textual.screen.Screen.compose`."""
        yield self._masthead
        yield self._banner
        yield self._sheet
        yield KeyLine()

    def on_mount(self) -> None:
        """The keys scroll."""
        self._masthead.styles.height = 2
        self._sheet.focus()

    def on_unmount(self) -> None:
        """Nobody waits for answers any more."""
        self._feed.inquiry = None

    def action_back(self) -> None:
        """Back to the outages."""
        self.dismiss(None)

    def action_travel(self) -> None:
        """Into the past, to the last sign of life."""
        self.dismiss(self._inquiry.at_wall_ms)

    def on_picture_changed(self, _message: PictureChanged) -> None:
        """An answer may have come."""
        self._paint()

    def on_sheet_resized(self, _message: Sheet.Resized) -> None:
        """Other columns fit now."""
        self._paint()

    def _paint(self) -> None:
        feed = self._feed
        what = "compared with the hour before, and with the same time a day before"
        self._masthead.show(
            Line(
                summary.breadcrumbs(feed.link, self._node_name, "outages", "what changed"),
                status(feed),
            ),
            Line((Piece(what, Tone.MUTED),)),
        )
        tell(self._banner, feed)
        if width := self._sheet.room.width:
            self._sheet.show((), lines(self._inquiry, self._look, width))
