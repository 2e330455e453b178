"""What happens to fleets, and what the detector makes of it: 3,000 nodes each, in virtual time.

The targets are those of a beat every five seconds: 99 of 100 nodes within the time that is named,
and not one wrong transition of a node that nothing has happened to.
"""

import math
import random
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest

from shared.liveness import State
from tests.scenarios.world import PERIOD_S, Change, Host, World, percentile

NODES = 3_000
HIT = 0.05
STALLS_S = [5.0, 10.0, 20.0]


def struck(world: World, hosts: Iterable[Host], strike: Callable[[Host], None]) -> dict[str, float]:
    """Lets it happen to each host at some instant of a period; when, by node."""
    begun: dict[str, float] = {}
    for host in hosts:
        begun[host.node_id] = world.settled_s + world.rng.random() * PERIOD_S
        world.at(begun[host.node_id], strike, host)
    return begun


def p99_s(changes: list[Change], begun: dict[str, float]) -> float:
    """Within which time 99 of 100 nodes were found out; every one has to be, and once."""
    assert sorted(change.node_id for change in changes) == sorted(begun)
    return percentile([change.at_s - begun[change.node_id] for change in changes], 0.99)


def wrong(world: World, hit: Iterable[Host]) -> list[Change]:
    """Changes of nodes that nothing has happened to."""
    ids = {host.node_id for host in hit}
    return [c for c in world.since(world.settled_s) if c.node_id not in ids]


def test_fleet_that_is_left_alone_stays_up_without_a_word() -> None:
    world = World(NODES, drift_ratio=100e-6)
    world.run(120.0)
    assert world.since(world.settled_s) == []
    assert {world.state(host) for host in world.hosts} == {State.UP}


def test_killed_agents_are_lost_at_once_and_down_after_the_grace() -> None:
    world = World(NODES)
    hit = world.some(HIT)
    begun = struck(world, hit, world.kill)
    world.run(60.0)
    assert p99_s(world.became(State.LOST), begun) <= 0.1
    assert p99_s(world.became(State.DOWN), begun) <= 3.5
    assert wrong(world, hit) == []


def test_killed_agents_that_are_started_again_within_the_grace_are_not_down() -> None:
    world = World(NODES)
    hit = world.some(HIT)

    def restart(host: Host) -> None:
        world.kill(host)
        world.at(world.now_s + world.rng.uniform(0.05, 2.5), world.start, host)

    begun = struck(world, hit, restart)
    world.run(60.0)
    assert p99_s(world.became(State.LOST), begun) <= 0.1
    assert world.became(State.DOWN) == []
    assert wrong(world, hit) == []


def test_stopped_agents_are_late_then_hung_then_down() -> None:
    world = World(NODES)
    hit = world.some(HIT)
    begun = struck(world, hit, world.stop)
    world.run(70.0)
    assert p99_s(world.became(State.LATE), begun) <= 6.5
    assert p99_s(world.became(State.HUNG), begun) <= 7.5
    assert p99_s(world.became(State.DOWN), begun) <= 30.5
    assert wrong(world, hit) == []


@pytest.mark.parametrize("for_s", [3.0, *STALLS_S])
def test_agents_that_stall_for_up_to_twenty_seconds_are_never_down(for_s: float) -> None:
    world = World(NODES)
    hit = world.some(HIT)
    for host, begun_s in zip(hit, struck(world, hit, world.stop).values(), strict=True):
        world.at(begun_s + for_s, world.go_on, host)
    world.run(60.0)
    assert world.became(State.DOWN) == []
    assert wrong(world, hit) == []
    assert {world.state(host) for host in hit} == {State.UP}
    assert [c for c in world.changes if c.at_s > world.settled_s + PERIOD_S + for_s + 1] == []


def test_cut_cables_are_late_then_down() -> None:
    world = World(NODES)
    hit = world.some(HIT)
    begun = struck(world, hit, world.cut)
    world.run(60.0)
    assert p99_s(world.became(State.LATE), begun) <= 6.5
    assert p99_s(world.became(State.DOWN), begun) <= 13.0
    assert world.became(State.HUNG) == []
    assert wrong(world, hit) == []


def test_host_that_is_cut_off_after_its_agent_hung_is_not_waited_for_as_if_it_answered() -> None:
    world = World(NODES)
    hit = world.some(HIT)
    begun = struck(world, hit, world.stop)
    for host in hit:
        world.at(begun[host.node_id] + 10.0, world.cut, host)
    world.run(60.0)
    assert p99_s(world.became(State.DOWN), begun) <= 10.0 + 8.5
    assert wrong(world, hit) == []


@pytest.mark.parametrize("for_s", [2.0, 5.0, 7.0])
def test_networks_that_come_back_within_a_period_and_a_half_cost_nobody(for_s: float) -> None:
    world = World(NODES)
    hit = world.some(HIT)
    for host, begun_s in zip(hit, struck(world, hit, world.cut).values(), strict=True):
        world.at(begun_s + for_s, world.mend, host)
    world.run(50.0)
    assert world.became(State.DOWN) == []
    assert wrong(world, hit) == []
    assert {world.state(host) for host in hit} == {State.UP}


def test_partition_of_the_greater_part_is_one_event_and_down_is_held_back() -> None:
    world = World(NODES)
    hit = world.some(0.6)
    for host in hit:
        world.at(world.settled_s, world.cut, host)
    world.run(world.settled_s + 15.5)
    assert len(world.became(State.LATE)) == len(hit)
    assert world.became(State.DOWN) == []
    world.run(60.0)
    assert len(world.mass_events) == 1
    (_, named, alive) = world.mass_events[0]
    assert (len(named), alive) == (900, NODES)
    assert {c.node_id for c in world.became(State.DOWN)} == {host.node_id for host in hit}
    assert wrong(world, hit) == []


def test_partition_that_ends_while_down_is_held_back_costs_nobody() -> None:
    world = World(NODES)
    hit = world.some(0.6)
    for host in hit:
        world.at(world.settled_s, world.cut, host)
        world.at(world.settled_s + 14.0, world.mend, host)
    world.run(60.0)
    assert len(world.mass_events) == 1
    assert world.became(State.DOWN) == []
    assert {world.state(host) for host in world.hosts} == {State.UP}


@pytest.mark.parametrize("for_s", [0.7, *STALLS_S, 40.0])
def test_frozen_master_holds_its_own_absence_against_nobody(for_s: float) -> None:
    world = World(NODES)
    world.at(world.settled_s + 2.0, world.freeze_master, for_s)
    world.run(world.settled_s + for_s + 20.0)
    assert world.since(world.settled_s) == []
    assert world.mass_events == []
    assert world.clock.stalls == (1 if for_s > 0.75 else 0)


def test_who_dies_while_the_master_is_frozen_is_found_out_after_it() -> None:
    world = World(NODES)
    hit = world.some(HIT)
    frozen_s = 40.0
    world.at(world.settled_s, world.freeze_master, frozen_s)
    struck(world, hit, world.cut)
    world.run(world.settled_s + frozen_s + 30.0)
    assert wrong(world, hit) == []
    assert {world.state(host) for host in hit} == {State.DOWN}


def test_pauses_of_the_masters_garbage_collector_are_not_silence_of_its_agents() -> None:
    world = World(NODES)
    at_s = world.settled_s
    while at_s < 110.0:
        world.at(at_s, world.freeze_master, world.rng.uniform(0.05, 1.0))
        at_s += world.rng.uniform(0.5, 3.0)
    world.run(120.0)
    assert world.since(world.settled_s) == []


@pytest.mark.parametrize("for_s", [2.0, 4.0, 7.0])
def test_short_suspension_is_lateness_once_and_not_with_every_beat_that_follows(
    for_s: float,
) -> None:
    world = World(NODES)
    hit = world.some(HIT)
    struck(world, hit, lambda host: world.suspend(host, for_s))
    world.run(100.0)
    assert world.became(State.DOWN) == []
    assert wrong(world, hit) == []
    assert len(world.became(State.LATE)) <= len(hit)
    late_s = world.settled_s + 2 * PERIOD_S + for_s + 1
    assert [c for c in world.changes if c.at_s > late_s] == []


def suspend(world: World, host: Host) -> None:
    world.suspend(host, 25.0)


def interrupt(world: World, host: Host) -> None:
    world.cut(host)
    world.at(world.now_s + 25.0, world.mend, host)


def stall(world: World, host: Host) -> None:
    world.stop(host)
    world.at(world.now_s + 25.0, world.go_on, host)


@pytest.mark.parametrize("accident", [suspend, interrupt, stall])
def test_what_a_host_has_been_through_does_not_delay_its_next_detection(
    accident: Callable[[World, Host], None],
) -> None:
    world = World(NODES)
    hit = world.some(HIT)
    struck(world, hit, lambda host: accident(world, host))
    world.run(world.settled_s + 60.0)
    assert {world.state(host) for host in hit} == {State.UP}
    again_s = world.now_s
    begun: dict[str, float] = {}
    for host in hit:
        begun[host.node_id] = again_s + world.rng.random() * PERIOD_S
        world.at(begun[host.node_id], world.cut, host)
    world.run(again_s + 40.0)
    changes = world.since(again_s)
    assert p99_s([c for c in changes if c.after is State.LATE], begun) <= 6.5
    assert p99_s([c for c in changes if c.after is State.DOWN], begun) <= 13.0
    assert wrong(world, hit) == []


def test_long_suspension_is_down_and_ends_with_the_host() -> None:
    world = World(NODES)
    hit = world.some(HIT)
    begun = struck(world, hit, lambda host: world.suspend(host, 90.0))
    world.run(140.0)
    assert p99_s(world.became(State.DOWN), begun) <= 13.0
    assert {world.state(host) for host in world.hosts} == {State.UP}
    assert wrong(world, hit) == []


def test_agent_that_comes_and_goes_is_flapping_until_it_has_been_steady() -> None:
    world = World(100)
    (host,) = world.some(0.01)
    for number in range(4):
        world.at(world.settled_s + 20 * number, world.kill, host)
        world.at(world.settled_s + 20 * number + 10, world.start, host)
    world.run(2_000.0)
    (begins, ends) = world.flaps
    assert math.isclose(begins[0], world.settled_s + 70, abs_tol=1)
    assert begins[1:] == (host.node_id, True)
    assert ends[1:] == (host.node_id, False)
    assert 300.0 < ends[0] - begins[0] < 900.0
    assert len(world.became(State.DOWN)) == 4


def test_goodbyes_are_no_alarm_however_many() -> None:
    world = World(NODES)
    for host in world.some(0.8):
        world.at(world.settled_s + world.rng.random(), world.leave, host)
    world.run(60.0)
    assert {change.after for change in world.since(world.settled_s)} == {State.LEFT}
    assert world.mass_events == []


SAID = {
    "kill": ("link closed",),
    "hang": ("hung",),
    "cut": ("unreachable", "link timed out"),
}
"""How the reason begins. Of a cable that was cut while the master was frozen its kernel knows."""

HARMLESS = ("nothing", "stall", "blip", "nap", "restart")


def strike(world: World, host: Host, fault: str) -> None:
    rng, at_s = world.rng, world.rng.uniform(world.settled_s, 200.0)
    match fault:
        case "stall":
            world.at(at_s, world.stop, host)
            world.at(at_s + rng.uniform(0.5, 20.0), world.go_on, host)
        case "blip":
            world.at(at_s, world.cut, host)
            world.at(at_s + rng.uniform(0.5, 6.0), world.mend, host)
        case "nap":
            world.at(at_s, world.suspend, host, rng.uniform(0.5, 6.0))
        case "restart":
            world.at(at_s, world.kill, host)
            world.at(at_s + rng.uniform(0.05, 2.5), world.start, host)
        case "kill":
            world.at(at_s, world.kill, host)
        case "hang":
            world.at(at_s, world.stop, host)
        case "cut":
            world.at(at_s, world.cut, host)
        case "leave":
            world.at(at_s, world.leave, host)
        case _:
            pass


@pytest.mark.parametrize("seed", range(4))
def test_many_faults_at_once_are_each_told_for_what_they_are(seed: int) -> None:
    world = World(600, seed=seed, drift_ratio=100e-6)
    faults = random.Random(seed).choices(
        (*HARMLESS, "kill", "hang", "cut", "leave"), (60, 6, 6, 6, 6, 4, 4, 4, 4), k=600
    )
    for host, fault in zip(world.hosts, faults, strict=True):
        strike(world, host, fault)
    for pause_s in (40.0, 90.0, 140.0):
        world.at(pause_s, world.freeze_master, 3.0 * (seed + 1))
    world.run(300.0)
    for host, fault in zip(world.hosts, faults, strict=True):
        mine = [change for change in world.changes if change.node_id == host.node_id]
        assert [a.after for a in mine[:-1]] == [b.before for b in mine[1:]]
        assert all(a.at_s <= b.at_s for a, b in pairwise(mine))
        state, reason = world.state(host), world.detector[host.node_id].reason
        if fault in HARMLESS:
            assert state is State.UP, fault
            assert State.DOWN not in {change.after for change in mine}, fault
        elif fault == "leave":
            assert state is State.LEFT
        else:
            assert state is State.DOWN
            assert reason.startswith(SAID[fault]), fault
        if fault == "nothing":
            assert [change for change in mine if change.at_s >= world.settled_s] == []
    assert world.mass_events == []
