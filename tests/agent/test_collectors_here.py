"""Every collector on the host that the tests run on: real readings keep their promises."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.collectors import collectors
from agent.collectors.connections import ConnectionsCollector
from agent.collectors.process_table import Read, Table, read_proc, read_psutil
from agent.collectors.processes import ProcessesCollector
from agent.collectors.reading import Collector, Facts, Reading
from agent.collectors.socket_table import NetlinkSockets, SocketTable
from agent.collectors.socket_table import read_psutil as read_sockets
from agent.host import boot_id, host_inventory
from shared.families import Connections, Processes, decode_family
from shared.families_explained import EXPLAINED, sent_in_full
from shared.families_settings import FamiliesSettings, ProcessSettings
from shared.inventory import Inventory
from shared.messages import raw
from shared.metrics import FAMILIES, Core

SETTINGS = FamiliesSettings()
linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


def readings() -> Iterator[tuple[Collector, Reading]]:
    """Two of each, five seconds apart by the clock that they are told."""
    for collector in collectors(SETTINGS):
        collector.collect(1000.0)
        yield collector, collector.collect(1005.0)


@pytest.fixture(scope="module")
def here() -> list[tuple[Collector, Reading]]:
    return list(readings())


def test_every_family_has_a_collector() -> None:
    assert sorted(collector.family for collector in collectors(SETTINGS)) == sorted(FAMILIES)


def test_family_survives_the_wire(here: list[tuple[Collector, Reading]]) -> None:
    for collector, reading in here:
        assert decode_family(collector.family, raw(reading.data)) == reading.data


def test_core_values_are_those_that_the_family_is_said_to_give(
    here: list[tuple[Collector, Reading]],
) -> None:
    for collector, reading in here:
        explained = EXPLAINED[collector.family]
        assert set(reading.core) == set(explained.core), collector.family
        assert set(reading.facts) == set(explained.inventory), collector.family


def test_families_share_the_core_sample_without_gap_or_overlap() -> None:
    given = [name for explained in EXPLAINED.values() for name in explained.core]
    assert sorted(given) == sorted(Core.__struct_fields__)


def test_fields_that_are_sent_on_request_only_are_fields() -> None:
    for family, explained in EXPLAINED.items():
        last = {name.rpartition(".")[2] for name in sent_in_full(family)}
        assert set(explained.on_request) <= last


def test_core_values_are_within_the_bounds_of_the_core_sample(
    here: list[tuple[Collector, Reading]],
) -> None:
    values: dict[str, int | None] = {}
    for _, reading in here:
        values.update(reading.core)
    core = Core(**values)
    assert msgspec.msgpack.decode(raw(core), type=Core) == core


def test_at_least_fifty_values_are_known_on_linux(here: list[tuple[Collector, Reading]]) -> None:
    known = [v for _, reading in here for v in reading.core.values() if v is not None]
    assert len(known) >= 50


def test_facts_make_an_inventory_that_survives_the_wire(
    here: list[tuple[Collector, Reading]],
) -> None:
    facts: Facts = {}
    for _, reading in here:
        facts.update(reading.facts)
    inventory = msgspec.structs.replace(host_inventory(SETTINGS, {"rack": "7"}), **facts)
    assert msgspec.msgpack.decode(raw(inventory), type=Inventory) == inventory
    assert inventory.labels == {"rack": "7"}
    assert inventory.boot_id == boot_id()
    assert [each.family for each in inventory.families] == list(FAMILIES)


@linux
@pytest.mark.parametrize("read", [read_proc, read_psutil])
def test_process_table_holds_this_process(read: Read) -> None:
    table = read()
    (row,) = [row for row in table.rows if row.pid == os.getpid()]
    assert row.parent_pid == os.getppid()
    assert row.rss_bytes > 1_000_000
    assert row.threads >= threading.active_count()
    assert 0 <= table.now_s - row.started_s < 24 * 3600


@linux
def test_both_sources_of_processes_agree_on_this_one() -> None:
    (proc,) = [row for row in read_proc().rows if row.pid == os.getpid()]
    (other,) = [row for row in read_psutil().rows if row.pid == os.getpid()]
    assert proc.parent_pid == other.parent_pid
    assert abs(proc.cpu_s - other.cpu_s) < 5


def own_process(settings: ProcessSettings) -> Processes:
    """A report in which this process is the only one."""

    def read() -> Table:
        table = read_proc()
        return table._replace(rows=[row for row in table.rows if row.pid == os.getpid()])

    data = ProcessesCollector(settings, read).collect(0.0).data
    assert isinstance(data, Processes)
    return data


@linux
def test_what_may_hold_secrets_is_not_read_by_default() -> None:
    (row,) = own_process(ProcessSettings()).largest
    assert (row.command_line, row.environment, row.open_file_names) == (None, None, None)
    assert row.user is not None
    assert row.open_files is not None
    assert row.open_files >= len(list(Path("/proc/self/fd").iterdir())) - 1


@linux
def test_what_may_hold_secrets_is_read_where_it_is_switched_on(tmp_path: Path) -> None:
    path = tmp_path / "held"
    settings = ProcessSettings(command_line=True, environment=True, open_file_names=True)
    with path.open("w"):
        (row,) = own_process(settings).largest
    assert row.command_line
    assert row.environment is not None
    assert any(each.startswith("PATH=") for each in row.environment)
    assert row.open_file_names is not None
    assert str(path) in row.open_file_names


@linux
@pytest.mark.parametrize("source", ["netlink", "psutil"])
def test_port_that_is_listened_on_is_found_with_its_process(source: str) -> None:
    def read(now_s: float) -> SocketTable:
        return NetlinkSockets().read(now_s) if source == "netlink" else read_sockets(now_s)

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            reading = ConnectionsCollector(read).collect(0.0)
    data = reading.data
    assert isinstance(data, Connections)
    (row,) = [row for row in data.listening if row.port == port]
    assert (row.protocol, row.address, row.pid) == ("tcp", "127.0.0.1", os.getpid())
    assert row.process
    established = reading.core["tcp_established"]
    assert established is not None
    assert established >= 2
