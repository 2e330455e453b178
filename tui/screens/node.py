"""One node from close by: pages of everything that its agent measures, as it comes.

While this screen is open the node is in focus: its agent is asked to measure it more finely.
"""

from dataclasses import replace
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui import past_words, summary
from tui.feed import Feed, PictureChanged
from tui.graphs import columns_per_cell
from tui.look import Look, Sight
from tui.node import Node
from tui.pages import PAGES
from tui.pages.outages import chosen_outage, outage_beside
from tui.pages.page import ZOOMS, Choices, Page, Scene, paint
from tui.pages.processes import ORDERS, order_at
from tui.screens.changes import ChangesScreen
from tui.screens.telling import status, tell
from tui.screens.timed import LEAVE, STEPS, TimedScreen
from tui.tones import Pieces
from tui.widgets.key_line import KeyLine
from tui.widgets.lines import Line, Lines
from tui.widgets.prompt import Prompt
from tui.widgets.sheet import Sheet
from tui.widgets.tabs import Tab, Tabs

_BY_KEY: Final = {page.key: page for page in PAGES}
_PROCESSES: Final = "processes"
_OUTAGES: Final = "outages"
_NOT_WHILE_TYPING: Final = frozenset(
    {"next", "page", "order", "tree", "zoom", "choose", "search", "turn"}
)

_PAGE: Final = Binding.Group("Page", compact=True)
_SORT: Final = Binding.Group("Sort", compact=True)
_CHOOSE: Final = Binding.Group("Outage", compact=True)


class NodeScreen(TimedScreen):
    """The pages of one node. What is chosen on them is kept until the screen is left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        LEAVE,
        Binding("escape", "back", "Back"),
        Binding("tab,l", "next(1)", "Next page", show=False, priority=True),
        Binding("shift+tab,h", "next(-1)", "Previous page", show=False, priority=True),
        *STEPS,
        Binding("right", "turn(1)", "Next page", group=_PAGE, priority=True),
        Binding("left", "turn(-1)", "Previous page", group=_PAGE, priority=True),
        *(
            Binding(page.hotkey, f"page('{page.key}')", f"Page: {page.title}", show=False)
            for page in PAGES
        ),
        *(
            Binding(order.hotkey, f"order('{name}')", f"Sort by {order.title}", group=_SORT)
            for name, order in ORDERS.items()
        ),
        Binding("v", "tree", "Tree"),
        Binding("slash", "search", "Filter", priority=True),
        Binding("down,j", "choose(1)", "Earlier outage", group=_CHOOSE, priority=True),
        Binding("w,enter", "why", "What changed", key_display="w"),
        Binding("up,k", "choose(-1)", "Later outage", group=_CHOOSE, priority=True),
    ]

    def __init__(self, feed: Feed, node: Node, look: Look) -> None:
        super().__init__(feed)
        self._look = look
        self._node = node
        self._is_forgotten = False
        self._opened_in_past = feed.past is not None
        self._page = PAGES[0]
        self._choices = Choices()
        self._focus = feed.open_node(node.profile.node_id)
        self._masthead = Lines(id="masthead")
        self._tabs = Tabs([Tab(p.key, p.hotkey, p.title, p.short) for p in PAGES], id="tabs")
        self._sheet = Sheet(id="sheet")

    def compose(self) -> ComposeResult:
        """See `textual.screen.Screen.compose`."""
        yield self._masthead
        yield self._tabs
        yield self._banner
        yield self._sheet
        yield self._timeline
        yield self._prompt
        yield KeyLine()

    def on_mount(self) -> None:
        """The page has the keys."""
        self._sheet.focus()
        self.paint()

    def on_unmount(self) -> None:
        """Nobody looks any more: the agent may measure less finely."""
        self._feed.close_node()

    # --- keys ------------------------------------------------------------------------------------

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],
    ) -> bool | None:
        """See `textual.dom.DOMNode`: what belongs to one page is offered on that page."""
        if self._prompt.is_open and action in _NOT_WHILE_TYPING:
            return False
        if action in {"order", "tree", "search"}:
            return self._page.key == _PROCESSES
        if action in {"choose", "why"}:
            return self._page.key == _OUTAGES
        if action == "turn":
            return self._feed.past is None
        if action == "zoom" and self._feed.past is None:
            return self._page.has_graphs
        return super().check_action(action, parameters)

    @property
    def escape_ends_past(self) -> bool:
        """See `TimedScreen`: one who opened the node in the past goes back to the fleet of then."""
        return not self._opened_in_past and not self._choices.text

    def action_back(self) -> None:
        """Back to the fleet; first out of the filter, if there is one."""
        if self._choices.text:
            self._choose(text="")
        else:
            self.dismiss()

    def action_next(self, pages: int) -> None:
        """Opens the page so many tabs to the right."""
        self._open(PAGES[(PAGES.index(self._page) + pages) % len(PAGES)])

    def action_turn(self, pages: int) -> None:
        """The same, by the keys that step through the past while one is there."""
        self.action_next(pages)

    def action_page(self, key: str) -> None:
        """Opens a page."""
        self._open(_BY_KEY[key])

    def action_order(self, name: str) -> None:
        """Sorts the processes; by what they are sorted by already, the other way round."""
        is_again = name == self._choices.process_order
        self._choose(process_order=name, is_reversed=is_again and not self._choices.is_reversed)

    def action_tree(self) -> None:
        """Shows the processes as a tree, or as a list."""
        self._choose(is_tree=not self._choices.is_tree)

    def action_search(self) -> None:
        """Asks which processes to show."""
        self._prompt.ask("processes with", self._choices.text)

    def action_choose(self, steps: int) -> None:
        """Shows the evidence of another outage."""
        self._choose(outage=outage_beside(self._scene(), steps))

    def action_why(self) -> None:
        """Shows what changed before the chosen outage."""
        if (outage := chosen_outage(self._scene())) is not None:
            inquiry = self._feed.inquire(outage)
            changes = ChangesScreen(self._feed, inquiry, self._node.profile.name, self._look)
            self.app.push_screen(changes, self._travel)  # pyright: ignore[reportUnknownMemberType]

    def _travel(self, at_wall_ms: int | None) -> None:
        if at_wall_ms is not None:
            self.go_to(at_wall_ms)

    def action_zoom(self, steps: int) -> None:
        """Makes a dot of the graphs stand for more time, or for less; in the past, the line of time
        and the graphs show more, or less."""
        if self._feed.past is not None:
            super().action_zoom(steps)
            return
        place = ZOOMS.index(self._choices.zoom) + steps
        self._choose(zoom=ZOOMS[min(max(place, 0), len(ZOOMS) - 1)])

    # --- events ----------------------------------------------------------------------------------

    def on_picture_changed(self, _message: PictureChanged) -> None:
        """Something may look different now."""
        self.paint()

    def on_sheet_resized(self, _message: Sheet.Resized) -> None:
        """Other lines fit now."""
        self.paint()

    def on_resize(self, _event: events.Resize) -> None:
        """Lines that fill the width have to fill another one."""
        self.paint()

    def on_tabs_picked(self, message: Tabs.Picked) -> None:
        """The mouse has picked a page."""
        self._open(_BY_KEY[message.key])

    def on_sheet_head_clicked(self, message: Sheet.HeadClicked) -> None:
        """The titles of the process table sort it."""
        if self._page.key == _PROCESSES and message.y == self._head_lines - 1:
            order = order_at(self._scene(), message.x)
            if order is not None:
                self.action_order(order)

    def on_prompt_changed(self, message: Prompt.Changed) -> None:
        """Processes are filtered while one types."""
        self._choose(text=message.text)

    def on_prompt_closed(self, _message: Prompt.Closed) -> None:
        """The page has the keys again."""
        self._sheet.focus()

    # --- painting --------------------------------------------------------------------------------

    def _open(self, page: Page) -> None:
        if page is not self._page:
            self._page = page
            self._prompt.close()
            self._tabs.open(page.key)
            self._sheet.scroll_home(animate=False)
            self.refresh_bindings()
            self.paint()

    def _choose(self, **choices: object) -> None:
        self._choices = replace(self._choices, **choices)  # type: ignore[arg-type]
        self.paint()

    def _age(self) -> Pieces:
        moment = self._feed.moment()
        if self._feed.past is not None and self._node.age_s(moment) is None:
            return past_words.no_sample()
        return summary.age_of(self._node, moment)

    def _scene(self) -> Scene:
        room = self._sheet.room
        sight = Sight(self._feed.moment(), self._look)
        focus, events, record = self._feed.close_up(self._focus)
        height = max(1, room.height - self._head_lines)
        span = self._feed.past.span if self._feed.past else self._choices.zoom.span
        points = room.width * columns_per_cell(self._look.symbols)
        stretch = None
        if span is not None and self._page.has_graphs and points:
            stretch = self._feed.stretch(self._focus.node_id, span.length_ms, points)
        return Scene(
            self._node,
            focus,
            sight,
            room.width,
            height,
            self._choices,
            events,
            record,
            self._feed.curves,
            stretch,
            span.title if span else "",
        )

    @property
    def _head_lines(self) -> int:
        return 3 if self._page.key == _PROCESSES else 1

    def paint(self) -> None:
        """See `TimedScreen`."""
        feed = self._feed
        past = feed.past
        if self._page.has_record:
            feed.watch_record()
        self._opened_in_past = self._opened_in_past and past is not None
        node = feed.node(self._focus.node_id)
        self._is_forgotten = node is None and feed.fleet.is_current
        self._node = node or self._node
        moment = feed.moment()
        crumbs = summary.breadcrumbs(feed.link, self._node.profile.name, self._page.title)
        self._masthead.show(
            Line(crumbs, status(feed)),
            Line(summary.condition(self._node, moment), self._age()),
            Line(summary.facts(self._node)),
        )
        gone = past_words.not_known_yet() if past else summary.forgotten()
        tell(self._banner, feed, gone if self._is_forgotten else ())
        self._paint_timeline(1, self._node.profile.first_seen_wall_ms)
        if self._sheet.room.width:
            sheet = paint(self._page, self._scene())
            self._sheet.show(sheet.head, sheet.body)
