"""A line that is cut, or loses packets, on the real TCP stack. Needs root: see
`tests.network.lossy_link`."""

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from shared.causes import Cause
from shared.liveness import State
from tests.network.lossy_link import MASTER_HOST, LossyLink, host_of, why_not_here
from tests.network.real_fleet import SETTLED_BEATS, RealFleet, go_on, stop

pytestmark = pytest.mark.skipif(bool(why_not_here()), reason=why_not_here())

SOAK = [pytest.mark.soak, pytest.mark.timeout(600)]

BUSY_MS = 1000
"""What a machine that runs other tests besides may add."""


@pytest.fixture
def line() -> Generator[LossyLink]:
    with LossyLink() as line:
        yield line


def far_fleet(line: LossyLink, root: Path, *, period_s: float, crowd: int = 0) -> RealFleet:
    """A master at one end of the line and its agents at the other."""
    hosts = () if crowd else ("one", "two")
    listen = f"{MASTER_HOST}:0"
    return RealFleet(root, period_s=period_s, hosts=hosts, crowd=crowd, line=line, listen=listen)


def test_a_host_whose_cable_is_cut_is_late_then_down_and_up_when_it_is_mended(
    line: LossyLink, tmp_path: Path
) -> None:
    with far_fleet(line, tmp_path, period_s=1.0) as fleet:
        for number, name in enumerate(fleet.hosts):
            fleet.start_agent(name, at=host_of(number))
        fleet.wait_all_up()
        fleet.wait_beaten("one", SETTLED_BEATS)
        said = fleet.time_to_detect("one")
        at_ms = line.cut(host_of(0))
        late = fleet.wait_for("one", State.LATE, at_ms, within_s=10)
        assert 1000 <= late.wall_ms - at_ms < said.late_ms + BUSY_MS
        down = fleet.wait_for("one", State.DOWN, at_ms, within_s=10)
        assert 1500 <= down.wall_ms - at_ms < said.down_ms + BUSY_MS
        assert down.text == "unreachable: no beat, and its host does not answer"
        line.mend(host_of(0))
        fleet.wait_for("one", State.UP, at_ms, within_s=30)
        states = [change.after for change in fleet.changes("one", at_ms)]
        assert states == [State.LATE, State.DOWN, State.UP]
        assert fleet.wait_judged("one", at_ms).cause == Cause.NETWORK_CUT
        assert {fall.name for fall in fleet.falls(at_ms)} == {"one"}


def test_a_suspended_host_is_down_and_the_first_beat_after_it_counts_like_any_other(
    line: LossyLink, tmp_path: Path
) -> None:
    with far_fleet(line, tmp_path, period_s=1.0) as fleet:
        program = [sys.executable, "-m", "tests.network.agent_on_suspended_host"]
        agent = fleet.start_agent("one", at=host_of(0), program=program)
        fleet.start_agent("two", at=host_of(1))
        fleet.wait_all_up()
        fleet.wait_beaten("one", SETTLED_BEATS)
        stop(agent)
        at_ms = line.cut(host_of(0))
        down = fleet.wait_for("one", State.DOWN, at_ms, within_s=10)
        assert down.text == "unreachable: no beat, and its host does not answer"
        line.mend(host_of(0))
        up_ms = fleet.wait_for("one", State.UP, go_on(agent), within_s=30).wall_ms
        assert fleet.wait_judged("one", at_ms).cause == Cause.HOST_SUSPENDED
        fleet.wait_beaten("one", 5)
        # Its monotonic clock is behind for good: that is no lateness.
        assert fleet.falls(up_ms) == []


@pytest.mark.parametrize(
    ("lost_part", "period_s", "crowd", "beats"),
    [
        (0.05, 1.0, 100, 15),
        # Two lost retransmissions take longer than a beat of a second: TCP's times do not scale.
        (0.3, 5.0, 60, 6),
        pytest.param(0.05, 5.0, 200, 60, marks=SOAK),
        pytest.param(0.3, 5.0, 200, 60, marks=SOAK),
    ],
)
def test_nobody_is_down_on_a_line_that_loses_packets(
    line: LossyLink, tmp_path: Path, lost_part: float, period_s: float, crowd: int, beats: int
) -> None:
    with far_fleet(line, tmp_path, period_s=period_s, crowd=crowd) as fleet:
        fleet.start_crowd(at=host_of(0))
        fleet.wait_all_up()
        lossy_ms = line.lose(lost_part)
        beaten_ms = lossy_ms + round(1000 * beats * period_s)
        fleet.wait_all_seen(beaten_ms, within_s=period_s * (beats + 10))
        assert fleet.falls(lossy_ms) == []
