"""The dashboard's application: one source of news, the screens that show it, and a clean way out.

code = run(UnixTarget(path))
"""

import asyncio
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import ClassVar, Final

from textual.app import App
from textual.binding import Binding, BindingType
from textual.driver import Driver

from tui.client import Client, Target
from tui.clock import Clock, SystemClock
from tui.feed import Feed, PictureChanged
from tui.link import LinkState, Source
from tui.look import Look
from tui.screens.fleet import FleetScreen
from tui.terminal import outliving
from tui.themes import COLOURS, THEMES

TICK_S: Final = 1.0
"""How often ages are looked at: the unit in which they are shown."""

_LEAVE_ON: Final = () if sys.platform == "win32" else (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""On Windows an event loop cannot take signals; there the keys remain."""


class Dashboard(App[int]):
    """Shows what `source` reports, until the user leaves."""

    TITLE = "heartline"
    CSS_PATH = "dashboard.tcss"
    ENABLE_COMMAND_PALETTE = False

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "Quit"),
        Binding("ctrl+c,ctrl+q", "leave", "Quit", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False),
        Binding("r", "retry", "Try again now"),
    ]

    def __init__(self, source: Source, clock: Clock | None = None) -> None:
        super().__init__()
        self._source = source
        self.feed = Feed(clock or SystemClock(), self._hint, source.send)
        self._bound_for: LinkState | None = None

    def get_driver_class(self) -> type[Driver]:
        """See `textual.app.App`: one that ends with its terminal."""
        return outliving(super().get_driver_class())

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """See `textual.app.App`: names of our own, for every theme."""
        return dict(COLOURS)

    def get_default_screen(self) -> FleetScreen:
        """See `textual.app.App`."""
        return FleetScreen(self.feed, Look())

    def on_mount(self) -> None:
        """Starts listening to the source, and to whoever wants this process to end."""
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = THEMES[0].name
        self.set_interval(TICK_S, self._hint)
        self.run_worker(self._source.run(self.feed), exit_on_error=True)

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],  # noqa: ARG002 - Textual's signature
    ) -> bool | None:
        """See `textual.dom.DOMNode`: there is nothing to try again while the link is live."""
        return action != "retry" or self.feed.link.state is not LinkState.LIVE

    def action_leave(self) -> None:
        """Ends the dashboard; the service that it shows goes on."""
        self.exit(0)

    def action_retry(self) -> None:
        """Dials now rather than when the back-off is over."""
        self._source.retry_now()

    def _hint(self) -> None:
        self.screen.post_message(PictureChanged())
        if self.feed.link.state is not self._bound_for:
            self._bound_for = self.feed.link.state
            self.refresh_bindings()


def run(*targets: Target) -> int:
    """Shows the fleet of one cluster until the user leaves; its masters, the `targets`, are dialled
    in turn. From the main thread only.

    Leaves on `q`, Ctrl-C, SIGINT, SIGTERM and SIGHUP, whatever the link is doing, and gives the
    terminal back as it was, and the signals to whoever handled them before. After an error in the
    dashboard itself that is printed last.

    Returns:
        The exit code: 0 when it was left on purpose, 1 after an error.
    """
    return show(Client(*targets))


def show(source: Source, clock: Clock | None = None) -> int:
    """The same for any source; `clock` is the one that it stamps what it reports by."""
    with _handlers_given_back():
        return asyncio.run(_run(Dashboard(source, clock)))


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
