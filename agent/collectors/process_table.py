"""Where the process table comes from: /proc on Linux, psutil elsewhere.

psutil reads several files a process for what is asked here, while /proc/PID/stat alone holds it: on
a host with 75 processes that is a quarter of the time. A process may end between the listing and
the reading; it is then left out.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias, TypeVar

import psutil

T = TypeVar("T")

_STAT_BYTES: Final = 2048
"""More than the longest /proc/PID/stat."""

# proc(5); psutil's names, which are the kernel's own.
_STATES: Final = {
    "R": "running",
    "S": "sleeping",
    "D": "disk-sleep",
    "T": "stopped",
    "t": "tracing-stop",
    "Z": "zombie",
    "X": "dead",
    "x": "dead",
    "K": "wake-kill",
    "W": "waking",
    "I": "idle",
    "P": "parked",
}


class Row(NamedTuple):
    """One process."""

    pid: int
    parent_pid: int
    name: str
    state: str
    threads: int
    rss_bytes: int
    cpu_s: float
    started_s: float
    """On the clock of the table's `now_s`; with the pid it tells one process from the next."""


class Table(NamedTuple):
    """All processes at one instant."""

    rows: list[Row]
    now_s: float
    """When it was read, on the clock that `Row.started_s` is on."""


Read: TypeAlias = Callable[[], Table]


def reader() -> Read:
    """The cheapest way to read the process table on this system."""
    return read_proc if sys.platform.startswith("linux") else read_psutil


def parse_stat(stat: bytes, ticks_per_s: int, page_bytes: int) -> Row:
    """One /proc/PID/stat.

    Raises:
        ValueError, LookupError: it is not one.
    """
    head, _, tail = stat.rpartition(b")")  # the name may hold blanks and brackets of its own
    pid, _, name = head.partition(b" (")
    fields = tail.split()
    return Row(
        pid=int(pid),
        parent_pid=int(fields[1]),
        name=name.decode("utf-8", "replace"),
        state=_STATES.get(fields[0].decode("ascii", "replace"), "unknown"),
        threads=max(0, int(fields[17])),
        rss_bytes=max(0, int(fields[21])) * page_bytes,
        cpu_s=(int(fields[11]) + int(fields[12])) / ticks_per_s,
        started_s=int(fields[19]) / ticks_per_s,
    )


def read_proc() -> Table:
    """The table from /proc; its times are seconds since boot."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    stats = map(_stat, filter(str.isdigit, os.listdir("/proc")))  # noqa: PTH208 a Path each is dear
    rows = [parse_stat(stat, ticks_per_s, page_bytes) for stat in stats if stat]
    return Table(rows, time.clock_gettime(time.CLOCK_BOOTTIME))


def read_psutil() -> Table:
    """The table from psutil; its times are Unix times."""
    rows = [row for row in map(_row, psutil.process_iter()) if row]
    return Table(rows, time.time())


def _stat(pid: str) -> bytes:
    """/proc/PID/stat, empty when the process is gone."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, _STAT_BYTES)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _row(process: psutil.Process) -> Row | None:
    """One process, None when it is gone; what may not be read about it counts as nothing."""
    try:
        with process.oneshot():
            cpu = _permitted(process.cpu_times)
            memory = _permitted(process.memory_info)
            return Row(
                pid=process.pid,
                parent_pid=_permitted(process.ppid) or 0,
                name=_permitted(process.name) or "",
                state=str(process.status()),
                threads=_permitted(process.num_threads) or 0,
                rss_bytes=memory.rss if memory else 0,
                cpu_s=cpu.user + cpu.system if cpu else 0.0,
                started_s=process.create_time(),
            )
    except psutil.NoSuchProcess:
        return None


def _permitted(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except psutil.AccessDenied:
        return None
