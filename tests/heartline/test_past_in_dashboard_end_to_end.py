"""The time machine with real processes: a master, this host's agent, the dashboard's own client."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from shared.liveness import State
from shared.paths import StateFolder
from tests.heartline.processes import DEADLINE_S, nodes_with_a_past, states, up, wait_until
from tests.tui.scripted import screen_lines
from tui.app import Dashboard
from tui.client import Client
from tui.target import UnixTarget


async def until(app: Dashboard, pilot: Pilot[int], holds: Callable[[str], bool]) -> str:
    """What stands on the screen, once it is as it should be."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not holds(shown := "\n".join(screen_lines(app))):
        assert time.monotonic() < deadline_s, shown
        await pilot.pause(0.05)
    return shown


def test_fleet_and_node_are_shown_as_they_were(tmp_path: Path) -> None:
    async def scenario() -> None:
        app = Dashboard(Client(UnixTarget(StateFolder(tmp_path).socket)))
        async with app.run_test(size=(120, 40)) as pilot:
            (name,) = states(tmp_path)
            await until(app, pilot, lambda shown: "1 up" in shown)
            await pilot.press("t")
            await until(app, pilot, lambda shown: " ago  " in shown and "THE PAST" in shown)
            assert app.feed.past is not None
            assert app.feed.past.shown_wall_ms is not None
            (then,) = app.feed.fleet.rows
            assert then.profile.name == name
            assert then.core.cpu_count is not None
            await pilot.press("enter")
            shown = await until(app, pilot, lambda shown: "from the samples" in shown)
            assert f"▸ {name} ▸ overview" in shown
            await pilot.press("home", "6")
            await until(app, pilot, lambda shown: "● live" in shown and "threads" in shown)
            await pilot.press("t")
            while "threads" not in await until(app, pilot, lambda shown: " ago  " in shown):
                await pilot.press("home", "t")  # the history has it half a second later

    with up(tmp_path):
        wait_until(lambda: set(states(tmp_path).values()) == {State.UP})
        wait_until(lambda: nodes_with_a_past(tmp_path) == 1)
        asyncio.run(scenario())
