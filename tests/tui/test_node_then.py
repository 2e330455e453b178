"""One node in the past, and its graphs out of the history, as a person drives them."""

import pytest

from shared import messages as m
from shared.liveness import State
from tests.tui import then
from tests.tui.fleets import snapshot
from tests.tui.scripted import LIVE, ScriptedSource, asked, dashboard, run, screen_lines, shown

FLEET = {"web-1": State.UP, "web-2": State.UP, "db-1": State.UP}
THEN = {"web-1": State.UP, "web-2": State.DOWN, "db-1": State.UP}
pytestmark = pytest.mark.usefixtures("utc")


def source() -> ScriptedSource:
    return ScriptedSource(LIVE, snapshot(FLEET))


def test_node_is_seen_as_it_was_and_nobody_is_asked_to_measure_it_finely() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of, size=(120, 40)) as (app, pilot, _):
            await pilot.press("enter")
            of.sent.clear()
            await pilot.press("t", "left")
            assert m.FocusNode("") in of.sent
            (question,) = asked(of, m.GetNodeAt)
            of.say(then.node_at(question))
            latest = asked(of, m.GetNodeAt)[-1]
            of.say(then.node_at(latest, State.HUNG))
            await pilot.press("6")
            await pilot.pause()
            assert "■ hung" in screen_lines(app)[1]
            assert "11:06:00" in screen_lines(app)[4]
            assert "processes 2s ago" in shown(app)
            assert "postgres: checkpointer" in shown(app)
            assert not asked(of, m.GetFleetAt)
            await pilot.press("home")
            assert of.sent.count(m.FocusNode("id-db-1")) == 1

    run(scenario)


def test_in_the_past_arrows_step_and_tab_changes_the_page() -> None:
    async def scenario() -> None:
        async with dashboard(source()) as (app, pilot, _):
            await pilot.press("enter", "right")
            assert "▸ cpu" in screen_lines(app)[0]
            await pilot.press("t", "left", "tab")
            assert "▸ memory" in screen_lines(app)[0]
            await pilot.press("home", "right")
            await pilot.pause()
            assert "▸ disks" in screen_lines(app)[0]

    run(scenario)


def test_escape_goes_back_the_way_one_came() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            await pilot.press("t")
            of.say(*then.fleet_at(asked(of, m.GetFleetAt)[0], THEN))
            await pilot.press("enter", "escape")
            await pilot.pause()
            assert "3 nodes" in screen_lines(app)[1]
            assert "THE PAST" in shown(app)
            await pilot.press("escape", "enter", "t", "escape")
            await pilot.pause()
            assert "▸ overview" in screen_lines(app)[0]
            assert "THE PAST" not in shown(app)

    run(scenario)


def test_node_that_was_not_known_yet_is_said_to_be_so() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            await pilot.press("enter", "t")
            (question,) = asked(of, m.GetNodeAt)
            of.say(m.Failed(question.request, "not-found", "db-1 was not known yet"))
            await pilot.pause()
            assert "this node was not known yet" in shown(app)

    run(scenario)


def test_graphs_of_a_node_come_from_the_history_when_one_zooms_out() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of, size=(100, 30)) as (app, pilot, _):
            await pilot.press("enter")
            assert not asked(of, m.GetSeries)
            await pilot.press("minus", "minus", "minus")
            latest = asked(of, m.GetSeries)[-1]
            of.say(m.Failed(latest.request, "not-read", "the disk is on fire"))
            latest = asked(of, m.GetSeries)[-1]
            assert latest.to_wall_ms - latest.from_wall_ms == 3_600_000
            assert latest.node == "id-db-1"
            step_ms = 60_000
            starts = tuple(range(latest.from_wall_ms, latest.to_wall_ms, step_ms))
            flat = tuple(5_000 for _ in starts)
            told = tuple(m.SeriesOf(name, flat, flat, flat) for name in latest.metrics)
            of.say(m.Series(latest.request, latest.node, step_ms, step_ms, starts, flat, told))
            await pilot.pause()
            assert "graphs: 1 h, from the 1-min tier" in shown(app)
            assert "⣿" * 40 in shown(app)

    run(scenario)
