"""What a process has used, parted as the kernel parts it. Linux only."""

from pathlib import Path
from typing import NamedTuple

from bench.agent_cost import cost_of


class Cpu(NamedTuple):
    """Seconds of processor time since a process started."""

    user_s: float
    system_s: float
    first_thread_s: float
    """Of it, the first thread's: in a master, all but the disk's work."""

    def since(self, before: "Cpu") -> "Cpu":
        """What was used between two readings."""
        return Cpu(*(now - then for now, then in zip(self, before, strict=True)))

    @property
    def all_s(self) -> float:
        return self.user_s + self.system_s


def cpu_of(pid: int) -> Cpu:
    """All threads of a process, those that have ended included. The sum is counted in nanoseconds,
    and parted as the kernel's ticks are."""
    user, system = map(int, _after_name(Path(f"/proc/{pid}/stat"))[11:13])
    all_s = cost_of(pid).cpu_s
    user_s = all_s * user / max(1, user + system)
    first = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]
    return Cpu(user_s, all_s - user_s, int(first) / 1e9)


def own_bytes(pid: int) -> int:
    """What a process keeps in memory for itself alone: without the libraries, whose pages become
    resident when they are first used, however many links there are."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has ended")


def _after_name(path: Path) -> list[str]:
    # The name of a program may hold blanks and parentheses: proc(5).
    return path.read_text().rpartition(")")[2].split()
