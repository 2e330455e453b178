"""A dashboard without a master: a source that says what the test says, and a clock that stands."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final, TypeVar

from textual.pilot import Pilot

from shared.messages import FromMaster, FromViewer, Message
from tests.tui.fleets import WALL_MS
from tui.app import Dashboard
from tui.link import Link, LinkState, Viewer

Kind = TypeVar("Kind", bound=Message)

NOW_S: Final = 1_000.0

LIVE: Final = Link(
    LinkState.LIVE, NOW_S, "/run/heartline/master.sock", cluster="lab", delay_s=0.0012
)
LOST: Final = replace(
    LIVE,
    state=LinkState.LOST,
    since_s=NOW_S - 12,
    reason="the master closed the link",
    retry_at_s=NOW_S + 3,
)


class StandingClock:
    """Stands at `NOW_S` until a test moves it."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0

    def mono_s(self) -> float:
        return NOW_S + self.elapsed_s

    def wall_ms(self) -> int:
        return WALL_MS + round(self.elapsed_s * 1000)


class ScriptedSource:
    """Says at once what it is made with, and later what the test has it say."""

    def __init__(self, *reports: Link | FromMaster) -> None:
        self._reports = reports
        self._viewer: Viewer | None = None
        self.retries = 0
        self.sent: list[FromViewer] = []
        """What the dashboard has said, in order."""

    async def run(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.say(*self._reports)
        await asyncio.Event().wait()

    def retry_now(self) -> None:
        self.retries += 1

    def send(self, message: FromViewer) -> None:
        self.sent.append(message)

    def say(self, *reports: Link | FromMaster) -> None:
        assert self._viewer is not None
        for report in reports:
            if isinstance(report, Link):
                self._viewer.on_link(report)
            else:
                self._viewer.on_message(report, NOW_S)


def run(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    """Textual runs on asyncio, and the tests' own loop is trio's."""
    asyncio.run(scenario())


@asynccontextmanager
async def dashboard(
    source: ScriptedSource, *, size: tuple[int, int] = (80, 24)
) -> AsyncGenerator[tuple[Dashboard, Pilot[int], StandingClock]]:
    """The dashboard, painted, on a screen of `size`; time and ticks stand still."""
    clock = StandingClock()
    app = Dashboard(source, clock)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield app, pilot, clock


def screen_lines(app: Dashboard) -> list[str]:
    """What stands on the screen, line by line, without colours."""
    strips = app.screen._compositor.render_strips()
    return [strip.text.rstrip() for strip in strips]


def shown(app: Dashboard) -> str:
    """The same as one text."""
    return "\n".join(screen_lines(app))


def asked(of: ScriptedSource, kind: type[Kind]) -> list[Kind]:
    """The questions of that kind so far."""
    return [message for message in of.sent if isinstance(message, kind)]
