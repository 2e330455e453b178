"""What goes wrong in a demo: enough to see, never more than a host or a fleet can bear."""

from collections import defaultdict

import pytest

from heartline.demo.fleet import announcement
from heartline.demo.hosts import fleet
from heartline.demo.plan import FIRST_CYCLE_S, HORIZON_S, RECOVERY_S, SILENT, Fault, Kind, Plan

SIZES = [1, 3, 20, 200, 1000]


def plan_of(nodes: int, seed: int = 1) -> Plan:
    return Plan.drawn(fleet(nodes, seed), seed)


def test_same_seed_has_the_same_in_store() -> None:
    assert plan_of(200).faults == plan_of(200).faults
    assert plan_of(200).faults != plan_of(200, seed=2).faults


def test_every_kind_of_fault_is_seen_within_ten_minutes() -> None:
    assert {fault.kind for fault in plan_of(200).faults if fault.at_s < 600} == set(Kind)


def test_something_is_the_matter_from_the_first_minute_on() -> None:
    first = [fault.kind for fault in plan_of(200).faults if fault.at_s < FIRST_CYCLE_S]
    assert len(first) == len(set(first)) == len(Kind)


@pytest.mark.parametrize("nodes", SIZES)
def test_host_has_one_fault_at_a_time_and_a_while_to_recover(nodes: int) -> None:
    ends_s: dict[int, float] = defaultdict(lambda: -HORIZON_S)
    for fault in plan_of(nodes).faults:
        for number in fault.hosts:
            assert fault.at_s >= ends_s[number]
            ends_s[number] = fault.ends_s + RECOVERY_S


@pytest.mark.parametrize("nodes", [20, 200])
def test_most_of_the_fleet_is_always_there(nodes: int) -> None:
    faults = [fault for fault in plan_of(nodes).faults if fault.kind in SILENT]
    for fault in faults[:500]:
        away = sum(len(other.hosts) for other in faults if other.is_on(fault.at_s))
        assert away <= max(4, nodes / 2)


@pytest.mark.parametrize("nodes", [1, 3])
def test_small_fleet_is_left_in_peace_for_most_of_the_time(nodes: int) -> None:
    faults = plan_of(nodes).faults
    assert faults
    assert sum(fault.lasts_s for fault in faults) < HORIZON_S / 2


def test_hosts_faults_are_those_of_the_plan() -> None:
    hosts = fleet(20, 1)
    plan = Plan.drawn(hosts, 1)
    assert sum(len(plan.of(host)) for host in hosts) == sum(len(f.hosts) for f in plan.faults)


def test_switch_takes_hosts_of_one_rack_along_and_is_announced_as_one() -> None:
    hosts = fleet(200, 1)
    fault = next(f for f in Plan.drawn(hosts, 1).faults if f.kind is Kind.CUT)
    assert len({hosts[number].rack for number in fault.hosts}) == 1
    assert len(fault.hosts) > 4
    words = announcement(fault, hosts)
    assert f"the switch of {hosts[fault.hosts[0]].rack} fails" in words
    assert f"and {len(fault.hosts) - 4} more are cut off" in words


def test_fault_of_one_host_is_announced_by_its_name() -> None:
    hosts = fleet(3, 1)
    words = announcement(Fault(Kind.REBOOTED, 48.2, 50.0, (1,), 0), hosts)
    assert words == "     48 s  app-01.fra reboots (50 s)"
