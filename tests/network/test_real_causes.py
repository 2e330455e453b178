"""Why a node was away, as a real master judges what befell real agents.

Those that are stopped, cut off, suspended or killed are in `test_real_faults` and
`test_lossy_line`; hundreds that overlap in `tests.scenarios.test_causes_of_random_faults`.
"""

import signal
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from shared import messages as m
from shared.causes import Cause
from shared.liveness import State
from tests.eventually import eventually_in_processes
from tests.network.processes import AgentProcess, MasterProcess
from tests.network.real_fleet import SETTLED_BEATS, RealFleet, kill

PERIOD_S = 1.0
AWAY_S = 3.0
JUDGED_S = 30.0
WRITTEN_MS = 2_000
"""After which a master has on disk that a node is up: one that is killed forgets half a second."""


@pytest.fixture
def pair(tmp_path: Path) -> Generator[RealFleet]:
    """A master whose two hosts have no agents yet."""
    with RealFleet(tmp_path, period_s=PERIOD_S, hosts=("one", "two")) as fleet:
        yield fleet


def booted(boot: str) -> list[str]:
    """The agent of a host that has just booted for this time."""
    return [sys.executable, "-m", "tests.network.agent_on_booted_host", boot]


def test_host_that_goes_down_at_once_and_boots_was_rebooted_and_not_in_order(
    pair: RealFleet,
) -> None:
    agent = pair.start_agent("one", program=booted("first"))
    pair.start_agent("two")
    pair.wait_all_up()
    pair.wait_beaten("one", SETTLED_BEATS)
    at_ms = kill(agent)
    pair.wait_for("one", State.DOWN, at_ms, within_s=10)
    pair.start_agent("one", program=booted("second"))
    outage = pair.wait_judged("one", at_ms)
    assert (outage.cause, outage.clean) == (Cause.HOST_REBOOTED, False)
    assert "boot id changed" in outage.evidence


def test_host_that_is_shut_down_and_boots_was_rebooted_in_order(pair: RealFleet) -> None:
    agent = pair.start_agent("one", program=booted("first"))
    pair.start_agent("two")
    at_ms = pair.wait_all_up()
    agent.send_signal(signal.SIGTERM)
    pair.wait_for("one", State.LEFT, at_ms, within_s=10)
    agent.wait(10)  # until then its folder is its own
    pair.start_agent("one", program=booted("second"))
    outage = pair.wait_judged("one", at_ms)
    assert (outage.cause, outage.clean) == (Cause.HOST_REBOOTED, True)


def test_agent_that_is_stopped_and_started_again_was_restarted_and_said_why(
    pair: RealFleet,
) -> None:
    agent = pair.start_agent("one")
    pair.start_agent("two")
    at_ms = pair.wait_all_up()
    agent.send_signal(signal.SIGTERM)
    agent.wait(10)
    pair.start_agent("one")
    outage = pair.wait_judged("one", at_ms)
    assert outage.cause == Cause.AGENT_RESTARTED
    assert "SIGTERM" in outage.exit_reason


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_agents_that_miss_nobody_but_the_master_were_not_away_themselves(
    tmp_path: Path, how: signal.Signals
) -> None:
    with (
        MasterProcess(tmp_path / "master") as master,
        AgentProcess(tmp_path / "agent", "web") as agent,
    ):
        agent.join(master.start())
        beaten_ms = (master.vitals()["web"].seen_wall_ms or 0) + WRITTEN_MS
        eventually_in_processes(lambda: (master.vitals()["web"].seen_wall_ms or 0) > beaten_ms)
        master.signal(how)
        master.wait()
        time.sleep(AWAY_S)  # the fault itself
        master.start()
        master.until("web", "up")

        def judged() -> list[m.Outage]:
            asked = master.ask(lambda number: m.ListOutages(number, node="web"), m.Outages)
            return [each for each in asked.outages if each.cause]

        eventually_in_processes(judged, within_s=JUDGED_S)
        (outage,) = judged()
        assert outage.cause == Cause.MASTER_AWAY
