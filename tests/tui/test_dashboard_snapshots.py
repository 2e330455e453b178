"""What the dashboard looks like, kept as pictures: review them when they change on purpose.

pytest tests/tui/test_dashboard_snapshots.py --snapshot-update
"""

import pytest
from textual.pilot import Pilot

from shared.liveness import State
from shared.messages import Delta, Events, Snapshot, raw
from tests.tui import details
from tests.tui.fleets import MONO_MS, WALL_MS, SimulatedFleet, core, snapshot, vitals
from tests.tui.pictures import Compare, Opening
from tests.tui.scripted import LIVE, LOST, NOW_S, ScriptedSource, StandingClock
from tui.app import Dashboard
from tui.themes import CONTRAST, LIGHT, PLAIN

pytestmark = pytest.mark.usefixtures("utc")


def a_fleet() -> list[Snapshot]:
    return list(SimulatedFleet(60, seed=7).snapshots(MONO_MS, WALL_MS))


@pytest.mark.parametrize("size", [(80, 24), (120, 35), (200, 50)], ids=lambda size: f"{size[0]}")
def test_live_fleet(snap_compare: Compare, size: tuple[int, int]) -> None:
    app = Dashboard(ScriptedSource(LIVE, *a_fleet()), StandingClock())
    assert snap_compare(app, terminal_size=size)


def test_lost_master(snap_compare: Compare) -> None:
    app = Dashboard(ScriptedSource(LIVE, *a_fleet(), LOST), StandingClock())
    assert snap_compare(app, terminal_size=(100, 24))


# --- arranged in other ways, in other colours -----------------------------------------------------


@pytest.mark.parametrize("theme", [LIGHT.name, CONTRAST.name, PLAIN.name])
def test_grouped_fleet_in_other_themes(snap_compare: Compare, theme: str) -> None:
    app = Dashboard(ScriptedSource(LIVE, *a_fleet()), StandingClock())

    async def colour(pilot: Pilot[int]) -> None:
        app.theme = theme
        await pilot.press("g")

    assert snap_compare(app, terminal_size=(100, 24), run_before=colour)


def test_honeycomb(snap_compare: Compare) -> None:
    fleet = list(SimulatedFleet(600, seed=7).snapshots(MONO_MS, WALL_MS))
    app = Dashboard(ScriptedSource(LIVE, *fleet), StandingClock())

    async def move(pilot: Pilot[int]) -> None:
        await pilot.press("h")
        await pilot.pause()
        await pilot.press("down", "right")

    assert snap_compare(app, terminal_size=(100, 24), run_before=move)


def test_help(snap_compare: Compare) -> None:
    app = Dashboard(ScriptedSource(LIVE, *a_fleet()), StandingClock())
    assert snap_compare(app, terminal_size=(80, 24), press=["question_mark"])


# --- one node -------------------------------------------------------------------------------------


def opening(app: Dashboard, source: ScriptedSource, clock: StandingClock, *keys: str) -> Opening:
    """Looks at a node for two minutes, and then presses keys."""

    async def look(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        for second in range(1, 121):
            clock.elapsed_s = second
            now_ms = MONO_MS + 1_000 * second
            beat = vitals(
                "db-1",
                seen_mono_ms=now_ms,
                period_ms=1_000,
                core=raw(
                    core(
                        cpu_busy_bp=round(10_000 * details.wave(second, 1)),
                        network_receive_bytes_per_s=round(4e7 * details.wave(second, 2)),
                        disk_read_bytes_per_s=round(3e6 * details.wave(second, 4)),
                        disk_write_bytes_per_s=round(9e6 * details.wave(second, 5)),
                        load_1m_centi=round(900 * details.wave(second, 6)),
                    )
                ),
            )
            app.feed.on_message(Delta(now_ms, vitals=(beat,)), NOW_S + second)
        source.say(*details.details("id-db-1", mono_ms=MONO_MS + 120_000))
        source.say(Events(1, details.events_of("id-db-1", "db-1")))
        await pilot.press(*keys)

    return look


@pytest.mark.parametrize("key", list("234567890ie"))
def test_pages_of_a_node(snap_compare: Compare, key: str) -> None:
    source, clock = ScriptedSource(LIVE, snapshot({"db-1": State.UP})), StandingClock()
    app = Dashboard(source, clock)
    look = opening(app, source, clock, key)
    assert snap_compare(app, terminal_size=(100, 28), run_before=look)


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=lambda size: f"{size[0]}")
def test_overview_of_a_node(snap_compare: Compare, size: tuple[int, int]) -> None:
    source, clock = ScriptedSource(LIVE, snapshot({"db-1": State.UP})), StandingClock()
    app = Dashboard(source, clock)
    look = opening(app, source, clock)
    assert snap_compare(app, terminal_size=size, run_before=look)
