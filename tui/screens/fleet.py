"""The fleet at a glance: counts, the link, a row per node, and the node under the cursor."""

from collections.abc import Iterable

from textual import events
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Footer

from tui import summary
from tui.feed import Feed, PictureChanged
from tui.look import Look
from tui.screens.node import NodeScreen
from tui.widgets.fleet_table import FleetTable
from tui.widgets.lines import Line, Lines


class FleetScreen(Screen[None]):
    """The first screen. It holds nothing of its own: every painting is made from the feed."""

    VERTICAL_BREAKPOINTS: list[tuple[int, str]] | None = [  # noqa: RUF012 - as Textual has it
        (0, "-short"),
        (16, "-tall"),
    ]
    """On a short screen rows matter more than the node under the cursor."""

    def __init__(self, feed: Feed, look: Look) -> None:
        super().__init__()
        self._look = look
        self._feed = feed
        self._masthead = Lines(id="masthead")
        self._banner = Lines(id="banner")
        self._table = FleetTable(id="fleet")
        self._inspector = Lines(id="inspector")

    def compose(self) -> ComposeResult:
        """See `textual.screen.Screen.compose`."""
        yield self._masthead
        yield self._banner
        yield self._table
        yield self._inspector
        yield Footer()

    def on_picture_changed(self, _message: PictureChanged) -> None:
        """Something may look different now."""
        self._paint()

    def on_fleet_table_cursor_moved(self, _message: FleetTable.CursorMoved) -> None:
        """Another node is to be told about."""
        self._inspector.show(*self._inspection())

    def on_fleet_table_opened(self, _message: FleetTable.Opened) -> None:
        """From the fleet to one node."""
        node = self._table.cursor_node
        if node is not None:
            self.app.push_screen(NodeScreen(self._feed, node, self._look))  # pyright: ignore[reportUnknownMemberType]

    def on_screen_resume(self) -> None:
        """Much may have happened while another screen was in front."""
        self._paint()

    def on_resize(self, _event: events.Resize) -> None:
        """Lines that fill the width have to fill another one."""
        self._paint()

    def _paint(self) -> None:
        feed = self._feed
        now_s = feed.now_s()
        width = self._masthead.content_size.width
        self._masthead.show(
            Line(summary.brand(feed.link), summary.link_status(feed.link, feed.fleet, now_s)),
            Line(summary.counts(feed.fleet, width)),
            Line(summary.bar(feed.fleet.counts, width)),
        )
        warning = summary.warning(feed.link, feed.pause, feed.wall_ms())
        self._banner.display = bool(warning)
        self._banner.show(Line(warning, summary.next_attempt(feed.link, now_s)))
        nothing = summary.nothing_to_show(feed.link, feed.fleet)
        self._table.sync(feed.fleet, feed.moment(), nothing)
        self._inspector.show(*self._inspection())

    def _inspection(self) -> Iterable[Line]:
        node = self._table.cursor_node
        if node is None:
            return
        for pieces in summary.inspection(node, self._feed.moment()):
            yield Line(pieces)
