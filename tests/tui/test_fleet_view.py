"""The fleet as a person arranges it: filter, order, groups, honeycomb, pause, columns, commands."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from shared.liveness import State
from shared.messages import Delta, Events, FocusNode, ListEvents, Snapshot, raw
from tests.tui import details
from tests.tui.fleets import MONO_MS, WALL_MS, SimulatedFleet, core, info, vitals
from tests.tui.scripted import (
    LIVE,
    ScriptedSource,
    StandingClock,
    dashboard,
    run,
    screen_lines,
    shown,
)
from tui.app import Dashboard
from tui.capture import FOLDER
from tui.feed import PictureChanged
from tui.filters import parse_filter
from tui.options import Options
from tui.preferences import FILE_NAME, load
from tui.themes import THEMES
from tui.widgets.fleet_table import FleetTable
from tui.widgets.honeycomb import Honeycomb
from tui.widgets.key_line import KeyLine

NODES = {
    "web-1": ("web", 1_000),
    "web-2": ("web", 9_500),
    "db-1": ("db", 5_000),
    "db-2": ("db", 2_000),
}
FIRST_ROW = 4


def source() -> ScriptedSource:
    infos = tuple(info(name, labels={"role": role}) for name, (role, _) in NODES.items())
    beats = tuple(
        vitals(name, core=raw(core(cpu_busy_bp=cpu_bp))) for name, (_, cpu_bp) in NODES.items()
    )
    return ScriptedSource(LIVE, Snapshot(MONO_MS, infos, beats, True))


def names(app: Dashboard) -> list[str]:
    """The first words of the rows in sight, without their states."""
    rows = [line for line in screen_lines(app)[FIRST_ROW:-4] if line.strip()]
    return [row.strip("▌").split()[2] for row in rows if row.strip()[0] in "●✗▲▌"]


@asynccontextmanager
async def remembering(folder: Path) -> AsyncGenerator[tuple[Dashboard, Pilot[int]]]:
    app = Dashboard(source(), StandingClock(), Options(folder=folder))
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.pause()
        yield app, pilot


# --- filters --------------------------------------------------------------------------------------


def test_dashboard_begins_with_the_filter_it_is_given_and_escape_takes_it_back() -> None:
    async def scenario() -> None:
        options = Options(filter=parse_filter("name:db* cpu<30"))
        app = Dashboard(source(), StandingClock(), options)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            assert names(app) == ["db-2"]
            assert "name:db* cpu<30" in screen_lines(app)[1]
            await pilot.press("escape")
            await pilot.pause()
            assert sorted(names(app)) == sorted(NODES)

    run(scenario)


def test_slash_filters_while_one_types_and_enter_keeps_it() -> None:
    async def scenario() -> None:
        async with dashboard(source()) as (app, pilot, _):
            await pilot.press("slash", *"db")
            assert names(app) == ["db-1", "db-2"]
            await pilot.press("space", *"!cpu<30", "enter")
            await pilot.pause()
            assert names(app) == ["db-1"]
            assert "1 of 4  db !cpu<30" in screen_lines(app)[1]
            await pilot.press("escape")
            assert len(names(app)) == 4

    run(scenario)


def test_filter_that_is_none_says_what_was_expected_and_keeps_the_one_before() -> None:
    async def scenario() -> None:
        async with dashboard(source(), size=(160, 24)) as (app, pilot, _):
            await pilot.press("slash", *"web", "space", *"cpu>")
            assert "expected cpu and > or >= or < or <= a percentage" in shown(app)
            assert names(app) == ["web-1", "web-2"]
            await pilot.press(*"50")
            assert names(app) == ["web-2"]
            assert "expected" not in shown(app)
            await pilot.press("escape")
            assert len(names(app)) == 4

    run(scenario)


def test_f_shows_faults_only() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            of.say(Delta(MONO_MS, vitals=(vitals("db-2", State.DOWN),)))
            await pilot.press("f")
            assert "▌✗ down db-2" in shown(app)
            assert "1 of 4  faults only" in shown(app)
            assert "web-1" not in shown(app)
            await pilot.press("f")
            assert "web-1" in shown(app)

    run(scenario)


# --- order ----------------------------------------------------------------------------------------


def test_columns_sort_and_the_cursor_stays_on_its_node() -> None:
    async def scenario() -> None:
        async with dashboard(source()) as (app, pilot, _):
            await pilot.press("down")
            assert "▌● up  db-2" in shown(app)
            await pilot.press("greater_than_sign", "greater_than_sign")
            await pilot.pause()
            assert names(app) == ["web-2", "db-1", "db-2", "web-1"]
            assert "cpu▼" in screen_lines(app)[3]
            assert "▌● up  db-2" in shown(app)
            await pilot.press("O")
            await pilot.pause()
            assert names(app) == ["web-1", "db-2", "db-1", "web-2"]
            await pilot.press("less_than_sign", "less_than_sign")
            await pilot.pause()
            assert names(app) == ["db-1", "db-2", "web-1", "web-2"]

    run(scenario)


def test_titles_sort_under_the_mouse() -> None:
    async def scenario() -> None:
        async with dashboard(source()) as (app, pilot, _):
            at = screen_lines(app)[3].index("cpu")
            await pilot.click(FleetTable, offset=(at, 0))
            await pilot.pause()
            assert names(app)[0] == "web-2"
            await pilot.click(FleetTable, offset=(at, 0))
            await pilot.pause()
            assert names(app)[0] == "web-1"
            await pilot.click(FleetTable, offset=(2, 0))
            await pilot.pause()
            assert names(app)[0] == "db-1"

    run(scenario)


# --- groups ---------------------------------------------------------------------------------------


def test_g_groups_by_each_label_and_enter_folds() -> None:
    async def scenario() -> None:
        async with dashboard(source()) as (app, pilot, _):
            await pilot.press("g")
            await pilot.pause()
            lines = screen_lines(app)
            assert lines[FIRST_ROW].split()[:3] == ["▌▾", "2", "role=db"]
            assert lines[FIRST_ROW + 3].split()[:3] == ["▾", "2", "role=web"]
            assert "by role" in lines[1]
            assert "role=db  2 nodes" in lines[-3]
            await pilot.press("enter")
            await pilot.pause()
            assert screen_lines(app)[FIRST_ROW + 1].split()[:3] == ["▾", "2", "role=web"]
            await pilot.press("enter", "g")
            await pilot.pause()
            assert names(app) == ["db-1", "db-2", "web-1", "web-2"]

    run(scenario)


# --- the honeycomb --------------------------------------------------------------------------------


def test_h_shows_every_node_as_a_cell_and_tells_of_the_one_under_the_cursor() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            await pilot.press("down", "h")
            await pilot.pause()
            line = screen_lines(app)[3]
            assert line == " ●[●]● ◉"
            assert screen_lines(app)[-3].strip().startswith("db-2")
            await pilot.press("right")
            assert screen_lines(app)[-3].strip().startswith("web-1")
            await pilot.press("end", "up", "down", "pagedown", "pageup", "home", "left", "enter")
            await pilot.pause()
            assert "▸ db-1 ▸ overview" in screen_lines(app)[0]
            await pilot.press("escape")
            await pilot.pause()
            await pilot.click(Honeycomb, offset=(7, 0), times=2)
            assert "▸ web-2 ▸" in screen_lines(app)[0]
            await pilot.press("escape")
            await pilot.pause()
            await pilot.press("h")
            await pilot.pause()
            assert "▌● up  web-2" in shown(app)

    run(scenario)


def test_honeycomb_of_a_large_fleet_scrolls_with_the_cursor() -> None:
    async def scenario() -> None:
        snapshots = SimulatedFleet(3_000).snapshots(MONO_MS, WALL_MS, part=500)
        async with dashboard(ScriptedSource(LIVE, *snapshots)) as (app, pilot, _):
            await pilot.press("h", "end")
            await pilot.pause()
            assert app.screen.query_one(Honeycomb).scroll_offset.y > 0
            assert "]" in shown(app)
            await pilot.press("home")
            await pilot.pause()
            assert screen_lines(app)[3].startswith("[")

    run(scenario)


# --- pause ----------------------------------------------------------------------------------------


def test_space_holds_the_picture_and_counts_what_it_misses() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, clock):
            await pilot.press("space")
            await pilot.pause()
            assert "Paused at " in screen_lines(app)[3]
            clock.elapsed_s = 60
            of.say(Delta(MONO_MS, vitals=(vitals("web-1", State.DOWN), vitals("web-2"))))
            await pilot.pause()
            assert "2 changes since then" in screen_lines(app)[3]
            assert "down" not in shown(app)
            assert " 2s" in screen_lines(app)[FIRST_ROW + 1]
            await pilot.press("space")
            await pilot.pause()
            assert "Paused" not in shown(app)
            assert "✗ down web-1" in shown(app)

    run(scenario)


# --- columns, themes and what is remembered -------------------------------------------------------


def test_columns_are_chosen_ordered_and_remembered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with remembering(tmp_path) as (app, pilot):
            await pilot.press("c", "down", "down", "space", "up", "left", "enter")
            await pilot.pause()
            titles = screen_lines(app)[3].split()
            assert titles[:3] == ["name", "state", "cpu"]
            assert "mem" in titles
            assert titles.count("cpu") == 1
        async with remembering(tmp_path) as (app, pilot):
            assert screen_lines(app)[3].split()[:2] == ["name", "state"]
            await pilot.press("c", "d", "enter")
            await pilot.pause()
            assert screen_lines(app)[3].split()[:2] == ["state", "name"]
            await pilot.press("c", "d", "down", "space", "escape")
            await pilot.pause()
            assert screen_lines(app)[3].split()[:2] == ["state", "name"]

    run(scenario)


def test_order_theme_and_honeycomb_are_remembered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with remembering(tmp_path) as (app, pilot):
            await pilot.press("greater_than_sign", "T", "h")
            await pilot.pause()
            assert app.theme == THEMES[1].name
        remembered, _ = load(tmp_path)
        assert (remembered.order, remembered.theme, remembered.is_comb) == (
            "name",
            THEMES[1].name,
            True,
        )
        async with remembering(tmp_path) as (app, _):
            assert app.theme == THEMES[1].name
            assert "[" in screen_lines(app)[3]

    run(scenario)


def test_themes_go_round() -> None:
    async def scenario() -> None:
        async with dashboard(source()) as (app, pilot, _):
            seen = [app.theme]
            for _ in THEMES:
                await pilot.press("T")
                seen.append(app.theme)
            assert seen == [*(theme.name for theme in THEMES), THEMES[0].name]

    run(scenario)


def test_damaged_choices_are_said(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / FILE_NAME).write_text("{")
        async with remembering(tmp_path) as (app, _):
            (notice,) = app._notifications
            assert "is damaged, so the defaults are used" in notice.message

    run(scenario)


# --- commands, help, events, copies ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("sort cpu", "cpu▼"),
        ("group role", "by role"),
        ("filter db cpu>40", "1 of 4  db cpu>40"),
        ("go web-2", "▸ web-2 ▸ overview"),
        ("honeycomb", "[●]"),
        ("help", "Keys"),
        ("columns", "Space shows or hides"),
        ("events", "0 events"),
    ],
)
def test_colon_does_what_is_typed(typed: str, expected: str) -> None:
    async def scenario() -> None:
        async with dashboard(source(), size=(120, 30)) as (app, pilot, _):
            await pilot.press("colon")
            for character in typed:
                await pilot.press(
                    {" ": "space", ">": "greater_than_sign"}.get(character, character)
                )
            await pilot.press("enter")
            await pilot.pause()
            await pilot.pause()
            assert expected in shown(app)

    run(scenario)


def test_palette_completes_chooses_with_arrows_and_closes() -> None:
    async def scenario() -> None:
        async with dashboard(source(), size=(120, 30)) as (app, pilot, _):
            await pilot.press("colon", *"sort", "space", *"m", "tab")
            assert "sort memory" in screen_lines(app)[3]
            await pilot.press("enter")
            await pilot.pause()
            assert "mem▼" in shown(app)
            await pilot.press("o", "down", "up", "escape")
            await pilot.pause()
            assert "mem▼" in screen_lines(app)[3]
            await pilot.press("colon", *"light", "enter")
            assert app.theme == THEMES[1].name
            await pilot.press("colon", *"zzz", "tab", "down", "enter", "escape")
            await pilot.pause()
            assert "mem▼" in screen_lines(app)[3]

    run(scenario)


def test_help_lists_the_keys_of_the_screen_beneath() -> None:
    async def scenario() -> None:
        async with dashboard(source(), size=(120, 40)) as (app, pilot, _):
            await pilot.press("question_mark")
            await pilot.pause()
            assert "Honeycomb" in shown(app)
            assert "Tree" not in shown(app)
            await pilot.press("escape", "enter", "6", "question_mark")
            await pilot.pause()
            assert "Tree" in shown(app)
            assert "Sort by cpu" in shown(app)

    run(scenario)


def test_events_of_the_fleet_are_followed_and_filtered() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of, size=(120, 30)) as (app, pilot, _):
            await pilot.press("e")
            (asked,) = of.sent
            assert isinstance(asked, ListEvents)
            assert asked.follow
            of.say(Events(asked.request, details.events_of("id-db-1", "db-1")))
            await pilot.pause()
            assert "5 events, the latest first" in shown(app)
            assert "rebooted" in screen_lines(app)[3]
            await pilot.press("slash", *"enrolled", "enter")
            await pilot.pause()
            assert "1 of 5 events" in shown(app)
            await pilot.press("escape")
            assert "5 events" in shown(app)
            await pilot.press("escape")
            await pilot.pause()
            assert "4 nodes" in shown(app)
            assert FocusNode("") not in of.sent

    run(scenario)


def test_y_copies_the_name_or_the_page() -> None:
    async def scenario() -> None:
        async with dashboard(source()) as (app, pilot, _):
            await pilot.press("y")
            assert app.clipboard == "db-1"
            await pilot.press("enter", "y")
            assert "db-1 ▸ overview" in app.clipboard

    run(scenario)


def test_s_saves_the_screen_and_says_where(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with remembering(tmp_path) as (app, pilot):
            await pilot.press("s")
            await pilot.pause()
            saved = sorted((tmp_path / FOLDER).iterdir())
            assert [path.suffix for path in saved] == [".svg", ".txt"]
            assert "web-2" in saved[1].read_text(encoding="utf-8")
            assert saved[0].read_text(encoding="utf-8").startswith("<svg")
            (notice,) = app._notifications
            assert str(saved[0]) in notice.message

    run(scenario)


def test_s_that_cannot_save_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / FOLDER).write_text("")
        async with remembering(tmp_path) as (app, pilot):
            await pilot.press("s")
            (notice,) = app._notifications
            assert notice.message.startswith("Not saved: ")
            assert "Errno" not in notice.message

    run(scenario)


def test_viewer_behind_the_feed_says_by_how_much() -> None:
    async def scenario() -> None:
        of = source()
        async with dashboard(of) as (app, pilot, _):
            of.say(Delta(MONO_MS, behind_ms=3_200))
            await pilot.pause()
            assert screen_lines(app)[0].endswith("● live 3.2 s behind")
            app.screen.post_message(PictureChanged())
            of.say(Delta(MONO_MS))
            await pilot.pause()
            assert "behind" not in screen_lines(app)[0]

    run(scenario)


# --- the line of keys -----------------------------------------------------------------------------


def test_last_line_shows_the_live_keys_and_the_mouse_presses_them() -> None:
    async def scenario() -> None:
        async with dashboard(source()) as (app, pilot, _):
            last = screen_lines(app)[-1]
            assert last.startswith(" ⏎ Open  t Past  / Filter  f Faults")
            assert last.endswith("q Quit")
            await pilot.click(KeyLine, offset=(last.index("Group") + 1, 0))
            await pilot.pause()
            assert "by role" in screen_lines(app)[1]
            await pilot.click(KeyLine, offset=(79, 0))
            await pilot.press("down", "enter")
            await pilot.pause()
            last = screen_lines(app)[-1]
            assert last.startswith(" ←→ Page  +- Zoom  Esc Back")
            await pilot.click(KeyLine, offset=(1, 0))
            await pilot.pause()
            assert "▸ events" in screen_lines(app)[0]

    run(scenario)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("go nosuch", "There is no such node: nosuch"),
        ("at noon", "noon"),
        ("filter cpu>high", "cpu>high"),
        ("frobnicate", "There is no such command: frobnicate"),
    ],
)
def test_what_cannot_be_done_is_said_and_not_passed_over(typed: str, said: str) -> None:
    async def scenario() -> None:
        async with dashboard(source(), size=(120, 30)) as (app, pilot, _):
            app.action_palette(typed)
            await pilot.pause()
            await pilot.press("enter")
            await pilot.pause()
            (told,) = app._notifications
            assert said in told.message
            assert told.severity == "warning"

    run(scenario)


@pytest.mark.parametrize("keys", [(), ("h",)], ids=["table", "honeycomb"])
def test_filter_that_nothing_fits_leaves_words_and_not_the_first_steps(keys: tuple[str]) -> None:
    async def scenario() -> None:
        async with dashboard(source(), size=(120, 30)) as (app, pilot, _):
            await pilot.press(*keys)
            app.fleet_screen.filter_by("name:zzz")
            await pilot.pause()
            assert "No nodes fit this filter:  name:zzz" in shown(app)
            assert "Esc shows all again: 4" in shown(app)
            assert "token create" not in shown(app)
            await pilot.press("escape")
            await pilot.pause()
            assert "web-2" in shown(app) or "[" in shown(app)
            assert "No nodes fit" not in shown(app)

    run(scenario)
