"""Processors, disks, interfaces and sensors of hosts made up for the purpose."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from agent.collectors.cpu import CpuCollector
from agent.collectors.disks import DisksCollector, whole_disks
from agent.collectors.network import NetworkCollector, with_prefix
from agent.collectors.reading import Reading, bp, kib, whole
from agent.collectors.sensors import SensorsCollector, believable
from shared.families import (
    ROWS_LIMIT,
    Cpu,
    Disks,
    Network,
    Sensors,
)
from shared.metrics import LARGEST
from tests.agent.stand_ins import in_turn


@pytest.mark.parametrize(
    ("value", "scale", "number"),
    [
        (0.12345, 10_000, 1234),
        (None, 10, None),
        (-0.1, 10, None),
        (float("nan"), 1, None),
        (float("inf"), 1, None),
        (LARGEST * 2, 1, None),
        (3, 1, 3),
    ],
)
def test_core_takes_whole_numbers_within_its_bounds(
    value: float | None, scale: int, number: int | None
) -> None:
    assert whole(value, scale) == number


def test_units_of_the_core() -> None:
    assert bp(0.5) == 5000
    assert kib(2048) == 2
    assert kib(None) is None


# --- cpu -----------------------------------------------------------------------------------------


def scputimes(user: float, idle: float) -> SimpleNamespace:
    return SimpleNamespace(user=user, system=0.0, idle=idle)


def test_system_without_a_processors_clock_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_freq", lambda: None)
    data = CpuCollector().collect(0.0).data
    assert isinstance(data, Cpu)
    assert data.frequency_mhz is None
    assert data.absent == {"frequency": "not reported by this system"}


def test_processor_that_goes_offline_gives_no_shares_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks: list[object] = [
        [scputimes(1, 9), scputimes(1, 9)],
        [scputimes(5, 10)],
        [scputimes(6, 14)],
    ]
    monkeypatch.setattr(psutil, "cpu_times", in_turn(clocks))
    collector = CpuCollector()
    collector.collect(0.0)
    assert collector.collect(5.0).core["cpu_busy_bp"] is None
    assert collector.collect(10.0).core["cpu_busy_bp"] == 2000


def test_busiest_core_is_told_from_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks: list[object] = [[scputimes(0, 0), scputimes(0, 0)], [scputimes(5, 0), scputimes(0, 5)]]
    monkeypatch.setattr(psutil, "cpu_times", in_turn(clocks))
    collector = CpuCollector()
    collector.collect(0.0)
    core = collector.collect(5.0).core
    assert (core["cpu_busy_bp"], core["cpu_core_max_bp"]) == (5000, 10_000)


# --- disks ---------------------------------------------------------------------------------------


def sdiskio(read_bytes: int, busy_ms: int) -> SimpleNamespace:
    return SimpleNamespace(
        read_count=read_bytes // 512,
        write_count=0,
        read_bytes=read_bytes,
        write_bytes=0,
        busy_time=busy_ms,
    )


@pytest.fixture
def block_devices(tmp_path: Path) -> Path:
    """sda; dm-0 on top of it; loop0."""
    for name in ("sda", "dm-0", "loop0"):
        (tmp_path / name / "slaves").mkdir(parents=True)
    (tmp_path / "dm-0" / "slaves" / "sda").touch()
    return tmp_path


def test_partitions_and_loop_devices_are_no_disks_and_a_mapper_is_stacked(
    block_devices: Path,
) -> None:
    names = frozenset({"sda", "sda1", "dm-0", "loop0", "zram0"})
    assert whole_disks(names, block_devices) == {"sda": False, "dm-0": True}


def test_system_that_reports_whole_disks_only_is_believed(tmp_path: Path) -> None:
    names = frozenset({"disk0", "PhysicalDrive1"})
    assert whole_disks(names, tmp_path / "none") == {"disk0": False, "PhysicalDrive1": False}


def test_traffic_through_a_stacked_device_is_counted_once(
    monkeypatch: pytest.MonkeyPatch, block_devices: Path
) -> None:
    monkeypatch.setattr("agent.collectors.disks._BLOCK_DEVICES", block_devices)
    counted: list[object] = [
        {"sda": sdiskio(0, 0), "dm-0": sdiskio(0, 0)},
        {"sda": sdiskio(5120, 6000), "dm-0": sdiskio(5120, 100)},
    ]
    monkeypatch.setattr(psutil, "disk_io_counters", in_turn(counted))
    collector = DisksCollector()
    first = collector.collect(0.0)
    assert first.core["disk_read_bytes_per_s"] is None
    reading = collector.collect(5.0)
    assert reading.core["disk_read_bytes_per_s"] == 1024
    assert reading.core["disk_reads_per_s"] == 2
    assert reading.core["disk_busy_max_bp"] == 10_000, "busier than the time that passed is busy"
    assert reading.facts.get("disks") == ("dm-0", "sda")


def test_host_without_disks_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "disk_io_counters", in_turn([{}]))
    data = DisksCollector().collect(0.0).data
    assert isinstance(data, Disks)
    assert data.absent == {"disks": "this system reports no disks"}


# --- network -------------------------------------------------------------------------------------


def snetio(received: int) -> SimpleNamespace:
    return SimpleNamespace(
        bytes_recv=received,
        bytes_sent=0,
        packets_recv=0,
        packets_sent=0,
        errin=0,
        errout=0,
        dropin=0,
        dropout=0,
    )


def interfaces(
    monkeypatch: pytest.MonkeyPatch, sys_class_net: Path, readings: list[Mapping[str, int]]
) -> None:
    """A host whose interfaces have received so much at each reading; `lo` is loopback."""
    stats = {
        name: SimpleNamespace(
            flags="up,loopback" if name == "lo" else "up", isup=True, speed=1000, mtu=1500
        )
        for name in readings[0]
    }
    counted: list[object] = [{name: snetio(n) for name, n in each.items()} for each in readings]
    monkeypatch.setattr("agent.collectors.network._INTERFACES", sys_class_net)
    monkeypatch.setattr(psutil, "net_io_counters", in_turn(counted))
    monkeypatch.setattr(psutil, "net_if_stats", lambda: stats)
    monkeypatch.setattr(psutil, "net_if_addrs", dict)


def test_what_passes_a_bridge_is_counted_at_the_hardware(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "eth0" / "device").mkdir(parents=True)
    before = {"br0": 0, "eth0": 0, "lo": 0}
    interfaces(monkeypatch, tmp_path, [before, {"br0": 5000, "eth0": 5000, "lo": 9000}])
    collector = NetworkCollector()
    collector.collect(0.0)
    core = collector.collect(5.0).core
    assert core["network_receive_bytes_per_s"] == 1000
    assert core["network_interfaces_up"] == 2


def test_container_without_hardware_counts_everything_but_loopback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = {"eth0": 0, "eth1": 0, "lo": 0}
    interfaces(monkeypatch, tmp_path, [before, {"eth0": 5000, "eth1": 5000, "lo": 9000}])
    collector = NetworkCollector()
    collector.collect(0.0)
    assert collector.collect(5.0).core["network_receive_bytes_per_s"] == 2000


def test_interface_that_appears_does_not_count_its_past(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    interfaces(monkeypatch, tmp_path, [{"eth0": 0}, {"eth0": 5000, "veth1": 10**9}])
    collector = NetworkCollector()
    collector.collect(0.0)
    reading = collector.collect(5.0)
    assert reading.core["network_receive_bytes_per_s"] == 1000
    assert isinstance(reading.data, Network)
    assert [row.receive_bytes_per_s for row in reading.data.interfaces] == [1000, None]


def test_thousands_of_interfaces_are_bounded_and_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    many = dict.fromkeys([f"veth{number:04}" for number in range(1000)], 0)
    interfaces(monkeypatch, tmp_path, [many])
    data = NetworkCollector().collect(0.0).data
    assert isinstance(data, Network)
    assert (len(data.interfaces), data.left_out) == (ROWS_LIMIT, 1000 - ROWS_LIMIT)


@pytest.mark.parametrize(
    ("address", "netmask", "text"),
    [
        ("192.0.2.7", "255.255.255.0", "192.0.2.7/24"),
        ("fe80::1%eth0", "ffff:ffff:ffff:ffff::", "fe80::1/64"),
        ("2001:db8::1", None, "2001:db8::1"),
        ("192.0.2.7", "nonsense", "192.0.2.7"),
    ],
)
def test_address_is_written_with_its_prefix(address: str, netmask: str | None, text: str) -> None:
    assert with_prefix((address, netmask)) == text


# --- sensors -------------------------------------------------------------------------------------


def sensors() -> tuple[Sensors, Reading]:
    reading = SensorsCollector().collect(0.0)
    assert isinstance(reading.data, Sensors)
    return reading.data, reading


def test_system_on_which_psutil_has_no_sensors_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("temperatures", "fans", "battery"):
        monkeypatch.delattr(psutil, f"sensors_{name}", raising=False)
    data, reading = sensors()
    assert data.absent == dict.fromkeys(
        ("temperatures", "fans", "battery"), f"not offered on {sys.platform}"
    )
    assert set(reading.core.values()) == {None}


def test_sensors_are_read_and_those_that_are_not_connected_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def temperature(current: float, high: float | None = None) -> SimpleNamespace:
        return SimpleNamespace(label="", current=current, high=high, critical=None)

    chips = {"coretemp": [temperature(61.5, 80.0), temperature(-273.0), temperature(65261.8)]}
    fan = SimpleNamespace(label="rear", current=900)
    battery = SimpleNamespace(percent=80.5, power_plugged=False, secsleft=3600)
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: chips, raising=False)
    monkeypatch.setattr(psutil, "sensors_fans", lambda: {"it87": [fan]}, raising=False)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    data, reading = sensors()
    assert [(row.label, row.celsius) for row in data.temperatures] == [("1", 61.5)]
    assert data.absent == {}
    assert reading.core == {
        "temperature_max_dc": 615,
        "fan_min_rpm": 900,
        "battery_bp": 8050,
        "power_plugged": 0,
    }
    assert reading.facts.get("sensors") == ("coretemp/1", "it87/rear")


def test_threshold_that_nothing_reaches_is_none() -> None:
    assert believable(65261.8) is None
    assert believable(None) is None
