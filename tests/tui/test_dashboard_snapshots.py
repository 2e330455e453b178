"""What the dashboard looks like, kept as pictures: review them when they change on purpose.

pytest tests/tui/test_dashboard_snapshots.py --snapshot-update
"""

import time
from collections.abc import Generator
from typing import Protocol

import pytest
from textual.app import App

from shared.messages import Snapshot
from tests.tui.fleets import MONO_MS, WALL_MS, SimulatedFleet
from tests.tui.scripted import LIVE, LOST, ScriptedSource, StandingClock
from tui.app import Dashboard


class Compare(Protocol):
    """The fixture of pytest-textual-snapshot."""

    def __call__(self, app: App[int], *, terminal_size: tuple[int, int]) -> bool: ...


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Times of the day are the same wherever this runs."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def a_fleet() -> list[Snapshot]:
    return list(SimulatedFleet(60, seed=7).snapshots(MONO_MS, WALL_MS))


@pytest.mark.parametrize("size", [(80, 24), (120, 35), (200, 50)], ids=lambda size: f"{size[0]}")
def test_live_fleet(snap_compare: Compare, size: tuple[int, int]) -> None:
    app = Dashboard(ScriptedSource(LIVE, *a_fleet()), StandingClock())
    assert snap_compare(app, terminal_size=size)


def test_lost_master(snap_compare: Compare) -> None:
    app = Dashboard(ScriptedSource(LIVE, *a_fleet(), LOST), StandingClock())
    assert snap_compare(app, terminal_size=(100, 24))
