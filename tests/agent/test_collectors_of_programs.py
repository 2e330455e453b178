"""Users, processes, connections and routes of hosts made up for the purpose."""

import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from agent.collectors import users as users_module
from agent.collectors.connections import ConnectionsCollector, unique
from agent.collectors.process_details import TEXTS_LIMIT_BYTES
from agent.collectors.process_table import Row, Table
from agent.collectors.processes import ProcessesCollector, largest
from agent.collectors.reading import Reading
from agent.collectors.routes import RoutesCollector
from agent.collectors.socket_table import Listening, NetlinkSockets, SocketTable
from agent.collectors.users import UsersCollector
from shared.families import (
    ROWS_LIMIT,
    Connections,
    Processes,
    Routes,
    Users,
    decode_family,
)
from shared.families_settings import ProcessSettings
from shared.messages import raw
from tests.agent.stand_ins import in_turn

# --- users ---------------------------------------------------------------------------------------


def test_people_are_counted_once_and_their_sessions_each(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        SimpleNamespace(name=name, terminal="pts/0", host=None, started=1.5)
        for name in ("ada", "ada", "grace")
    ]
    monkeypatch.setattr(psutil, "users", lambda: rows)
    monkeypatch.setattr(users_module, "_UTMP_FILES", (Path(__file__),))
    reading = UsersCollector().collect(0.0)
    assert isinstance(reading.data, Users)
    assert len(reading.data.sessions) == 3
    assert reading.core == {"users": 2}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux without utmp")
def test_sessions_of_systemd_stand_in_for_utmp(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(users_module, "_UTMP_FILES", (tmp_path / "utmp",))
    folder = tmp_path / "sessions"
    reading = UsersCollector(folder).collect(0.0)
    assert isinstance(reading.data, Users)
    assert reading.data.absent == {"sessions": "this system records no logins"}
    assert reading.core == {"users": None}

    folder.mkdir()
    (folder / "1").write_text("USER=ada\nCLASS=user\nSTATE=active\n")
    os.mkfifo(folder / "1.ref")
    assert UsersCollector(folder).collect(0.0).core == {"users": 1}


# --- processes -----------------------------------------------------------------------------------


def process(pid: int, cpu_s: float, rss_bytes: int = 0, started_s: float = 1.0) -> Row:
    return Row(pid, 1, f"p{pid}", "running", 2, rss_bytes, cpu_s, started_s)


def processes(*tables: list[Row], top: int = 10) -> list[Reading]:
    """What comes of these tables, read five seconds apart."""
    remaining = [Table(rows, 100.0) for rows in tables]
    collector = ProcessesCollector(ProcessSettings(top=top), lambda: remaining.pop(0))
    return [collector.collect(5.0 * number) for number in range(len(tables))]


def cpu_ratios(reading: Reading) -> dict[int, float | None]:
    assert isinstance(reading.data, Processes)
    return {row.pid: row.cpu_ratio for row in reading.data.largest}


NOBODY = 2**22 + 1
"""Beyond the largest pid: there is no such process, and so there are no details."""


def test_cpu_of_a_process_is_of_one_processor_since_the_reading_before() -> None:
    first, second = processes([process(NOBODY, 10.0)], [process(NOBODY, 12.5)])
    assert cpu_ratios(first) == {NOBODY: None}
    assert cpu_ratios(second) == {NOBODY: 0.5}
    assert second.core["process_cpu_max_bp"] == 5000


def test_new_process_with_an_old_pid_has_no_rate_yet() -> None:
    _, second = processes([process(NOBODY, 10.0)], [process(NOBODY, 12.5, started_s=99.0)])
    assert cpu_ratios(second) == {NOBODY: None}


def test_cpu_time_that_runs_backwards_is_no_use_of_it() -> None:
    _, second = processes([process(NOBODY, 10.0)], [process(NOBODY, 9.0)])
    assert cpu_ratios(second) == {NOBODY: 0.0}


def test_processes_are_counted_by_state() -> None:
    rows = [
        process(NOBODY + n, 0)._replace(state=s)
        for n, s in enumerate(
            ("running", "sleeping", "disk-sleep", "zombie", "stopped", "tracing-stop")
        )
    ]
    (reading,) = processes(rows)
    core = dict(reading.core)
    assert (core["processes"], core["threads"]) == (6, 12)
    assert (core["processes_running"], core["processes_blocked"]) == (1, 1)
    assert (core["processes_stopped"], core["processes_zombie"]) == (2, 1)


def test_largest_are_those_by_cpu_and_those_by_memory_each_once() -> None:
    sizes = {1: 100, 2: 900, 3: 500, 4: 1, 5: 2}
    rows = [process(pid, 0, rss_bytes) for pid, rss_bytes in sizes.items()]
    chosen = largest(rows, {4: 0.9, 2: 0.5, 1: 0.0}, top=2)
    assert [row.pid for row in chosen] == [4, 2, 3]


def test_table_that_is_no_longer_than_what_may_be_told_is_told_whole() -> None:
    rows = [process(pid, 0, 100 - pid) for pid in range(1, 5)]
    assert [row.pid for row in largest(rows, {3: 0.5}, top=2)] == [3, 1, 2, 4]


def test_more_processes_are_told_of_while_somebody_looks() -> None:
    table = Table([process(NOBODY + number, 0, number) for number in range(300)], 100.0)
    settings = ProcessSettings(top=10, watched_top=40)
    collector = ProcessesCollector(settings, lambda: table)

    def told() -> int:
        return len(cpu_ratios(collector.collect(0.0)))

    assert told() == 10
    collector.look_closely(True)
    assert told() == 40
    collector.look_closely(False)
    assert told() == 10


def test_looking_never_shows_fewer_processes() -> None:
    table = Table([process(NOBODY + number, 0, number) for number in range(300)], 100.0)
    collector = ProcessesCollector(ProcessSettings(top=50, watched_top=5), lambda: table)
    collector.look_closely(True)
    assert len(cpu_ratios(collector.collect(0.0))) == 50


def test_most_processes_that_can_be_told_of_fit_a_message() -> None:
    rows = [process(NOBODY + n, n if n % 2 else 0, 0 if n % 2 else n) for n in range(1_000)]
    readings = processes(rows, [row._replace(cpu_s=2 * row.cpu_s) for row in rows], top=100)
    assert len(cpu_ratios(readings[1])) == 200 <= ROWS_LIMIT
    assert decode_family("processes", raw(readings[1].data)) == readings[1].data


def test_details_that_are_refused_are_counted_not_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: psutil.Process) -> str:
        raise psutil.AccessDenied(1)

    monkeypatch.setattr(psutil.Process, "username", refuse)
    (reading,) = processes([process(os.getpid(), 0)])
    assert isinstance(reading.data, Processes)
    assert reading.data.largest[0].user is None
    assert reading.data.absent == {"user": "not permitted for 1 of 1 processes"}


def test_process_that_has_ended_has_no_details() -> None:
    (reading,) = processes([process(NOBODY, 0)])
    assert isinstance(reading.data, Processes)
    assert reading.data.largest[0].user is None
    assert reading.data.absent == {}


def test_texts_beyond_the_limit_are_left_out_and_said_to_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variables = {f"V{number}": "x" * 4000 for number in range(TEXTS_LIMIT_BYTES // 4000 + 1)}
    monkeypatch.setattr(psutil.Process, "environ", in_turn([variables]))
    settings = ProcessSettings(environment=True)
    table = Table([process(os.getpid(), 0)], 100.0)
    data = ProcessesCollector(settings, lambda: table).collect(0.0).data
    assert isinstance(data, Processes)
    assert data.largest[0].environment is None
    assert data.absent == {"environment": "beyond 96 KiB for 1 of 1 processes"}


# --- connections and routes ----------------------------------------------------------------------


def test_sockets_that_may_not_be_seen_are_absent_with_the_reason() -> None:
    def refuse(now_s: float) -> SocketTable:
        raise psutil.AccessDenied

    reading = ConnectionsCollector(refuse).collect(0.0)
    assert isinstance(reading.data, Connections)
    assert reading.data.absent == {"connections": f"not permitted to this user on {sys.platform}"}
    assert not any(reading.core.values())


def test_connections_are_counted_by_state() -> None:
    states = Counter({"established": 5, "time-wait": 3, "close-wait": 2, "listen": 1})
    listening = [Listening("tcp", "0.0.0.0", 22, 7, None, None)]
    reading = ConnectionsCollector(lambda _: SocketTable(states, 4, listening)).collect(0.0)
    assert reading.core == {
        "tcp_established": 5,
        "tcp_listening": 1,
        "tcp_time_wait": 3,
        "tcp_close_wait": 2,
        "udp_sockets": 4,
    }
    assert isinstance(reading.data, Connections)
    assert reading.data.absent == {"process": "not known for 1 of 1 listening sockets"}


def test_sockets_that_share_a_port_are_one_row_per_process() -> None:
    shared = [
        Listening("tcp", "::", 80, inode, pid, "web") for inode, pid in ((1, 9), (2, 9), (3, 8))
    ]
    other = Listening("tcp", "::", 22, 4, 1, "sshd")
    assert [(row.port, row.pid) for row in unique([*shared, other])] == [(22, 1), (80, 8), (80, 9)]


def netlink(error: OSError) -> Callable[..., object]:
    def dump(family: int, protocol: int) -> object:
        raise error

    return dump


def test_kernel_without_netlinks_answer_is_read_by_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.collectors.sock_diag.dump", netlink(PermissionError(1, "no")))
    monkeypatch.setattr(psutil, "net_connections", in_turn([[]]))
    assert NetlinkSockets().read(0.0) == SocketTable(Counter(), 0, [])


def test_netlink_that_fails_otherwise_fails_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.collectors.sock_diag.dump", netlink(TimeoutError()))
    with pytest.raises(TimeoutError):
        NetlinkSockets().read(0.0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="routes are read on Linux")
def test_kernel_without_ipv6_says_so(tmp_path: Path) -> None:
    (tmp_path / "route").write_text("Iface Destination\n")
    data = RoutesCollector(tmp_path).collect(0.0).data
    assert data == Routes(absent={"ipv6_route": "this kernel is without it"})


def test_system_whose_routes_are_not_read_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert RoutesCollector().collect(0.0).data == Routes(absent={"routes": "not read on darwin"})
