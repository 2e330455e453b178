"""Two hundred agents and their master through what happens to fleets, to the instant."""

import itertools
import logging
import random
from collections import Counter
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from agent.linker import DIAL_S
from master.sweeper import GRANULARITY_S
from shared import messages as m
from shared.backoff import BACKOFF_CAP_S, FIRST_RETRY_JITTER_S
from shared.liveness import AWAITED_S, DOWN_LEAST_PERIODS, LATE_FLOOR_S, LOST_GRACE_S
from shared.settings import LinkSettings
from tests.scenarios.simulation import PERIOD_S, Host, Simulation, after, simulated

AGENTS = 200
TICK_S = GRANULARITY_S + 0.01
"""How exactly an instant can be kept: the sweeper's granularity, and a breath."""

TEN_MINUTES_S = 600.0


@pytest.fixture(autouse=True)
def quiet_log(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of links end here; a failure is easier to read without a line for each."""
    caplog.set_level(logging.ERROR)


def split(hosts: list[Host], *sizes: int) -> list[list[Host]]:
    """Groups of so many, and the rest."""
    remaining = iter(hosts)
    return [[*itertools.islice(remaining, size)] for size in sizes] + [[*remaining]]


async def let_pass(minutes: float) -> None:
    await trio.sleep(60 * minutes)


def assert_undisturbed(simulation: Simulation, hosts: list[Host]) -> None:
    for host in hosts:
        assert simulation.changes_of(host) == []
        assert simulation.state(host) == "up"


# --- nothing happens -----------------------------------------------------------------------------


async def test_quiet_fleet_beats_on_its_grid_and_nothing_ever_changes(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with simulated(tmp_path, AGENTS) as simulation:
        await trio.sleep(TEN_MINUTES_S)
        assert_undisturbed(simulation, simulation.hosts)
        for host in simulation.hosts:
            assert 0 <= len(host.beats_s) - TEN_MINUTES_S / PERIOD_S <= 2
            grid = [later - earlier for earlier, later in itertools.pairwise(host.beats_s[1:])]
            assert max(abs(step_s - PERIOD_S) for step_s in grid) < 1e-6
            assert len(host.dials_s) == 1
        phases = Counter(int(host.beats_s[-1] % PERIOD_S) for host in simulation.hosts)
        assert max(phases.values()) < AGENTS / 2  # not in unison


# --- everything at once --------------------------------------------------------------------------


async def test_kills_cuts_black_holes_and_goodbyes_are_told_apart_and_told_in_time(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with simulated(tmp_path, AGENTS) as simulation:
        killed, cut, unplugged, stopped, forgetful, quiet = split(
            simulation.hosts, 20, 20, 20, 20, 20
        )
        await trio.sleep(2 * PERIOD_S)  # until every beat promises a whole period
        rng, at_s = random.Random(7), dict[str, float]()
        acts = [
            *((host, host.kill) for host in killed),
            *((host, host.cut) for host in cut),
            *((host, host.unplug) for host in unplugged),
            *((host, host.stop) for host in stopped),
            *((host, host.lose_link) for host in forgetful),
        ]
        rng.shuffle(acts)
        for host, act in acts:
            await trio.sleep(rng.uniform(0, 0.5))
            at_s[host.name] = trio.current_time()
            act()
        last_beats_s = {host.name: host.beats_s[:] for host in simulation.hosts}
        await let_pass(2)
        for host in unplugged:
            host.plug_in()
        plugged_in_s = trio.current_time()
        await let_pass(4)

        for host in killed:
            lost, down = simulation.changes_of(host)
            assert (lost.after, lost.text) == ("lost", "link connection reset by peer")
            assert lost.at_s == at_s[host.name]
            assert down.after == "down"
            assert LOST_GRACE_S <= down.at_s - lost.at_s <= LOST_GRACE_S + TICK_S
        for host in cut:
            lost, up = simulation.changes_of(host)
            assert (lost.after, up.after) == ("lost", "up")
            assert lost.at_s == at_s[host.name]
            assert up.at_s - lost.at_s <= FIRST_RETRY_JITTER_S
        for host in stopped:
            (left,) = simulation.changes_of(host)
            assert (left.after, left.text) == ("left", "stopped: SIGTERM")
            assert left.at_s == at_s[host.name]
        for host in (*unplugged, *forgetful):
            last_s = max(each for each in last_beats_s[host.name] if each <= at_s[host.name])
            late, down, up = simulation.changes_of(host)
            assert (late.after, down.after, up.after) == ("late", "down", "up")
            assert late.text == "no beat when promised"
            due_s = last_s + PERIOD_S + LATE_FLOOR_S
            assert due_s - 1e-2 <= late.at_s <= due_s + TICK_S
            assert down.text == "unreachable: no beat, and its host does not answer"
            assert abs(down.at_s - (last_s + (1 + DOWN_LEAST_PERIODS) * PERIOD_S)) <= TICK_S
        for host in unplugged:
            back_s = simulation.changes_of(host)[-1].at_s - plugged_in_s
            assert 0 <= back_s <= BACKOFF_CAP_S + DIAL_S
        for host in forgetful:
            back_s = simulation.changes_of(host)[-1].at_s - at_s[host.name]
            assert back_s <= simulation.link.read_timeout_s + FIRST_RETRY_JITTER_S
        assert_undisturbed(simulation, quiet)
        assert simulation.master is not None
        assert len(simulation.master.sessions.roster) == AGENTS - len(killed) - len(stopped)


async def test_killed_agents_that_are_started_again_within_the_grace_were_never_down(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with simulated(tmp_path, 20) as simulation:
        for host in simulation.hosts:
            host.kill()
            await trio.sleep(1)
            host.start()
        await let_pass(2)
        for host in simulation.hosts:
            assert after(simulation.changes_of(host)) == ["lost", "up"]


# --- the master goes away ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stopped", "killed"])
@pytest.mark.parametrize("away_s", [1.0, 20.0])
async def test_restart_of_the_master_calls_nobody_down_but_who_has_died_meanwhile(
    tmp_path: Path, autojump_clock: MockClock, how: str, away_s: float
) -> None:
    async with simulated(tmp_path, 60) as simulation:
        dying, living = split(simulation.hosts, 5)
        await trio.sleep(31)  # so that a killed master has stored everything
        await (simulation.stop_master() if how == "stopped" else simulation.kill_master())
        for host in dying:
            host.kill()
        await trio.sleep(away_s)
        await simulation.start_master()
        back_s = trio.current_time()
        assert simulation.states() == {"awaited"}
        await trio.sleep(AWAITED_S - 0.1)
        assert {simulation.state(host) for host in living} == {"up"}
        assert {simulation.state(host) for host in dying} == {"awaited"}
        await trio.sleep(0.1 + TICK_S)
        for host in dying:
            (down,) = simulation.changes_of(host)
            assert (down.after, down.text) == (
                "down",
                "the master was restarted, and the agent did not come back",
            )
            assert AWAITED_S <= down.at_s - back_s <= AWAITED_S + TICK_S
        await let_pass(1)
        assert_undisturbed(simulation, living)


async def test_fleet_that_waits_for_its_master_for_long_comes_back_in_no_wave(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with simulated(tmp_path, AGENTS) as simulation:
        await simulation.kill_master()
        away_s = trio.current_time()
        await let_pass(5)
        attempts = [sum(each > away_s for each in host.dials_s) for host in simulation.hosts]
        assert max(attempts) <= 10 + 300 / (BACKOFF_CAP_S / 4)  # nobody hammers
        assert min(attempts) >= 300 / BACKOFF_CAP_S  # nobody gives up
        await simulation.start_master()
        back_s = trio.current_time()
        await trio.sleep(BACKOFF_CAP_S)
        assert simulation.states() == {"up"}
        arrivals = Counter(int(host.dials_s[-1] - back_s) for host in simulation.hosts)
        assert max(arrivals.values()) <= AGENTS / 10  # in a second of thirty
        assert simulation.changes == []


async def test_agents_of_a_master_that_accepts_and_says_nothing_do_not_wait_for_ever(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with simulated(tmp_path, 20) as simulation:
        simulation.is_frozen = True
        for host in simulation.hosts:
            host.cut()
        await let_pass(3)
        assert simulation.states() == {"down"}
        for host in simulation.hosts:
            assert len(host.dials_s) >= 180 / (DIAL_S + BACKOFF_CAP_S)
        simulation.is_frozen = False
        await trio.sleep(DIAL_S + BACKOFF_CAP_S)
        assert simulation.states() == {"up"}


async def test_no_agent_lives_on_a_dead_link_for_longer_than_the_read_timeout(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    link = LinkSettings(ping_after_s=2, read_timeout_s=6)
    async with simulated(tmp_path, 20, link) as simulation:
        for _ in range(10):
            await trio.sleep(20)
            began_s = trio.current_time()
            for host in simulation.hosts:
                host.lose_link()
            await trio.sleep(link.read_timeout_s + FIRST_RETRY_JITTER_S + TICK_S)
            for host in simulation.hosts:
                assert began_s < host.dials_s[-1] <= trio.current_time()
                assert simulation.state(host) == "up"


# --- identities ----------------------------------------------------------------------------------


async def test_two_machines_with_one_identity_are_found_out_and_neither_gives_up(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with simulated(tmp_path, 3) as simulation:
        original = simulation.hosts[0]
        clone = Host(simulation, original.peer, original.name, seed=99)
        clone.start()
        await let_pass(3)
        assert simulation.master is not None
        (conflict,) = await simulation.master.events("conflict")
        assert conflict.name == original.name
        assert simulation.master.node(original.name).conflict
        for host in (original, clone):
            assert len(host.dials_s) >= 3
        clone.kill()
        await let_pass(12)
        assert not simulation.master.node(original.name).conflict
        assert simulation.state(original) == "up"
        assert_undisturbed(simulation, simulation.hosts[1:])


async def test_agent_that_is_revoked_while_it_is_linked_stops_and_knows_why(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with simulated(tmp_path, 3) as simulation:
        assert simulation.master is not None
        revoked, *others = simulation.hosts
        operator = await simulation.master.viewer()
        await operator.ask(m.RevokeNode(1, revoked.name), m.Done)
        await let_pass(5)
        assert revoked.refusal is not None
        assert revoked.refusal.code == m.Parting.REVOKED
        assert len(revoked.dials_s) == 1
        assert after(simulation.changes_of(revoked)) == ["revoked"]
        assert_undisturbed(simulation, others)


async def test_agent_that_is_forgotten_stops_and_the_others_go_on(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with simulated(tmp_path, 3) as simulation:
        assert simulation.master is not None
        forgotten, *others = simulation.hosts
        operator = await simulation.master.viewer()
        await operator.ask(m.ForgetNode(1, forgotten.name), m.Done)
        await let_pass(5)
        assert forgotten.refusal is not None
        assert len(simulation.master.registry) == 2
        assert_undisturbed(simulation, others)
