"""The dashboard's application: one source of news, the screens that show it, and a clean way out.

code = run(UnixTarget(path))
"""

import asyncio
import gc
import signal
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from msgspec import structs
from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.screen import Screen
from textual.widgets import Input

from shared.errors import reason_of
from tui import capture, preferences
from tui.client import Client
from tui.clock import Clock, SystemClock
from tui.colourless import Colourless
from tui.commands import Command
from tui.feed import Feed, PictureChanged
from tui.keys import merged
from tui.link import LinkState, Source
from tui.node import Node
from tui.offers import offers
from tui.options import Options
from tui.screens.columns import ColumnsScreen
from tui.screens.events import EventsScreen
from tui.screens.fleet import FleetScreen
from tui.screens.help import HelpScreen
from tui.screens.palette import PaletteScreen
from tui.target import Target
from tui.terminal import outliving
from tui.themes import COLOURS, PLAIN, THEMES, TITLES

TICK_S: Final = 1.0
"""How often ages are looked at: the unit in which they are shown."""

GC_THRESHOLDS: Final = (20_000, 20, 100)
"""With ten thousand nodes in memory the collector's defaults hold a key up for a tenth of a
second, now and then."""

_LEAVE_ON: Final = () if sys.platform == "win32" else (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""On Windows an event loop cannot take signals; there the keys remain."""


class Dashboard(App[int]):
    """Shows what `source` reports, until the user leaves."""

    TITLE = "heartline"
    CSS_PATH = "dashboard.tcss"
    ENABLE_COMMAND_PALETTE = False

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "retry", "Try again now"),
        Binding("space", "pause", "Pause", show=False),
        Binding("colon", "palette('')", "Commands", priority=True),
        Binding("question_mark", "help", "Help"),
        Binding("T", "theme", "Next theme", show=False),
        Binding("y", "copy", "Copy", show=False),
        Binding("s", "save", "Save the screen as picture and text", show=False),
        Binding("q", "leave", "Quit"),
        Binding("ctrl+c,ctrl+q", "leave", "Quit", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False),
    ]

    def __init__(
        self, source: Source, clock: Clock | None = None, options: Options | None = None
    ) -> None:
        self._options = options or Options()  # first: the driver is chosen by it
        super().__init__()
        if self.no_color:
            self._filters = [Colourless(lambda: self.current_theme)]  # for Textual's own: greys
        self._source = source
        self._preferences, self._complaint = preferences.load(self._options.folder)
        self.feed = Feed(clock or SystemClock(), self._hint, source.send)
        self.fleet_screen = FleetScreen(
            self.feed, self._options.look, self._preferences, self._options.filter
        )
        self._bound_for: LinkState | None = None

    def get_driver_class(self) -> type[Driver]:
        """See `textual.app.App`: one that ends with its terminal."""
        return outliving(super().get_driver_class(), self._options.look.symbols)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """See `textual.app.App`: names of our own, for every theme."""
        return dict(COLOURS)

    def get_default_screen(self) -> FleetScreen:
        """See `textual.app.App`."""
        return self.fleet_screen

    def on_mount(self) -> None:
        """Starts listening to the source, and to whoever wants this process to end."""
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = self._first_theme()
        self.set_interval(TICK_S, self._hint)
        self.run_worker(self._source.run(self.feed), exit_on_error=True)
        if self._complaint:
            self.notify(self._complaint, severity="warning", timeout=10, markup=False)

    def on_unmount(self) -> None:
        """Remembers what was chosen."""
        self._remember()

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],
    ) -> bool | None:
        """See `textual.dom.DOMNode`: there is nothing to try again while the link is live, and a
        colon is a colon where one types."""
        if action == "palette" and parameters == ("",):
            return not isinstance(self.focused, Input) and not self.screen.is_modal
        return action != "retry" or self.feed.link.state is not LinkState.LIVE

    # --- keys ------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """What was typed faster than the focus moved is for the line that it moved to."""
        if isinstance(self.focused, Input) and event.is_printable and event.character:
            event.prevent_default()
            self.focused.insert_text_at_cursor(event.character)

    def action_leave(self) -> None:
        """Ends the dashboard; the service that it shows goes on."""
        self.exit(0)

    def action_retry(self) -> None:
        """Dials now rather than when the back-off is over."""
        self._source.retry_now()

    def action_pause(self) -> None:
        """Holds the picture still, or goes on."""
        self.feed.hold()

    def action_theme(self) -> None:
        """Takes the next theme."""
        names = [theme.name for theme in THEMES]
        self.use_theme(names[(names.index(self.theme) + 1) % len(names)])

    def use_theme(self, name: str) -> None:
        """Takes this theme, and remembers it."""
        self.theme = name
        self._preferences = structs.replace(self._preferences, theme=name)
        self.notify(f"Theme: {TITLES[name]}", timeout=2)
        self._remember()

    def action_events(self) -> None:
        """Shows what has happened in the fleet."""
        self._open(EventsScreen(self.feed))

    def action_help(self) -> None:
        """Shows what every key does here."""
        live = self.screen.active_bindings.values()
        bound = ((b.binding.key, b.binding.description, b.binding.action) for b in live)
        self._open(HelpScreen(merged(bound)))

    def action_columns(self) -> None:
        """Lets the user choose the columns."""

        def chosen(keys: tuple[str, ...] | None) -> None:
            if keys:
                self.fleet_screen.show_columns(keys)
                self._remember()

        self.push_screen(ColumnsScreen(self.fleet_screen.columns), chosen)

    def open_node(self, node: Node) -> None:
        """Shows this node from close by, whatever was shown before."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self.fleet_screen.open_node(node)

    def action_palette(self, typed: str) -> None:
        """Asks what to do."""
        beneath = self.screen

        async def do(command: Command | None) -> None:
            if command is not None and (doing := command.run()) is not None:
                await doing

        def commands(text: str) -> Iterable[Command]:
            return offers(self, beneath, text)

        self.push_screen(PaletteScreen(commands, typed), do)

    def action_copy(self) -> None:
        """Copies the name of the node under the cursor, or the page of the node that is open."""
        fleet = self.fleet_screen
        node = fleet.cursor_node if self.screen is fleet else None
        what = node.profile.name if node else capture.text_of(self._strips())
        self.copy_to_clipboard(what)
        said = what if node else "The screen's text"
        self.notify(
            f"{said} was offered to the terminal's clipboard (OSC 52). "
            "Where it does not arrive: Shift and drag, or s saves a file.",
            markup=False,
        )

    def action_save(self) -> None:
        """Saves the screen as a picture and as text."""
        if self._options.folder is None:
            self.notify("There is no folder to save to", severity="warning")
            return
        now = datetime.fromtimestamp(self.feed.wall_ms() / 1000, UTC).astimezone()
        stem = f"heartline-{now:%Y%m%d-%H%M%S}"
        svg = self.export_screenshot(title=f"heartline {now:%Y-%m-%d %H:%M:%S}")
        try:
            picture, text = capture.store(
                self._options.folder, stem, svg, capture.text_of(self._strips())
            )
        except OSError as error:
            self.notify(f"Not saved: {reason_of(error)}", severity="error", markup=False)
        else:
            self.notify(f"Saved {picture} and {text.name}", markup=False, timeout=8)

    # --- within ----------------------------------------------------------------------------------

    def _strips(self) -> Iterable[Any]:
        # As Textual makes its own pictures; there is no other way to what stands on a screen.
        return self.screen._compositor.render_strips()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    def _open(self, screen: Screen[None]) -> None:
        if not isinstance(self.screen, type(screen)):
            self.push_screen(screen)

    def _first_theme(self) -> str:
        if self._preferences.theme in TITLES:
            return self._preferences.theme
        return PLAIN.name if self._options.is_plain else THEMES[0].name

    def _remember(self) -> None:
        """Stores the choices, if they have changed."""
        fleet = self.fleet_screen
        arranged = fleet.view.arrangement
        now = structs.replace(
            self._preferences,
            columns=fleet.columns,
            order=arranged.order,
            is_reversed=arranged.is_reversed,
            group=arranged.group,
            is_comb=fleet.is_comb,
        )
        stored, _ = preferences.load(self._options.folder)
        if now == stored:
            return
        self._preferences = now
        if problem := preferences.save(self._options.folder, now):
            self.log.warning(problem)

    def _hint(self) -> None:
        shown = next(screen for screen in reversed(self.screen_stack) if not screen.is_modal)
        shown.post_message(PictureChanged())
        if self.feed.link.state is not self._bound_for:
            self._bound_for = self.feed.link.state
            self.refresh_bindings()


def run(target: Target, options: Options | None = None) -> int:
    """Shows the fleet of the master at `target` until the user leaves. From the main thread only.

    Leaves on `q`, Ctrl-C, SIGINT, SIGTERM and SIGHUP, whatever the link is doing, and gives the
    terminal back as it was, and the signals to whoever handled them before. After an error in the
    dashboard itself that is printed last.

    Returns:
        The exit code: 0 when it was left on purpose, 1 after an error.
    """
    return show(Client(target), options)


def show(source: Source, options: Options | None = None, clock: Clock | None = None) -> int:
    """The same with any source; `clock` is the one that it stamps what it reports by."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    with _handlers_given_back():
        return asyncio.run(_run(Dashboard(source, clock, options=options)))


async def _run(app: Dashboard) -> int:
    for number in _LEAVE_ON:
        asyncio.get_running_loop().add_signal_handler(number, app.action_leave)
    await app.run_async()
    return app.return_code or 0


@contextmanager
def _handlers_given_back() -> Generator[None]:
    """An event loop forgets whose signals it took; whoever runs the dashboard needs them again."""
    before = {number: signal.getsignal(number) for number in _LEAVE_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
