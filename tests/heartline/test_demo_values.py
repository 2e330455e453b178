"""What simulated hosts report: the same for the same seed, within bounds, and hanging together."""

import hashlib
import os
import subprocess
import sys
from collections import Counter

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from heartline.demo import hardware
from heartline.demo.core_sample import core
from heartline.demo.family_samples import family
from heartline.demo.hosts import Host, fleet
from heartline.demo.noise import drift, unit
from heartline.demo.plan import Fault, Kind, Plan
from heartline.demo.signs import MOST_BUSY, busy_at, signs
from shared import messages as m
from shared.families import ROWS_LIMIT, Filesystems, Processes, Sensors, decode_family
from shared.inventory import Inventory
from shared.metrics import FAMILIES, Core

WALL_S = 1_800_000_000.0
HOSTS = fleet(60, 7)
PLAN = Plan.drawn(HOSTS, 7)


def host_of(role: str) -> Host:
    return next(host for host in HOSTS if host.role.name == role)


def during(kind: Kind, host: Host) -> tuple[Fault, ...]:
    """The host has had this for a hundred seconds at 0, and will have it as long again."""
    return (Fault(kind, -100.0, 200.0, (host.number,), 3),)


def digest() -> str:
    """Of everything that some hosts report at some times."""
    summed = hashlib.sha256()
    for host in HOSTS[::7]:
        faults = PLAN.of(host)
        for at_s in (0.0, 61.5, 4000.25):
            now = signs(host, faults, at_s)
            summed.update(m.encode_body(core(host, now)))
            summed.update(m.encode_body(hardware.inventory(host, now.booted_s, WALL_S)))
            for name in FAMILIES:
                summed.update(m.encode_body(family(name, host, faults, at_s, WALL_S)))
    return summed.hexdigest()


def test_every_process_sees_the_same_fleet() -> None:
    program = "from tests.heartline.test_demo_values import digest; print(digest())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == digest()


def test_another_seed_is_another_fleet_with_the_same_names() -> None:
    others = fleet(60, 8)
    assert [host.name for host in others] == [host.name for host in HOSTS]
    assert [host.key for host in others] != [host.key for host in HOSTS]


def test_larger_fleet_begins_with_the_smaller_one() -> None:
    assert fleet(200, 7)[:60] == HOSTS


def test_names_and_addresses_are_each_hosts_own() -> None:
    hosts = fleet(1000, 1)
    assert len({host.name for host in hosts}) == len(hosts)
    assert len({host.ipv4 for host in hosts}) == len(hosts)
    assert len({host.ipv6 for host in hosts}) == len(hosts)


@given(st.integers(), st.floats(-1e6, 1e6), st.floats(0.1, 1e4))
def test_noise_stays_within_its_bounds_and_has_no_jumps(
    key: int, at_s: float, period_s: float
) -> None:
    assert 0 <= unit(key) < 1
    here, near = drift(key, at_s, period_s), drift(key, at_s + period_s / 1000, period_s)
    assert 0 <= here < 1
    assert abs(here - near) < 0.01


@given(st.sampled_from(HOSTS), st.floats(-400, 90_000))
def test_whatever_is_reported_can_be_received(host: Host, at_s: float) -> None:
    faults = PLAN.of(host)
    now = signs(host, faults, at_s)
    packed = m.encode_body(core(host, now))
    received = msgspec.msgpack.decode(packed, type=Core)
    assert len(packed) < 400
    inventory = hardware.inventory(host, now.booted_s, WALL_S)
    assert msgspec.msgpack.decode(m.encode_body(inventory), type=Inventory) == inventory
    assert received.filesystem_fullest is not None
    assert received.filesystem_fullest < len(inventory.filesystems)
    for name in FAMILIES:
        data = family(name, host, faults, at_s, WALL_S)
        assert decode_family(name, m.raw(data)) == data


@given(st.sampled_from(HOSTS), st.floats(0, 5_000))
def test_busier_host_is_hotter_and_its_processes_add_up(host: Host, at_s: float) -> None:
    now = signs(host, (), at_s)
    table = family("processes", host, (), at_s, WALL_S)
    assert isinstance(table, Processes)
    computing = sum(row.cpu_ratio or 0.0 for row in table.largest)
    assert 0.4 * now.busy * host.cpus <= computing <= 1.6 * now.busy * host.cpus + 0.05
    assert sum(row.rss_bytes for row in table.largest) < host.memory_kib * 1024
    assert all(count >= 0 for count in table.by_state.values())
    assert sum(table.by_state.values()) == table.total
    if host.role.is_virtual:
        return
    idle, working = replace(now, heat=0.1), replace(now, heat=0.9)
    temperatures = [core(host, each).temperature_max_dc or 0 for each in (idle, working)]
    assert temperatures[0] < temperatures[1]


@given(st.sampled_from(HOSTS), st.floats(0, 5_000))
def test_whole_table_is_told_while_somebody_looks(host: Host, at_s: float) -> None:
    table = family("processes", host, (), at_s, WALL_S, is_watched=True)
    few = family("processes", host, (), at_s, WALL_S)
    assert isinstance(table, Processes)
    assert isinstance(few, Processes)
    assert table.largest[: len(few.largest)] == few.largest
    assert len(few.largest) < len(table.largest) <= min(table.total, ROWS_LIMIT)
    pids = [row.pid for row in table.largest]
    assert len(set(pids)) == len(pids)
    states = Counter(row.state for row in table.largest)
    assert states["idle"] <= table.by_state["idle"]
    assert decode_family("processes", m.raw(table)) == table


def test_day_comes_and_goes_where_the_users_are() -> None:
    frankfurt = next(h for h in HOSTS if h.role.name == "web" and h.site.code == "fra")
    busy = [busy_at(frankfurt, (), hour * 60.0) for hour in range(24)]
    by_day, by_night = sum(busy[3:10]), sum(busy[15:22])
    assert by_day > 2 * by_night


def test_process_that_runs_away_leads_the_table_and_heats_the_host() -> None:
    host = host_of("db")
    faults = during(Kind.RUNAWAY, host)
    table = family("processes", host, faults, 0.0, WALL_S)
    assert isinstance(table, Processes)
    assert (table.largest[0].cpu_ratio or 0.0) > host.cpus / 2
    assert table.largest[0].age_s == 100.0
    assert MOST_BUSY >= busy_at(host, faults, 0.0) > busy_at(host, (), 0.0) + 0.4
    assert signs(host, faults, 0.0).load_1m > signs(host, (), 0.0).load_1m


def test_leak_takes_the_memory_until_it_is_over() -> None:
    host = host_of("app")
    faults = during(Kind.LEAKING, host)
    early, late, after = (signs(host, faults, at_s).memory for at_s in (-90.0, 99.0, 101.0))
    assert early < late
    assert late > 0.95
    assert after < 0.9


def test_disk_fills_up_and_is_the_fullest_then() -> None:
    host = host_of("db")
    faults = during(Kind.FILLING, host)
    struck = 3 % len(host.role.mounts)
    full = core(host, signs(host, faults, 99.0))
    assert full.filesystem_fullest == struck
    assert (full.filesystem_used_max_bp or 0) > 9_800


def test_file_server_that_does_not_answer_is_absent_and_the_rest_is_measured() -> None:
    host = host_of("gpu")
    data = family("filesystems", host, during(Kind.STUCK, host), 0.0, WALL_S)
    assert isinstance(data, Filesystems)
    assert set(data.absent) == {"/datasets"}
    assert {row.mount for row in data.filesystems} == {"/", "/scratch"}


def test_reboot_begins_the_uptime_anew_under_another_boot_id() -> None:
    host = host_of("web")
    faults = (Fault(Kind.REBOOTED, 10.0, 40.0, (host.number,), 0),)
    before, after = signs(host, faults, 40.0), signs(host, faults, 51.0)
    assert before.booted_s == host.booted_s
    assert 0 < 51.0 - after.booted_s < 15
    assert hardware.boot_id(host, before.booted_s) != hardware.boot_id(host, after.booted_s)


def test_virtual_machine_says_that_it_has_no_sensors() -> None:
    data = family("sensors", host_of("web"), (), 0.0, WALL_S)
    assert isinstance(data, Sensors)
    assert not data.temperatures
    assert set(data.absent) == {"temperatures", "fans", "battery"}
