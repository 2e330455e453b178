"""The fleet at a glance: counts, the link, a row or a cell per node, and one node in words."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui import comb, summary
from tui.feed import Feed, PictureChanged
from tui.filters import EVERYTHING, Filter, FilterError, parse_filter
from tui.look import Look, Sight
from tui.node import Node
from tui.preferences import Preferences
from tui.screens.node import NodeScreen
from tui.screens.telling import status, tell
from tui.screens.timed import LEAVE, STEPS, TimedScreen
from tui.view import UNFOLDED, View, labels_of
from tui.widgets.fleet_table import FleetTable
from tui.widgets.honeycomb import Honeycomb
from tui.widgets.key_line import KeyLine
from tui.widgets.lines import Line, Lines
from tui.widgets.prompt import Prompt


class FleetScreen(TimedScreen):
    """The first screen. It holds how the fleet is arranged; what is shown comes from the feed."""

    VERTICAL_BREAKPOINTS: list[tuple[int, str]] | None = [  # noqa: RUF012 - as Textual has it
        (0, "-short"),
        (16, "-tall"),
    ]
    """On a short screen rows matter more than the node under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Filter", priority=True),
        Binding("f", "faults", "Faults"),
        Binding("g", "group", "Group"),
        Binding("h", "comb", "Honeycomb"),
        Binding("e", "app.events", "Events", show=False),
        Binding("c", "app.columns", "Columns", show=False),
        Binding("o", "app.palette('sort ')", "Sort by", show=False),
        LEAVE,
        Binding("escape", "clear", "Show everything", show=False),
        *STEPS,
        Binding("left,right", "begin", "Into the past", show=False, priority=True),
    ]

    def __init__(self, feed: Feed, look: Look, preferences: Preferences, wanted: Filter) -> None:
        super().__init__(feed)
        self._look = look
        self.view = View()
        self._masthead = Lines(id="masthead")
        self._table = FleetTable(id="fleet")
        self._comb = Honeycomb(id="comb")
        self._inspector = Lines(id="inspector")
        self._is_comb = preferences.is_comb
        self._table.show_columns(preferences.columns)
        self.view.arrangement = replace(
            self.view.arrangement,
            order=preferences.order,
            is_reversed=preferences.is_reversed,
            group=preferences.group,
            filter=wanted,
        )

    def compose(self) -> ComposeResult:
        """See `textual.screen.Screen.compose`."""
        yield self._masthead
        yield self._banner
        yield self._table
        yield self._comb
        yield self._inspector
        yield self._timeline
        yield self._prompt
        yield KeyLine()

    def on_mount(self) -> None:
        """The table, or the honeycomb, has the keys."""
        self._feed.follow_events()  # what befalls many nodes at once is told as an event
        self._show_comb(self._is_comb)

    @property
    def cursor_node(self) -> Node | None:
        """The node under the cursor."""
        return self._comb.cursor_node if self._is_comb else self._table.cursor_node

    @property
    def columns(self) -> tuple[str, ...]:
        """The keys of the columns of the table."""
        return tuple(column.key for column in self._table.columns)

    @property
    def labels(self) -> list[str]:
        """The labels by which the fleet could be grouped."""
        return labels_of(self._feed.fleet.rows)

    # --- how it is arranged ----------------------------------------------------------------------

    def show_columns(self, keys: Iterable[str]) -> None:
        """Shows these columns from now on."""
        self._table.show_columns(keys)
        self.paint()

    def sort_by(self, order: str, *, is_reversed: bool = False) -> None:
        """Puts the rows in the order of a column; empty: problems first."""
        self._arrange(order=order, is_reversed=is_reversed)

    def group_by(self, label: str) -> None:
        """Puts the rows under headings; empty: under none."""
        self._arrange(group=label, folded=UNFOLDED)

    def filter_by(self, text: str) -> None:
        """Shows the nodes that a filter means.

        Raises:
            FilterError: the text is no filter.
        """
        self._arrange(filter=parse_filter(text))

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],
    ) -> bool | None:
        """See `textual.dom.DOMNode`: a slash is a slash where one types."""
        if action == "search" and self._prompt.is_open:
            return False
        if action == "begin":  # among the cells of the honeycomb arrows move the cursor
            return not (self._is_comb or self._prompt.is_open or self._feed.past)
        return super().check_action(action, parameters)

    def action_begin(self) -> None:
        """Into the past, by the keys that step there."""
        self.action_past()

    def action_search(self) -> None:
        """Asks for a filter."""
        self._prompt.ask("show", self.view.arrangement.filter.text)

    def action_faults(self) -> None:
        """Shows only what needs an eye, or everything again."""
        self._arrange(is_faults_only=not self.view.arrangement.is_faults_only)

    def action_group(self) -> None:
        """Groups by the next label; after the last one, by none."""
        labels = ["", *self.labels]
        now = self.view.arrangement.group
        place = labels.index(now) if now in labels else 0
        self.group_by(labels[(place + 1) % len(labels)])

    def action_comb(self) -> None:
        """Shows the fleet as a honeycomb, or as a table."""
        node = self.cursor_node
        self._show_comb(not self._is_comb)
        self.paint()
        if node is not None:
            self._comb.put_cursor_on(node.profile.node_id)
            self._table.put_cursor_on(node.profile.node_id, self.view)

    def action_clear(self) -> None:
        """Takes back filters."""
        self._arrange(filter=EVERYTHING, is_faults_only=False)

    def _arrange(self, **changes: object) -> None:
        self.view.arrangement = replace(self.view.arrangement, **changes)  # type: ignore[arg-type]
        self.paint()

    def _show_comb(self, is_comb: bool) -> None:
        self._is_comb = is_comb
        self._table.display = not is_comb
        self._comb.display = is_comb
        (self._comb if is_comb else self._table).focus()

    @property
    def is_comb(self) -> bool:
        """Whether the fleet is shown as a honeycomb."""
        return self._is_comb

    # --- events ----------------------------------------------------------------------------------

    def on_picture_changed(self, _message: PictureChanged) -> None:
        """Something may look different now."""
        self.paint()

    def on_prompt_changed(self, message: Prompt.Changed) -> None:
        """The filter takes effect while one types; a last word that is no term yet is left out."""
        try:
            self.filter_by(message.text)
        except FilterError as error:
            self._prompt.complain(str(error))
            with suppress(FilterError):
                self.filter_by(message.text.rpartition(" ")[0])
        else:
            self._prompt.complain("")

    def on_prompt_closed(self, _message: Prompt.Closed) -> None:
        """The rows have the keys again."""
        self._show_comb(self._is_comb)

    def on_fleet_table_ordered(self, message: FleetTable.Ordered) -> None:
        """A key or a click has chosen an order."""
        self.sort_by(message.order, is_reversed=message.is_reversed)

    def on_fleet_table_folded(self, message: FleetTable.Folded) -> None:
        """A group is to be folded, or unfolded."""
        self._arrange(folded=self.view.arrangement.folded ^ {message.group.value})

    def on_fleet_table_cursor_moved(self, _message: FleetTable.CursorMoved) -> None:
        """Something else is to be told about."""
        self._inspector.show(*self._inspection())

    def on_honeycomb_cursor_moved(self, _message: Honeycomb.CursorMoved) -> None:
        """Another node is to be told about."""
        self._inspector.show(*self._inspection())

    def on_fleet_table_opened(self, _message: FleetTable.Opened) -> None:
        """From the fleet to one node."""
        self._open()

    def on_honeycomb_opened(self, _message: Honeycomb.Opened) -> None:
        """From the fleet to one node."""
        self._open()

    def on_screen_resume(self) -> None:
        """Much may have happened while another screen was in front."""
        self.paint()

    def on_resize(self, _event: events.Resize) -> None:
        """Lines that fill the width have to fill another one."""
        self.paint()

    def open_node(self, node: Node) -> None:
        """From the fleet to this node."""
        self.app.push_screen(NodeScreen(self._feed, node, self._look))  # pyright: ignore[reportUnknownMemberType]

    def _open(self) -> None:
        if (node := self.cursor_node) is not None:
            self.open_node(node)

    # --- painting --------------------------------------------------------------------------------

    def paint(self) -> None:
        """See `TimedScreen`."""
        feed = self._feed
        now_s = feed.now_s()
        sight = Sight(feed.moment(), self._look)
        self.view.sync(feed.fleet, sight.moment, now_s)
        width = self._masthead.content_size.width
        arranged = summary.arrangement(self.view, len(feed.fleet))
        self._masthead.show(
            Line(summary.brand(feed.link), status(feed)),
            Line(summary.counts(feed.fleet, width - summary.width_of(arranged)), arranged),
            Line(summary.bar(feed.fleet.counts, width)),
        )
        tell(self._banner, feed)
        first_ms = min((node.profile.first_seen_wall_ms for node in feed.fleet.rows), default=0)
        self._paint_timeline(len(feed.fleet), first_ms)
        is_current = feed.fleet.is_current
        nothing = summary.nothing_to_show(
            feed.link, feed.fleet, self.view.arrangement, is_past=feed.past is not None
        )
        if self._is_comb:
            self._comb.sync(self.view, sight, nothing, is_current=is_current)
        else:
            self._table.sync(self.view, sight, nothing, is_current=is_current)
        self._inspector.show(*self._inspection())

    def _inspection(self) -> Iterable[Line]:
        node = self.cursor_node
        if node is not None:
            legend = comb.LEGEND if self._is_comb else ()
            how, what = summary.inspection(node, self._feed.moment())
            return (Line(how), Line(what, legend))
        group = None if self._is_comb else self._table.cursor_group
        return [Line(pieces) for pieces in summary.of_group(group)] if group else ()
