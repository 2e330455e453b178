"""The last line: as many keys as fit, and always the way out."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.liveness import State
from tests.tui.fleets import snapshot
from tests.tui.scripted import LIVE, LOST, ScriptedSource, dashboard, screen_lines
from tui.link import Link
from tui.widgets.key_line import KeyLine

FLEET = snapshot({"web-1": State.UP, "db-1": State.DOWN})


def last_line(width: int, link: Link, keys: Sequence[str] = ()) -> str:
    """What stands in it on a screen of that width, after these keys."""

    async def scenario() -> str:
        source = ScriptedSource(LIVE, FLEET, link)
        async with dashboard(source, size=(width, 24)) as (app, pilot, _):
            await pilot.press(*keys)
            await pilot.pause()
            return screen_lines(app)[-1]

    return asyncio.run(scenario())


@pytest.mark.parametrize("width", [80, 60, 40])
@pytest.mark.parametrize("link", [LIVE, LOST], ids=["live", "lost"])
@pytest.mark.parametrize("keys", [(), ("enter",), ("enter", "6"), ("e",)], ids="-".join)
def test_way_out_is_always_in_sight(width: int, link: Link, keys: Sequence[str]) -> None:
    line = last_line(width, link, keys)
    assert line.endswith("q Quit")
    assert len(line) <= width


def test_screens_own_keys_give_way_from_the_last() -> None:
    wide, narrow = last_line(132, LOST), last_line(60, LOST)
    assert "h Honeycomb  r Try again now" in wide
    assert narrow == " ⏎ Open  t Past  r Try again now  : Commands  ? Help  q Quit"


def test_mouse_presses_what_stands_under_it_where_keys_have_given_way() -> None:
    async def scenario() -> None:
        source = ScriptedSource(LIVE, FLEET, LOST)
        async with dashboard(source, size=(60, 24)) as (app, pilot, _):
            line = screen_lines(app)[-1]
            await pilot.click(KeyLine, offset=(line.index("Try again"), 0))
            assert source.retries == 1

    asyncio.run(scenario())
