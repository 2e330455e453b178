"""What the time machine looks like, kept as pictures: review them when they change on purpose.

pytest tests/tui/test_past_snapshots.py --snapshot-update
"""

import asyncio

import pytest
from textual.pilot import Pilot

from shared import messages as m
from shared.liveness import State
from tests.tui import then
from tests.tui.fleets import snapshot
from tests.tui.pictures import Compare, Opening
from tests.tui.scripted import LIVE, ScriptedSource, StandingClock, screen_lines
from tui.app import Dashboard
from tui.ascii import to_ascii
from tui.look import Look, Symbols
from tui.options import Options
from tui.themes import LIGHT, PLAIN

pytestmark = pytest.mark.usefixtures("utc")

FLEET = [f"web-{number}" for number in range(1, 31)]
THEN = {name: State.DOWN if number % 4 == 0 else State.UP for number, name in enumerate(FLEET)}
OUTAGES = (
    *(then.outage(name, 52, 4) for name in FLEET[:2]),
    *(then.outage(name, 31, 7) for name in FLEET),
    *(then.outage(name, 14, 2) for name in FLEET[::4]),
)
GAPS = {"web-1": (then.gap(44, 3),), "web-2": (then.gap(8, 1),)}


def answered(source: ScriptedSource) -> None:
    """Answers what has been asked about the past, as a master with a history would."""
    asked, source.sent[:] = list(source.sent), []
    for question in asked:
        match question:
            case m.GetFleetAt():
                source.say(*then.fleet_at(question, THEN))
            case m.GetNodeAt():
                source.say(then.node_at(question))
            case m.ListOutages(request=request, node=node):
                told = [each for each in OUTAGES if node in {"", each.node_id}]
                source.say(m.Outages(request, tuple(told)))
            case m.GetCoverage():
                source.say(then.coverage(question, GAPS))
            case _:
                pass


def going_back(source: ScriptedSource, *keys: str) -> Opening:
    """Into the past by these keys, with an answer after each."""

    async def look(pilot: Pilot[int]) -> None:
        for key in keys:
            await pilot.press(key)
            answered(source)
        await pilot.pause()
        answered(source)
        await pilot.pause()

    return look


def a_dashboard(look: Look | None = None) -> tuple[Dashboard, ScriptedSource]:
    source = ScriptedSource(LIVE, snapshot(dict.fromkeys(FLEET, State.UP)))
    return Dashboard(source, StandingClock(), Options(look=look or Look())), source


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=lambda size: f"{size[0]}")
def test_fleet_of_then(snap_compare: Compare, size: tuple[int, int]) -> None:
    app, source = a_dashboard()
    look = going_back(source, "t", *["left"] * 14)
    assert snap_compare(app, terminal_size=size, run_before=look)


@pytest.mark.parametrize("theme", [LIGHT.name, PLAIN.name])
def test_fleet_of_then_in_other_themes(snap_compare: Compare, theme: str) -> None:
    app, source = a_dashboard()

    async def look(pilot: Pilot[int]) -> None:
        app.theme = theme
        await going_back(source, "t", "left_curly_bracket")(pilot)

    assert snap_compare(app, terminal_size=(80, 24), run_before=look)


def test_node_of_then(snap_compare: Compare) -> None:
    app, source = a_dashboard()
    look = going_back(source, "enter", "t", "minus", "left", "6")
    assert snap_compare(app, terminal_size=(100, 30), run_before=look)


def test_where_there_is_only_ascii_the_past_is_as_plain() -> None:
    async def scenario() -> list[str]:
        app, source = a_dashboard(Look(symbols=Symbols.ASCII))
        async with app.run_test(size=(80, 24)) as pilot:
            await going_back(source, "t", *["left"] * 14)(pilot)
            return [to_ascii(line) for line in screen_lines(app)]

    lines = asyncio.run(scenario())
    assert lines[3].startswith(" << THE PAST  Wed 2026-11-18 10:53:00 UTC, 13m 40s ago")
    assert lines[-3:-1] == [
        " 1 h     =======:::::===----=========########=========|||===--=======",
        "         10:07                                         ^ 8 of 30 away",
    ]
