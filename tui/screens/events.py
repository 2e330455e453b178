"""What has happened in the fleet, the latest first, as it happens."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from tui import summary
from tui.feed import Feed, PictureChanged
from tui.pages.host import events_sheet
from tui.pages.parts import remark
from tui.screens.telling import status, tell
from tui.tones import Piece, Tone
from tui.widgets.banner import Banner
from tui.widgets.key_line import KeyLine
from tui.widgets.lines import Line, Lines
from tui.widgets.prompt import Prompt
from tui.widgets.sheet import Sheet


class EventsScreen(Screen[None]):
    """The events that the master has told of; filtered by any of their texts."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back"),
        Binding("slash", "search", "Filter", priority=True),
    ]

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed
        self._text = ""
        self._masthead = Lines(id="masthead")
        self._banner = Banner(id="banner")
        self._sheet = Sheet(id="sheet")
        self._prompt = Prompt(id="prompt")
        feed.follow_events()

    def compose(self) -> ComposeResult:
        """See `textual.screen.Screen.compose`."""
        yield self._masthead
        yield self._banner
        yield self._sheet
        yield self._prompt
        yield KeyLine()

    def on_mount(self) -> None:
        """The list has the keys."""
        self._masthead.styles.height = 2
        self._sheet.focus()

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],  # noqa: ARG002 - Textual's signature
    ) -> bool | None:
        """See `textual.dom.DOMNode`: a slash is a slash where one types."""
        return action != "search" or not self._prompt.is_open

    def action_back(self) -> None:
        """Back to where this was opened; first out of the filter, if there is one."""
        if self._text:
            self._text = ""
            self._paint()
        else:
            self.dismiss()

    def action_search(self) -> None:
        """Asks which events to show."""
        self._prompt.ask("events with", self._text)

    def on_prompt_changed(self, message: Prompt.Changed) -> None:
        """Events are filtered while one types."""
        self._text = message.text
        self._paint()

    def on_prompt_closed(self, _message: Prompt.Closed) -> None:
        """The list has the keys again."""
        self._sheet.focus()

    def on_picture_changed(self, _message: PictureChanged) -> None:
        """Something may look different now."""
        self._paint()

    def on_sheet_resized(self, _message: Sheet.Resized) -> None:
        """Other columns fit now."""
        self._paint()

    def _paint(self) -> None:
        feed = self._feed
        known = feed.events()
        wanted = self._text.casefold()
        shown = [
            event
            for event in known
            if wanted in " ".join((event.event, event.name, event.after, event.text)).casefold()
        ]
        count = f"{len(shown)} of {len(known)}" if self._text else f"{len(known)}"
        what = f"{count} events{f' with “{self._text}”' * bool(self._text)}, the latest first"
        self._masthead.show(
            Line(summary.breadcrumbs(feed.link, "events"), status(feed)),
            Line((Piece(what, Tone.MUTED),)),
        )
        tell(self._banner, feed)
        if not self._sheet.room.width:
            return
        if not shown:
            self._sheet.show((), [(), remark("Nothing has happened yet.")])
            return
        sheet = events_sheet(shown, feed.moment(), self._sheet.room.width)
        self._sheet.show(sheet.head, sheet.body)
