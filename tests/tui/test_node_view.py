"""One node from close by, as a person drives it: opening it, its pages, its processes, leaving."""

import pytest

from shared.liveness import State
from shared.messages import (
    Delta,
    Event,
    Events,
    FocusNode,
    FromViewer,
    GetNode,
    ListEvents,
    ListOutages,
    Outages,
    raw,
)
from tests.tui import details
from tests.tui.fleets import MONO_MS, WALL_MS, core, snapshot, vitals
from tests.tui.scripted import LIVE, LOST, ScriptedSource, dashboard, run, screen_lines, shown
from tui.feed import PictureChanged
from tui.pages import PAGES
from tui.widgets.fleet_table import FleetTable
from tui.widgets.sheet import Sheet
from tui.widgets.tabs import Tabs

FLEET = {"web-1": State.UP, "web-2": State.UP, "db-1": State.UP}
OPENED = "id-db-1"


def source() -> ScriptedSource:
    return ScriptedSource(LIVE, snapshot(FLEET))


def asked(of: ScriptedSource) -> list[FromViewer]:
    """What was said to the master since this was last asked."""
    said, of.sent[:] = list(of.sent), []
    return said


def test_enter_opens_the_node_under_the_cursor_and_escape_leaves_it() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            (follow,) = asked(of)
            assert isinstance(follow, ListEvents)
            assert (follow.node, follow.follow) == ("", True)
            await pilot.press("enter")
            assert screen_lines(app)[0].startswith(" ♥ lab ▸ db-1 ▸ overview")
            first, past, outages, all_of_it = asked(of)
            assert first == FocusNode(OPENED)
            assert isinstance(past, ListEvents)
            assert (past.node, past.follow) == (OPENED, False)
            assert isinstance(outages, ListOutages)
            assert outages.node == OPENED
            assert isinstance(all_of_it, GetNode)
            assert all_of_it.node == OPENED
            await pilot.press("escape")
            await pilot.pause()
            assert "3 nodes" in screen_lines(app)[1]
            assert asked(of) == [FocusNode("")]

    run(scenario)


def test_two_clicks_open_a_node() -> None:
    async def scenario() -> None:
        async with dashboard(source()) as (app, pilot, _):
            await pilot.click(FleetTable, offset=(10, 3), times=2)
            assert "▸ web-2 ▸" in screen_lines(app)[0]

    run(scenario)


def test_every_page_has_a_key() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of, size=(120, 35)) as (app, pilot, _):
            await pilot.press("enter")
            of.say(*details.details(OPENED))
            for page in PAGES:
                await pilot.press(page.hotkey)
                await pilot.pause()
                assert screen_lines(app)[0].startswith(f" ♥ lab ▸ db-1 ▸ {page.title} ")
                for family in page.families:
                    assert f"{family} 1s ago" in shown(app)

    run(scenario)


def test_tab_goes_around_the_pages_and_the_mouse_picks_one() -> None:
    async def scenario() -> None:
        async with dashboard(source()) as (app, pilot, _):
            await pilot.press("enter", "tab", "right")
            assert "▸ memory" in screen_lines(app)[0]
            await pilot.press("shift+tab", "left", "left")
            assert "▸ events" in screen_lines(app)[0]
            await pilot.pause()  # until the page that was left is gone
            x = screen_lines(app)[3].index("6 proc")
            await pilot.click(Tabs, offset=(x + 2, 0))
            assert "▸ processes" in screen_lines(app)[0]
            await pilot.click(Tabs, offset=(0, 0))
            assert "▸ processes" in screen_lines(app)[0]

    run(scenario)


def test_every_tab_is_in_sight_on_a_screen_of_80_columns() -> None:
    async def scenario() -> None:
        async with dashboard(source()) as (app, pilot, _):
            await pilot.press("enter")
            tabs = screen_lines(app)[3]
            assert tabs.split() == [word for page in PAGES for word in (page.hotkey, page.short)]

    run(scenario)


def test_graphs_grow_with_every_beat() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, clock):
            await pilot.press("enter", "2")
            of.say(*details.details(OPENED))
            await pilot.pause()
            before = shown(app).count("⣿")
            for second in range(1, 20):
                clock.elapsed_s = second
                busy = raw(core(cpu_busy_bp=9_000))
                beat = vitals("db-1", age_ms=-1_000 * second, period_ms=1_000, core=busy)
                of.say(Delta(MONO_MS, vitals=(beat,)))
            await pilot.pause()
            assert shown(app).count("⣿") > before + 10

    run(scenario)


def test_news_of_a_family_are_shown_when_they_come() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, clock):
            await pilot.press("enter", "8")
            assert "has not come yet" in shown(app)
            of.say(details.update(OPENED, "users", details.users()))
            of.say(details.update("id-web-1", "users", details.users(), age_ms=9_000))
            await pilot.pause()
            assert "users 1s ago" in shown(app)
            clock.elapsed_s = 30
            app.screen.post_message(PictureChanged())
            await pilot.pause()
            assert "users 31s ago" in shown(app)

    run(scenario)


def test_processes_are_sorted_reversed_shown_as_tree_and_filtered() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            await pilot.press("enter")
            of.say(*details.details(OPENED))
            await pilot.press("6", "p")
            assert screen_lines(app)[7].split()[0] == "1"
            await pilot.press("p")
            assert screen_lines(app)[7].split()[0] == "4711"
            await pilot.press("p", "v")
            assert "└─" in shown(app)
            await pilot.press("v")
            titles = screen_lines(app)[6]
            await pilot.click(Sheet, offset=(titles.index("memory") + 1, 2))
            assert "memory▼" in screen_lines(app)[6]
            await pilot.press("slash", *"kim", "enter")
            await pilot.pause()
            assert '2 shown with "kim"' in shown(app)
            await pilot.press("escape")
            assert "9 shown" in shown(app)
            assert "▸ processes" in screen_lines(app)[0]

    run(scenario)


def test_keys_typed_into_the_filter_are_text_and_escape_takes_it_back() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            await pilot.press("enter")
            of.say(*details.details(OPENED))
            await pilot.press("6", "slash", *"q1ce")
            assert 'with "q1ce"' in shown(app)
            await pilot.press("escape")
            assert "9 shown" in shown(app)
            assert "▸ processes" in screen_lines(app)[0]

    run(scenario)


def test_keys_of_a_page_do_nothing_on_another() -> None:
    async def scenario() -> None:
        async with dashboard(source()) as (app, pilot, _):
            await pilot.press("enter", "8", "slash", "t", "c")
            assert "▸ users" in screen_lines(app)[0]
            assert "Sort" not in screen_lines(app)[-1]

    run(scenario)


def test_long_page_scrolls_beneath_its_titles() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of, size=(80, 14)) as (app, pilot, _):
            await pilot.press("enter")
            of.say(*details.details(OPENED))
            await pilot.press("6", "end")
            await pilot.pause()
            assert "pid" in screen_lines(app)[6]
            assert "bash" in screen_lines(app)[-2]
            await pilot.press("home", "down", "pagedown", "pageup", "up")
            await pilot.pause()
            assert "pid" in screen_lines(app)[6]
            await pilot.press("1")
            await pilot.pause()
            assert app.screen.query_one(Sheet).scroll_offset.y == 0

    run(scenario)


def test_lost_master_is_said_and_the_focus_asked_for_again_on_the_next_link() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            await pilot.press("enter")
            of.say(*details.details(OPENED))
            await pilot.press("6")
            asked(of)
            of.say(LOST)
            await pilot.pause()
            assert "This is the last picture" in shown(app)
            assert "systemd" in shown(app)
            of.say(LIVE, snapshot(FLEET))
            await pilot.pause()
            assert FocusNode(OPENED) in asked(of)
            assert "This is the last picture" not in shown(app)

    run(scenario)


def test_node_that_the_master_has_forgotten_is_said_to_be() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            await pilot.press("enter")
            of.say(Delta(MONO_MS, gone=(OPENED,)))
            await pilot.pause()
            assert "The master has forgotten this node" in shown(app)
            await pilot.press("escape")
            await pilot.pause()
            assert "2 nodes" in screen_lines(app)[1]

    run(scenario)


def test_events_of_the_node_come_as_they_happen() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            await pilot.press("enter", "e")
            of.say(Events(1, details.events_of(OPENED, "db-1")))
            of.say(Events(2, details.events_of("id-web-1", "web-1")))
            await pilot.pause()
            assert shown(app).count("rebooted") == 1

    run(scenario)


@pytest.mark.parametrize("size", [(36, 8), (60, 12), (80, 24), (120, 35), (300, 90)])
def test_any_size_of_screen_will_do(size: tuple[int, int]) -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of, size=size) as (app, pilot, _):
            await pilot.press("enter")
            of.say(*details.details(OPENED))
            for page in PAGES:
                await pilot.press(page.hotkey)
            await pilot.resize_terminal(size[0] + 9, size[1] + 3)
            await pilot.pause()
            assert len(screen_lines(app)) == size[1] + 3
            assert "db-1" in screen_lines(app)[0]

    run(scenario)


def test_outages_are_shown_chosen_and_asked_for_again_when_one_ends() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of, size=(100, 40)) as (app, pilot, _):
            await pilot.press("enter", "o")
            assert "No outages yet" in shown(app)
            of.say(Outages(1, details.outages_of(OPENED, "db-1")), details.node_detail("db-1"))
            await pilot.pause()
            assert "1 of 4" in shown(app)
            assert "still away" in shown(app)
            assert "day 99.907 %" in shown(app)
            await pilot.press("down", "j")
            assert "3 of 4" in shown(app)
            assert "boot id changed" in shown(app)
            await pilot.press("up")
            assert "2 of 4" in shown(app)
            assert "boot id changed" not in shown(app)
            asked(of)
            of.say(Events(9, (Event(70, WALL_MS, "state", OPENED, "db-1", "down", "up"),)))
            assert [type(message) for message in asked(of)] == [ListOutages, GetNode]
            of.say(Events(9, (Event(71, WALL_MS, "state", "id-web-1", "web-1", "up", "late"),)))
            assert asked(of) == []
            await pilot.press("1", "down")
            await pilot.press("o")
            assert "2 of 4" in shown(app)

    run(scenario)


def test_outages_of_another_node_are_not_taken_for_this_ones() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of, size=(100, 40)) as (app, pilot, _):
            await pilot.press("enter", "o")
            of.say(Outages(1, details.outages_of("id-web-1", "web-1")))
            of.say(details.node_detail("web-1"))
            await pilot.pause()
            assert "No outages yet" in shown(app)
            assert "Availability" not in shown(app)

    run(scenario)


def test_availability_is_counted_anew_while_its_page_is_open_and_not_elsewhere() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, clock):
            await pilot.press("enter")
            await pilot.pause()
            for key, elapsed_s, expected in [
                ("1", 12, 0),
                ("o", 12, 1),
                ("o", 15, 0),
                ("o", 22, 1),
                ("2", 60, 0),
            ]:
                asked(of)
                clock.elapsed_s = elapsed_s
                await pilot.press(key)
                app.screen.post_message(PictureChanged())
                await pilot.pause()
                assert sum(isinstance(said, GetNode) for said in asked(of)) == expected

    run(scenario)
