"""The dashboard as a person drives it: rows, cursor, keys, and what it says of its link."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest
from textual.geometry import Region
from textual.message import Message

from shared.liveness import State
from shared.messages import Delta, raw
from tests.tui.fleets import MONO_MS, core, snapshot, vitals
from tests.tui.scripted import LIVE, LOST, NOW_S, ScriptedSource, dashboard, run, screen_lines
from tui.app import Dashboard
from tui.feed import PictureChanged
from tui.link import Link, LinkState
from tui.look import Sight
from tui.tones import Tone
from tui.view import View
from tui.widgets.fleet_table import FleetTable
from tui.widgets.lines import Lines

FIRST_ROW = 4
SMALL = {"web-1": State.UP, "web-2": State.UP, "db-1": State.DOWN}
LARGE = {f"node-{number}": State.UP for number in range(100)}


def live(states: Mapping[str, str]) -> ScriptedSource:
    return ScriptedSource(LIVE, snapshot(states))


def test_fleet_is_shown_problems_first() -> None:
    async def scenario() -> None:
        async with dashboard(live(SMALL)) as (app, _, _):
            lines = screen_lines(app)
            assert "heartline  lab" in lines[0]
            assert lines[0].endswith("● live 1.2 ms")
            assert lines[1].strip() == "3 nodes   ✗ 1 down   ● 2 up"
            assert [line.split()[1:3] for line in lines[FIRST_ROW : FIRST_ROW + 3]] == [
                ["down", "db-1"],
                ["up", "web-1"],
                ["up", "web-2"],
            ]
            assert lines[FIRST_ROW + 1].split()[3:] == [
                "12%",
                "48%",
                "1.42",
                "63%",
                "…/postgresql",
                "1.2M",
                "337K",
                "12d",
                "4h",
                "2s",
            ]

    run(scenario)


def test_news_change_the_row_in_its_place() -> None:
    async def scenario() -> None:
        source = live(SMALL)
        async with dashboard(source) as (app, pilot, _):
            busy = vitals("web-2", core=raw(core(cpu_busy_bp=9_700)))
            source.say(Delta(MONO_MS, vitals=(busy,)))
            await pilot.pause()
            assert "97%" in screen_lines(app)[FIRST_ROW + 2]

    run(scenario)


def test_only_cells_that_changed_are_repainted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        source = live(SMALL)
        async with dashboard(source, size=(120, 30)) as (app, pilot, clock):
            table = app.screen.query_one(FleetTable)
            painted: list[Region] = []
            paint = table.refresh

            def refresh(*regions: Region) -> None:
                painted.extend(regions)
                paint(*regions)

            monkeypatch.setattr(table, "refresh", refresh)
            source.say(Delta(MONO_MS))
            await pilot.pause()
            assert painted == []
            source.say(
                Delta(MONO_MS, vitals=(vitals("web-2", core=raw(core(load_1m_centi=1_000))),))
            )
            await pilot.pause()
            assert len(painted) == 1
            assert painted[0][1:] == (3, len("10.00"), 1)
            painted.clear()
            clock.elapsed_s = 1.0
            app.screen.post_message(PictureChanged())
            await pilot.pause()
            assert {(region.x, region.width) for region in painted} == {(painted[0].x, 5)}
            assert [region.y for region in painted] == [1, 2, 3]

    run(scenario)


def test_ages_grow_while_nothing_comes() -> None:
    async def scenario() -> None:
        async with dashboard(live(SMALL)) as (app, pilot, clock):
            assert screen_lines(app)[FIRST_ROW].endswith(" 2s")
            clock.elapsed_s = 40.0
            app.screen.post_message(PictureChanged())
            await pilot.pause()
            assert screen_lines(app)[FIRST_ROW].endswith(" 42s")

    run(scenario)


# --- the cursor -----------------------------------------------------------------------------------


def cursor(app: Dashboard) -> str:
    """The name of the node on the line that has the cursor's mark."""
    (line,) = (line for line in screen_lines(app) if line.startswith("▌"))
    return line.split()[2]


def test_cursor_starts_on_the_worst_node_and_stays_there_until_it_is_moved() -> None:
    async def scenario() -> None:
        source = live(SMALL)
        async with dashboard(source) as (app, pilot, _):
            assert cursor(app) == "db-1"
            source.say(Delta(MONO_MS, vitals=(vitals("db-1"), vitals("web-2", State.DOWN))))
            await pilot.pause()
            assert cursor(app) == "web-2"

    run(scenario)


def test_cursor_stays_on_its_node_when_rows_resort() -> None:
    async def scenario() -> None:
        source = live(SMALL)
        async with dashboard(source) as (app, pilot, _):
            await pilot.press("down", "down")
            assert cursor(app) == "web-2"
            source.say(Delta(MONO_MS, vitals=(vitals("web-2", State.DOWN), vitals("db-1"))))
            await pilot.pause()
            assert cursor(app) == "web-2"
            assert screen_lines(app)[FIRST_ROW].startswith("▌✗ down web-2")

    run(scenario)


def test_cursor_that_was_in_sight_stays_in_sight() -> None:
    async def scenario() -> None:
        source = live(LARGE)
        async with dashboard(source) as (app, pilot, _):
            await pilot.press("j", "j")
            assert cursor(app) == "node-2"
            failing = tuple(vitals(f"node-{number}", State.DOWN) for number in range(50, 90))
            source.say(Delta(MONO_MS, vitals=failing))
            await pilot.pause()
            await pilot.pause()
            assert cursor(app) == "node-2"

    run(scenario)


def test_view_that_was_scrolled_away_from_the_cursor_is_left_where_it_is() -> None:
    async def scenario() -> None:
        source = live(LARGE)
        async with dashboard(source) as (app, pilot, _):
            table = app.screen.query_one(FleetTable)
            table.scroll_to(y=40, animate=False)
            await pilot.pause()
            source.say(Delta(MONO_MS, vitals=(vitals("node-99", State.DOWN),)))
            await pilot.pause()
            await pilot.pause()
            assert table.scroll_offset.y == 40

    run(scenario)


def test_cursor_takes_its_neighbour_when_its_node_is_forgotten() -> None:
    async def scenario() -> None:
        source = live(SMALL)
        async with dashboard(source) as (app, pilot, _):
            await pilot.press("down")
            assert cursor(app) == "web-1"
            source.say(Delta(MONO_MS, gone=("id-web-1",)))
            await pilot.pause()
            assert cursor(app) == "web-2"
            source.say(Delta(MONO_MS, gone=("id-web-2",)))
            await pilot.pause()
            assert cursor(app) == "db-1"

    run(scenario)


def test_cursor_is_never_beyond_a_fleet_that_has_just_shrunk() -> None:
    async def scenario() -> None:
        source = live(SMALL)
        async with dashboard(source) as (app, pilot, _):
            await pilot.press("end")
            table = app.screen.query_one(FleetTable)
            source.say(Delta(MONO_MS, gone=("id-web-1", "id-web-2")))
            table.post_message(FleetTable.CursorMoved())
            assert table.cursor_node is not None
            table.action_move(1)
            await pilot.pause()
            assert cursor(app) == "db-1"

    run(scenario)


def test_keys_reach_every_row() -> None:
    async def scenario() -> None:
        async with dashboard(live(LARGE)) as (app, pilot, _):
            await pilot.press("end")
            await pilot.pause()
            assert cursor(app) == "node-99"
            await pilot.press("home")
            await pilot.pause()
            assert cursor(app) == "node-0"
            await pilot.press("pagedown")
            await pilot.pause()
            page = int(cursor(app).removeprefix("node-"))
            assert page > 10
            await pilot.press("pageup", "up")
            await pilot.pause()
            assert cursor(app) == "node-0"

    run(scenario)


def test_mouse_puts_the_cursor_on_a_row_and_nowhere_else() -> None:
    async def scenario() -> None:
        async with dashboard(live(SMALL)) as (app, pilot, _):
            await pilot.click(FleetTable, offset=(10, 2))
            assert cursor(app) == "web-1"
            await pilot.click(FleetTable, offset=(10, 0))
            await pilot.click(FleetTable, offset=(10, 9))
            assert cursor(app) == "web-1"

    run(scenario)


def test_node_under_the_cursor_is_told_about() -> None:
    async def scenario() -> None:
        async with dashboard(live(SMALL)) as (app, pilot, _):
            await pilot.press("down")
            await pilot.pause()
            lines = screen_lines(app)
            assert lines[-3].strip().startswith("web-1  ● up since ")
            assert "10.0.3.7:51234 · Debian 12" in lines[-2]

    run(scenario)


# --- the link -------------------------------------------------------------------------------------


def test_lost_master_leaves_the_last_picture_marked_and_fading() -> None:
    async def scenario() -> None:
        source = live(SMALL)
        async with dashboard(source) as (app, pilot, _):
            source.say(LOST)
            await pilot.pause()
            lines = screen_lines(app)
            assert lines[0].endswith("✗ lost 12s")
            assert "This is the last picture: the master closed the link" in lines[3]
            assert lines[3].endswith("again in 3 s")
            assert "web-2" in lines[FIRST_ROW + 3]
            assert "r Try again now" in lines[-1]
            source.say(LIVE, snapshot({"web-9": State.UP}))
            await pilot.pause()
            lines = screen_lines(app)
            assert lines[0].endswith("● live 1.2 ms")
            assert "web-9" in lines[FIRST_ROW]
            assert "r Try again now" not in lines[-1]

    run(scenario)


def test_picture_is_not_current_until_the_new_snapshot_is_whole() -> None:
    async def scenario() -> None:
        source = live(SMALL)
        async with dashboard(source) as (app, pilot, _):
            source.say(LOST, LIVE, snapshot({"web-9": State.UP}, last=False))
            await pilot.pause()
            assert "db-1" in screen_lines(app)[FIRST_ROW]

    run(scenario)


def test_r_asks_for_another_attempt_only_while_there_is_no_link() -> None:
    async def scenario() -> None:
        source = live(SMALL)
        async with dashboard(source) as (_, pilot, _):
            await pilot.press("r")
            assert source.retries == 0
            source.say(LOST)
            await pilot.pause()
            await pilot.press("r")
            assert source.retries == 1

    run(scenario)


def test_empty_screen_says_what_it_waits_for() -> None:
    async def scenario() -> None:
        connecting = Link(LinkState.CONNECTING, NOW_S, "/run/heartline/master.sock")
        source = ScriptedSource(connecting)
        async with dashboard(source) as (app, pilot, _):
            assert "Connecting to /run/heartline/master.sock …" in "\n".join(screen_lines(app))
            source.say(replace(connecting, reason="nobody answers", retry_at_s=NOW_S + 2))
            await pilot.pause()
            assert "No link yet: nobody answers" in "\n".join(screen_lines(app))
            source.say(LIVE, snapshot({}))
            await pilot.pause()
            assert "heartline token create" in "\n".join(screen_lines(app))

    run(scenario)


def test_reason_that_is_longer_than_the_screen_is_wide_is_told_whole() -> None:
    async def scenario() -> None:
        path = "/home/somebody/.local/share/a folder of heartline's/master.sock"
        connecting = Link(LinkState.CONNECTING, NOW_S, path)
        source = ScriptedSource(connecting)
        async with dashboard(source, size=(80, 24)) as (app, pilot, _):
            reason = f"nobody answers at {path}"
            source.say(replace(connecting, reason=reason, retry_at_s=NOW_S + 2))
            await pilot.pause()
            shown = " ".join("\n".join(screen_lines(app)).split())
            assert f"No link yet: {reason}" in shown.replace(" again in 2 s", "")
            await pilot.resize_terminal(160, 24)
            await pilot.pause()
            assert f"No link yet: {reason}" in "\n".join(screen_lines(app))

    run(scenario)


@pytest.mark.parametrize("size", [(36, 8), (80, 24), (120, 35), (200, 50), (300, 90)])
def test_any_size_of_screen_will_do(size: tuple[int, int]) -> None:
    async def scenario() -> None:
        async with dashboard(live(LARGE), size=size) as (app, pilot, _):
            lines = screen_lines(app)
            assert len(lines) == size[1]
            assert "node-0" in lines[FIRST_ROW]
            await pilot.resize_terminal(size[0] + 7, size[1] + 3)
            await pilot.pause()
            assert "node-0" in screen_lines(app)[FIRST_ROW]

    run(scenario)


# --- coalescing and colours -----------------------------------------------------------------------


def test_hints_that_wait_become_one() -> None:
    assert PictureChanged().can_replace(PictureChanged())
    assert not PictureChanged().can_replace(Message())


def test_flood_of_news_is_painted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        source = live(LARGE)
        async with dashboard(source) as (app, pilot, _):
            table = app.screen.query_one(FleetTable)
            syncs = 0
            sync = table.sync

            def counting(
                view: View, sight: Sight, nothing: Iterable[str], *, is_current: bool
            ) -> None:
                nonlocal syncs
                syncs += 1
                sync(view, sight, nothing, is_current=is_current)

            monkeypatch.setattr(table, "sync", counting)
            for number in range(1_000):
                source.say(Delta(MONO_MS, vitals=(vitals(f"node-{number % 100}", State.LATE),)))
            await pilot.pause()
            assert syncs == 1
            assert screen_lines(app)[1].strip() == "100 nodes   ▲ 100 late"

    run(scenario)


@pytest.mark.parametrize("widget", [FleetTable, Lines])
def test_style_sheet_has_a_rule_for_every_tone(widget: type[FleetTable | Lines]) -> None:
    async def scenario() -> None:
        async with dashboard(live(SMALL)) as (app, _, _):
            styles = [
                app.screen.query(widget).first().get_component_styles(f"tone--{tone}")
                for tone in Tone
            ]
            assert all(style.has_rule("color") for style in styles)

    run(scenario)


def test_q_leaves() -> None:
    async def scenario() -> None:
        for key in ("q", "ctrl+c", "ctrl+q"):
            async with dashboard(live(SMALL)) as (app, pilot, _):
                await pilot.press(key)
                await pilot.pause()
            assert app.return_value == 0

    run(scenario)
