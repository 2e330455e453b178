"""What the kernel tells of its kills, by its own words; and nothing where it tells nothing."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import oom_kills
from agent.oom_kills import GROUP, HOST, NAMED, Kernel, OomKills

PID = 4100
AT_MS = 5_000

VMSTAT = "nr_free_pages 123\noom_kill {}\nnuma_hit 4\n"
EVENTS = "low 0\nhigh 0\nmax 12\noom 3\noom_kill {}\noom_group_kill 9\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"


def record(pid: int, at_ms: int, how: str = "Out of memory") -> str:
    text = f"{how}: Killed process {pid} (python) total-vm:90kB, anon-rss:8kB, UID:0 pgtables:5kB"
    return f"3,1234,{at_ms * 1000},-;{text}\n SUBSYSTEM=memory\n DEVICE=+memory:0\n"


class Host:
    """The files of a kernel, in a folder."""

    def __init__(self, root: Path) -> None:
        self.proc = root / "proc"
        self.groups = root / "cgroup"
        self.log = root / "kmsg"
        self.events = self.groups / "system.slice" / "agent.service" / "memory.events"
        (self.proc / "self").mkdir(parents=True)
        self.events.parent.mkdir(parents=True)
        self.membership("0::/system.slice/agent.service\n")
        self.events.write_text(EVENTS.format(0))
        self.count(0)
        self.log.write_text("")

    def membership(self, lines: str) -> None:
        (self.proc / "self" / "cgroup").write_text(lines)

    def count(self, host: int) -> None:
        (self.proc / "vmstat").write_text(VMSTAT.format(host))

    def kill(self, pid: int, *, at_ms: int = AT_MS, in_group: bool = False) -> None:
        """As the kernel does it: it counts, and writes down whom."""
        before = self.kernel().kills()
        self.count((before.host or 0) + 1)
        if in_group:
            self.events.write_text(EVENTS.format((before.group or 0) + 1))
        with self.log.open("a") as log:
            log.write(record(pid, at_ms))

    def kernel(self) -> Kernel:
        return Kernel(self.proc, self.groups, self.log)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


# --- counting -------------------------------------------------------------------------------------


def test_kills_are_counted_for_the_host_and_for_the_agents_group(host: Host) -> None:
    host.count(7)
    host.events.write_text(EVENTS.format(2))
    assert host.kernel().kills() == OomKills(7, 2)


def test_group_of_the_first_version_is_found_by_its_controller(host: Host) -> None:
    control = host.groups / "memory" / "lxc" / "agent" / "memory.oom_control"
    control.parent.mkdir(parents=True)
    control.write_text(CONTROL.format(5))
    host.membership("11:cpu,cpuacct:/lxc/other\n9:hugetlb,memory:/lxc/agent\n0::/none\n")
    assert host.kernel().kills().group == 5


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param("", id="empty"),
        pytest.param("0::/elsewhere\n", id="no such folder"),
        pytest.param("no colons at all\n::\n\n", id="garbage"),
        pytest.param("9:cpu:/system.slice/agent.service\n", id="another controller"),
        pytest.param("0::/../../../../etc\n", id="outside of the namespace"),
    ],
)
def test_group_that_cannot_be_found_is_not_counted(host: Host, lines: str) -> None:
    host.membership(lines)
    assert host.kernel().kills() == OomKills(0, None)


def test_kernel_without_any_of_it_knows_nothing(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, tmp_path, tmp_path / "kmsg")
    assert kernel.kills() == OomKills(None, None)
    assert kernel.victims(0) is None
    assert kernel.word_on(PID, OomKills(0, 0), 0) == ""


@pytest.mark.parametrize(
    "content",
    [b"", b"oom_kill\n", b"oom_kill many\n", b"xoom_kill 4\n", b"oom_kill 4x\n", b"\xff\xfe\0"],
)
def test_counter_that_is_none_is_not_counted(host: Host, content: bytes) -> None:
    (host.proc / "vmstat").write_bytes(content)
    assert host.kernel().kills().host is None


def test_counter_that_vanishes_is_counted_no_more(host: Host) -> None:
    kernel = host.kernel()
    assert kernel.kills().group == 0
    host.events.unlink()
    assert kernel.kills().group is None


# --- the log --------------------------------------------------------------------------------------


def test_victims_are_those_named_since_then(host: Host) -> None:
    lines = (
        record(1, AT_MS - 1),
        "6,1235,5000000,-;usb 1-1: Killed nobody\n",
        record(2, AT_MS),
        record(3, AT_MS + 60_000, "Memory cgroup out of memory"),
    )
    host.log.write_text("".join(lines))
    assert host.kernel().victims(AT_MS) == [2, 3]


def test_log_that_may_not_be_read_is_told_from_an_empty_one(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert host.kernel().victims(0) == []

    def refuse(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "open", refuse)
    assert host.kernel().victims(0) is None


def test_log_is_read_a_record_at_a_time_until_there_are_no_more(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the device does it: EPIPE where records were lost meanwhile, EAGAIN at the end.
    answers: list[bytes | OSError] = [
        record(1, AT_MS).encode(),
        BrokenPipeError(32, "Broken pipe"),
        record(2, AT_MS).encode(),
        BlockingIOError(11, "Resource temporarily unavailable"),
    ]

    def read(descriptor: int, size: int) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(os, "read", read)
    assert host.kernel().victims(0) == [1, 2]


def test_log_without_end_is_read_up_to_the_limit(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oom_kills, "LOG_BYTES_LIMIT", 20_000)
    read_bytes = 0

    def read(descriptor: int, size: int) -> bytes:
        nonlocal read_bytes
        read_bytes += size
        return b"x" * size

    monkeypatch.setattr(os, "read", read)
    assert host.kernel().victims(0) == []
    assert read_bytes < 20_000 + 8_192 + 1


@given(st.binary(max_size=300))
def test_garbage_in_the_log_names_nobody(
    tmp_path_factory: pytest.TempPathFactory, garbage: bytes
) -> None:
    log = tmp_path_factory.mktemp("log") / "kmsg"
    log.write_bytes(garbage)
    assert Kernel(log.parent, log.parent, log).victims(0) == []


# --- the word on one process ----------------------------------------------------------------------


def word_on(host: Host, before: OomKills) -> str:
    return host.kernel().word_on(PID, before, AT_MS)


def test_process_that_the_log_names_was_killed(host: Host) -> None:
    before = host.kernel().kills()
    host.kill(PID)
    assert word_on(host, before) == NAMED


def test_another_victim_of_the_agents_group_is_told_as_such(host: Host) -> None:
    before = host.kernel().kills()
    host.kill(PID + 1, in_group=True)
    assert word_on(host, before) == GROUP


def test_victim_elsewhere_that_is_named_says_nothing_of_the_agent(host: Host) -> None:
    before = host.kernel().kills()
    host.kill(PID + 1)
    assert word_on(host, before) == ""


def test_more_kills_than_names_leave_a_doubt(host: Host) -> None:
    before = host.kernel().kills()
    host.kill(PID + 1)
    host.count(2)  # whose name the log does not hold any more
    assert word_on(host, before) == HOST


def test_kill_that_the_log_may_not_be_asked_about_leaves_a_doubt(host: Host) -> None:
    before = host.kernel().kills()
    host.kill(PID)
    host.log.unlink()
    assert word_on(host, before) == HOST


def test_same_process_id_killed_long_before_is_another_process(host: Host) -> None:
    host.kill(PID, at_ms=AT_MS - 1)
    before = host.kernel().kills()
    host.kill(PID + 1)
    assert word_on(host, before) == ""


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(OomKills(None, None), id="not counted before"),
        pytest.param(OomKills(1, 0), id="nobody since"),
        pytest.param(OomKills(5, 0), id="counted anew: another boot"),
    ],
)
def test_without_a_new_kill_there_is_nothing_to_say(host: Host, before: OomKills) -> None:
    host.kill(PID)
    assert word_on(host, before) == ""


def test_group_that_a_service_manager_made_anew_begins_its_count_anew(host: Host) -> None:
    host.kill(PID + 1, in_group=True)
    host.kill(PID + 1, in_group=True)
    before = host.kernel().kills()
    host.events.write_text(EVENTS.format(0))
    host.kill(PID + 2)
    host.log.unlink()
    assert word_on(host, before) == HOST
