"""What a server has used, parted as the kernel parts it: a process and all that it has started.
Linux only."""

import os
import time
from pathlib import Path
from typing import Final, NamedTuple

_SLABS: Final = ("TCP ", "sock_inode_cache ", "filp ", "eventpoll_", "ep_head ", "skbuff_")
"""What a socket, its file and its place in an epoll set are kept in: slabinfo(5)."""


class Cpu(NamedTuple):
    """Seconds of processor time since a server started."""

    user_s: float
    system_s: float
    first_thread_s: float
    """Of it, the processes' first threads: in a master, all but the disk's work."""
    hub_s: float
    """Of it, the process that was started itself."""

    def since(self, before: "Cpu") -> "Cpu":
        """What was used between two readings."""
        return Cpu(*(now - then for now, then in zip(self, before, strict=True)))

    @property
    def all_s(self) -> float:
        return self.user_s + self.system_s


class Tree:
    """A process and those that it has started, and those of these. What one that has ended had used
    until it was last looked at stays counted."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known: dict[int, Cpu] = {}

    def __repr__(self) -> str:
        return f"<Tree of process {self._pid}, {len(self._known)} seen>"

    def pids(self) -> list[int]:
        """Those that live, the first one first."""
        found, at = [self._pid], 0
        while at < len(found):
            found += _children(found[at])
            at += 1
        return found

    def cpu(self) -> Cpu:
        """All threads of all of them, those that have ended included."""
        for each in self.by_process().items():
            self._known[each[0]] = each[1]
        return Cpu(*map(sum, zip(*self._known.values(), strict=True)))

    def by_process(self) -> dict[int, Cpu]:
        """The same of each that lives."""
        found: dict[int, Cpu] = {}
        for pid in self.pids():
            try:
                found[pid] = _cpu_of(pid, is_hub=pid == self._pid)
            except (OSError, ProcessLookupError):
                if pid == self._pid:
                    raise
        return found

    def own_bytes(self) -> int:
        """What they keep in memory for themselves alone: without the libraries, whose pages become
        resident when they are first used, however many links there are."""
        return sum(_kib_of(pid, "status", "RssAnon:") for pid in self.pids()) * 1024

    def resident_bytes(self) -> int:
        """What of them is in memory, each page that they share once. Takes a moment."""
        return sum(_kib_of(pid, "smaps_rollup", "Pss:") for pid in self.pids()) * 1024


def cpu_s(pid: int) -> float:
    """What all threads of a process have used, by its CPU clock as clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def machine_s() -> float:
    """What all processes of this machine have used of its processors since it was started,
    interrupts and time stolen by other machines included."""
    ticks = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    user, nice, system, _idle, _iowait, irq, softirq, steal = ticks
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def kernel_bytes() -> int | None:
    """What the kernel keeps for the sockets of all processes and for watching them: both ends of a
    link on loopback are in it. None: only root may know."""
    try:
        slabs = Path("/proc/slabinfo").read_text().splitlines()
    except PermissionError:
        return None
    sizes = (line.split()[:4] for line in slabs if line.startswith(_SLABS))
    kept = sum(int(count) * int(size_bytes) for _, count, _, size_bytes in sizes)
    tcp = next(
        line.split()
        for line in Path("/proc/net/sockstat").read_text().splitlines()
        if line.startswith("TCP:")
    )
    return kept + int(tcp[tcp.index("mem") + 1]) * os.sysconf("SC_PAGE_SIZE")


def _cpu_of(pid: int, *, is_hub: bool) -> Cpu:
    # The sum is counted in nanoseconds, and parted as the kernel's ticks are.
    user, system = map(int, _after_name(Path(f"/proc/{pid}/stat"))[11:13])
    all_s = cpu_s(pid)
    user_s = all_s * user / max(1, user + system)
    first = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]
    return Cpu(user_s, all_s - user_s, int(first) / 1e9, all_s if is_hub else 0.0)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, path.read_text().split())
        except (FileNotFoundError, ProcessLookupError):  # the thread has ended
            continue
    return found


def _kib_of(pid: int, file: str, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def _after_name(path: Path) -> list[str]:
    # The name of a program may hold blanks and parentheses: proc(5).
    return path.read_text().rpartition(")")[2].split()
