"""The time machine, as a person drives it: into the past, along it, and back."""

from dataclasses import replace

import pytest

from shared import messages as m
from shared.liveness import State
from tests.tui import details, then
from tests.tui.fleets import WALL_MS, snapshot
from tests.tui.scripted import (
    LIVE,
    LOST,
    ScriptedSource,
    asked,
    dashboard,
    run,
    screen_lines,
    shown,
)
from tui.app import Dashboard
from tui.asking import ASKING_SHOWN_S
from tui.feed import PictureChanged

FLEET = {"web-1": State.UP, "web-2": State.UP, "db-1": State.UP}
THEN = {"web-1": State.UP, "web-2": State.DOWN, "db-1": State.UP}
pytestmark = pytest.mark.usefixtures("utc")


def source() -> ScriptedSource:
    return ScriptedSource(LIVE, snapshot(FLEET))


def notified(app: Dashboard) -> list[str]:
    return [notification.message for notification in app._notifications]


def test_t_shows_the_fleet_as_it_was_and_says_so() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            await pilot.press("t")
            (question,) = asked(of, m.GetFleetAt)
            assert question.at_wall_ms == WALL_MS
            of.say(*then.fleet_at(question, THEN))
            await pilot.pause()
            assert "◀◀ THE PAST  Wed 2026-11-18 11:06:40" in shown(app)
            assert "◀◀ past" in screen_lines(app)[0]
            assert "✗ 1 down" in screen_lines(app)[1]

    run(scenario)


def test_arrows_begin_too_and_step_a_cell_at_a_time() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            await pilot.press("left")
            of.say(*then.fleet_at(asked(of, m.GetFleetAt)[-1], THEN))
            for keys, ago_min in ((["left"], 0), (["left"], 1), (["right"], 0), (["{"], 10)):
                await pilot.press(*("left_curly_bracket" if key == "{" else key for key in keys))
                question = asked(of, m.GetFleetAt)[-1]
                assert question.at_wall_ms == WALL_MS - 40_000 - ago_min * 60_000
                of.say(*then.fleet_at(question, THEN))
            await pilot.pause()
            assert "10:56:00" in screen_lines(app)[3]

    run(scenario)


def test_one_question_is_on_its_way_and_only_the_latest_follows() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (_, pilot, _clock):
            await pilot.press("t", *["left"] * 30)
            (first,) = asked(of, m.GetFleetAt)
            of.say(*then.fleet_at(first, THEN))
            first, latest = asked(of, m.GetFleetAt)
            assert latest.at_wall_ms == WALL_MS - 40_000 - 29 * 60_000
            of.say(*then.fleet_at(latest, THEN))
            assert len(asked(of, m.GetFleetAt)) == 2

    run(scenario)


def test_answer_of_a_past_that_was_left_is_dropped() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            await pilot.press("t", "home", "t")
            old, new = asked(of, m.GetFleetAt)
            of.say(*then.fleet_at(old, {"ghost": State.DOWN}))
            await pilot.pause()
            assert "ghost" not in shown(app)
            of.say(*then.fleet_at(new, THEN))
            await pilot.press("escape")
            outages = asked(of, m.ListOutages)[-1]
            await pilot.press("enter")
            of.say(m.Outages(outages.request, ()))  # of the fleet: says nothing of this node
            await pilot.press("o")
            assert "No outages yet" in shown(app)

    run(scenario)


def test_picture_takes_effect_with_its_last_piece() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            await pilot.press("t")
            first, last = then.fleet_at(
                asked(of, m.GetFleetAt)[0], {"old-1": State.UP, "old-2": State.UP}, part=1
            )
            of.say(first)
            await pilot.pause()
            assert "old-1" not in shown(app)
            assert "nothing of it is here yet" in shown(app)
            of.say(last)
            await pilot.pause()
            assert "old-1" in shown(app)
            assert "web-1" not in shown(app)

    run(scenario)


def test_home_escape_and_t_lead_back_to_the_present() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            for key in ("home", "escape", "t"):
                await pilot.press("t")
                assert "THE PAST" in shown(app)
                await pilot.press(key)
                await pilot.pause()
                assert "THE PAST" not in shown(app)
                assert "● live" in screen_lines(app)[0]

    run(scenario)


def test_waiting_for_an_answer_is_said_and_so_is_that_there_is_none() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, clock):
            await pilot.press("t")
            assert "asking for" not in shown(app)
            clock.elapsed_s = ASKING_SHOWN_S + 0.1
            app.screen.post_message(PictureChanged())
            await pilot.pause()
            assert "asking for 11:06:40 …" in shown(app)
            question = asked(of, m.GetFleetAt)[0]
            of.say(m.Failed(question.request, "not-read", "the disk is on fire"))
            await pilot.pause()
            assert "no answer about Wed 2026-11-18 11:06:40 UTC: the disk is on fire" in shown(app)

    run(scenario)


def test_lost_link_keeps_the_picture_and_asks_again_when_it_is_back() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of, size=(120, 24)) as (app, pilot, _):
            await pilot.press("t")
            of.say(*then.fleet_at(asked(of, m.GetFleetAt)[0], THEN))
            await pilot.press("left")
            of.say(LOST)
            await pilot.pause()
            assert "✗ 1 down" in screen_lines(app)[1]
            assert "no link: the master closed the link" in " ".join(shown(app).split())
            of.say(LIVE)
            before, again = asked(of, m.GetFleetAt)[-2:]
            assert before.at_wall_ms == again.at_wall_ms
            assert before.request != again.request

    run(scenario)


def test_pause_is_another_thing() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            await pilot.press("space", "t")
            of.say(*then.fleet_at(asked(of, m.GetFleetAt)[0], THEN))
            await pilot.pause()
            assert "THE PAST" in shown(app)
            await pilot.press("home")
            await pilot.pause()
            assert "‖ Paused at" in shown(app)

    run(scenario)


def test_palette_goes_to_an_instant_that_is_typed() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            await pilot.press("colon", *"at", "space", *"2h", "enter")
            await pilot.pause()
            assert asked(of, m.GetFleetAt)[-1].at_wall_ms == WALL_MS - 2 * 3_600_000
            await pilot.press("colon", *"at", "space", *"soon")
            await pilot.pause()
            assert "names no instant" in shown(app)

    run(scenario)


def test_brackets_go_from_outage_to_outage() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            await pilot.press("t")
            told = (then.outage("web-1", 300, 10), then.outage("db-1", 20, 2))
            of.say(m.Outages(asked(of, m.ListOutages)[-1].request, told))
            for key, outage in (("[", told[1]), ("[", told[0]), ("]", told[1])):
                of.say(*then.fleet_at(asked(of, m.GetFleetAt)[-1], THEN))
                await pilot.press(f"{'left' if key == '[' else 'right'}_square_bracket")
                assert asked(of, m.GetFleetAt)[-1].at_wall_ms == outage.noticed_wall_ms
            await pilot.press("right_square_bracket")
            await pilot.pause()
            assert notified(app) == ["No outage is known after that"]

    run(scenario)


def test_events_are_those_of_before_that_instant() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            of.say(m.Events(1, details.events_of("id-db-1", "db-1")))
            await pilot.press("t", "left_curly_bracket", "right", "right", "right", "e")
            for question in asked(of, m.GetFleetAt)[:1]:
                of.say(*then.fleet_at(question, THEN))
            of.say(*then.fleet_at(asked(of, m.GetFleetAt)[-1], THEN))
            await pilot.pause()
            assert "11:00:00" in shown(app)
            assert "2 events" in screen_lines(app)[1]
            await pilot.press("escape", "home", "e")
            await pilot.pause()
            assert "5 events" in screen_lines(app)[1]

    run(scenario)


def test_plus_and_minus_change_how_much_is_in_sight() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            await pilot.press("t")
            assert screen_lines(app)[-3].startswith(" 1 h     ━")
            await pilot.press("minus")
            await pilot.pause()
            assert screen_lines(app)[-3].startswith(" 1 d     ━")
            await pilot.press("left")
            of.say(*then.fleet_at(asked(of, m.GetFleetAt)[0], THEN))
            assert asked(of, m.GetFleetAt)[-1].at_wall_ms == WALL_MS - WALL_MS % 1_800_000

    run(scenario)


def test_recording_has_no_past() -> None:
    async def scenario() -> None:
        of = ScriptedSource(replace(LIVE, playing="x1"), snapshot(FLEET))
        async with dashboard(of) as (app, pilot, _):
            await pilot.press("t")
            await pilot.pause()
            assert not asked(of, m.GetFleetAt)
            assert notified(app) == ["A recording has no history to look into"]

    run(scenario)
