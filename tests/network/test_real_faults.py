"""What befalls real processes, and what a real master makes of it: states, reasons and times.

Beats are a second apart, so that a test takes seconds; what the detector promises scales with them.
`bench.detection` measures the same at five seconds.
"""

import shutil
import sys
import time
from collections.abc import Generator
from functools import partial
from pathlib import Path

import pytest

from agent.watched import STUCK
from shared.causes import Cause
from shared.liveness import HUNG_REASON, State
from tests.eventually import eventually_in_processes
from tests.network.real_fleet import SETTLED_BEATS, RealFleet, go_on, kill, stop

PERIOD_S = 1.0
PERIOD_MS = 1000
BUSY_MS = 1000
"""What a machine that runs other tests besides may add."""

FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)


@pytest.fixture
def pair(tmp_path: Path) -> Generator[RealFleet]:
    """A master whose two hosts have no agents yet."""
    with RealFleet(tmp_path, period_s=PERIOD_S, hosts=("one", "two")) as fleet:
        yield fleet


def test_a_killed_agent_is_lost_at_once_and_down_when_it_does_not_come_back(
    pair: RealFleet,
) -> None:
    agents = [pair.start_agent(name) for name in pair.hosts]
    pair.wait_all_up()
    at_ms = kill(agents[0])
    lost = pair.wait_for("one", State.LOST, at_ms, within_s=5)
    assert lost.wall_ms - at_ms < BUSY_MS
    assert lost.text == "link closed by the peer"
    down = pair.wait_for("one", State.DOWN, at_ms, within_s=10)
    assert 3000 <= down.wall_ms - lost.wall_ms < 3000 + BUSY_MS
    assert down.text == "link closed by the peer, and the agent did not come back"
    assert {fall.name for fall in pair.falls(at_ms)} == {"one"}


def test_an_agent_that_is_killed_while_it_hangs_leaves_its_link_reset(pair: RealFleet) -> None:
    # The master's pings are unread: its kernel says so, with RST instead of FIN.
    agents = [pair.start_agent(name) for name in pair.hosts]
    pair.wait_all_up()
    pair.wait_for("one", State.HUNG, stop(agents[0]), within_s=10)
    lost = pair.wait_for("one", State.LOST, kill(agents[0]), within_s=5)
    assert lost.text == "link connection reset by peer"


def test_a_killed_agent_that_is_restarted_was_never_down(pair: RealFleet) -> None:
    agents = [pair.start_agent(name) for name in pair.hosts]
    pair.wait_all_up()
    at_ms = kill(agents[0])
    pair.start_agent("one")
    pair.wait_for("one", State.UP, at_ms, within_s=10)
    # On a machine that is busy it may have been late before, and its successor there at once.
    assert State.DOWN not in [change.after for change in pair.changes("one", at_ms)]
    assert pair.wait_judged("one", at_ms).cause == Cause.AGENT_KILLED


def test_a_stopped_agent_is_late_then_hung_and_up_when_it_goes_on_or_else_down(
    pair: RealFleet,
) -> None:
    one, two = (pair.start_agent(name) for name in pair.hosts)
    pair.wait_all_up()
    pair.wait_beaten("one", SETTLED_BEATS)
    at_ms, other_at_ms = stop(one), stop(two)
    late = pair.wait_for("one", State.LATE, at_ms, within_s=10)
    assert 1000 <= late.wall_ms - at_ms < PERIOD_MS + 1000 + BUSY_MS
    hung = pair.wait_for("one", State.HUNG, at_ms, within_s=10)
    assert hung.wall_ms - late.wall_ms < 1000 + BUSY_MS
    assert hung.text == HUNG_REASON
    go_on_ms = go_on(one)
    up = pair.wait_for("one", State.UP, go_on_ms, within_s=10)
    assert up.wall_ms - go_on_ms < BUSY_MS
    down = pair.wait_for("two", State.DOWN, other_at_ms, within_s=10)
    assert 5 * PERIOD_MS <= down.wall_ms - other_at_ms < 6 * PERIOD_MS + BUSY_MS
    assert down.text == f"hung: {HUNG_REASON}"
    states = [change.after for change in pair.changes("two", other_at_ms)]
    assert states == [State.LATE, State.HUNG, State.DOWN]
    go_on(two)
    outage = pair.wait_judged("two", other_at_ms)
    assert outage.cause == Cause.PROCESS_HUNG
    assert outage.from_wall_ms <= other_at_ms


@pytest.mark.parametrize(
    ("period_s", "frozen_s"),
    [(1.0, 10.0), pytest.param(5.0, 40.0, marks=pytest.mark.soak)],
)
def test_a_frozen_master_holds_nothing_against_five_hundred_agents(
    tmp_path: Path, period_s: float, frozen_s: float
) -> None:
    with RealFleet(tmp_path, period_s=period_s, crowd=500) as fleet:
        fleet.start_crowd()
        fleet.wait_all_up()
        fleet.wait_beaten(fleet.crowd[0], 3)
        told = fleet.events()[-1].number
        stop(fleet.master)
        time.sleep(frozen_s)  # the fault itself
        go_on_ms = go_on(fleet.master)
        beaten_ms = go_on_ms + round(2000 * period_s)
        fleet.wait_all_seen(beaten_ms, within_s=5 * period_s + 10)
        assert [change for change in fleet.events() if change.number > told] == []
        (stalled,) = fleet.events("master-stalled")
        assert stalled.wall_ms - go_on_ms < 1000 + BUSY_MS


@pytest.mark.skipif(FAKETIME is None, reason="not installed: libfaketime")
@pytest.mark.parametrize("offset", ["+400d", "-400d"])
def test_an_agent_whose_clock_is_four_hundred_days_off_is_judged_like_any_other(
    pair: RealFleet, offset: str
) -> None:
    wrong = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    agents = [pair.start_agent("one", environment=wrong), pair.start_agent("two")]
    up_ms = pair.wait_all_up()
    pair.wait_beaten("one", 4)
    assert pair.falls(up_ms) == []
    at_ms = stop(agents[0])
    late = pair.wait_for("one", State.LATE, at_ms, within_s=10)
    assert 1000 <= late.wall_ms - at_ms < PERIOD_MS + 1000 + BUSY_MS
    pair.wait_for("one", State.UP, go_on(agents[0]), within_s=10)


def test_two_agents_with_one_identity_are_a_conflict_and_not_an_outage(pair: RealFleet) -> None:
    # Each takes the other's place, and the one that was replaced comes back within ten seconds;
    # restarted by somebody who wonders, at once.
    original, clone = pair.root / "one", pair.root / "clone"
    agents = {original: pair.start_agent("one")}
    pair.start_agent("two")
    up_ms = pair.wait_all_up()
    shutil.copytree(original, clone)
    for folder in (clone, original, clone):
        before = pair.address_of("one")
        if folder in agents:
            kill(agents[folder])
        agents[folder] = pair.start_agent("one", folder=folder)
        eventually_in_processes(partial(_has_moved, pair, before))
        pair.wait_beaten("one", 1)
    (conflict,) = pair.events("conflict")
    assert conflict.name == "one"
    assert "two agents use this identity" in conflict.text
    assert pair.vitals()["one"].conflict
    assert pair.falls(up_ms) == []


def test_a_disk_that_hangs_is_a_trouble_and_never_looks_like_a_host_that_is_gone(
    pair: RealFleet,
) -> None:
    settings = pair.root / "one" / "heartline.toml"
    settings.write_text("[agent.families.disks]\ndeadline_s = 0.5\n")
    program = [sys.executable, "-m", "tests.network.agent_with_hanging_disk"]
    pair.start_agent("one", program=program)
    pair.start_agent("two")
    up_ms = pair.wait_all_up()
    eventually_in_processes(lambda: pair.vitals()["one"].troubles)
    (trouble,) = pair.vitals()["one"].troubles
    assert (trouble.family, trouble.state) == ("disks", STUCK)
    pair.wait_beaten("one", 4)
    assert pair.falls(up_ms) == []


def _has_moved(fleet: RealFleet, before: str) -> bool:
    return fleet.address_of("one") != before
