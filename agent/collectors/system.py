"""How long the host has been up, and what the agent itself costs it."""

import socket
import time

import psutil

from agent.collectors.reading import Reading, bp, kib, whole
from agent.rates import SHORTEST_INTERVAL_S
from agent.wording import fit
from shared.families import System
from shared.metrics import Family


class SystemCollector:
    """Uptime, and the agent's own processor time and memory."""

    family: Family = "system"

    def __init__(self) -> None:
        self._agent = psutil.Process()
        self._boot_wall_s = int(psutil.boot_time())
        self._agent_cpu_s = 0.0
        self._read_s: float | None = None

    def collect(self, now_s: float) -> Reading:
        """See `Collector`."""
        data = System(
            uptime_s=uptime_s(),
            boot_wall_s=self._boot_wall_s,
            agent_cpu_ratio=self._cpu_ratio(now_s),
            agent_memory_bytes=self._agent.memory_info().rss,
        )
        core = {
            "uptime_s": whole(data.uptime_s),
            "agent_cpu_bp": bp(data.agent_cpu_ratio),
            "agent_memory_kib": kib(data.agent_memory_bytes),
        }
        return Reading(data, core, {"hostname": fit(socket.gethostname())})

    def _cpu_ratio(self, now_s: float) -> float | None:
        cpu_s = time.process_time()
        used_s, elapsed_s = cpu_s - self._agent_cpu_s, now_s - (self._read_s or now_s)
        self._agent_cpu_s, self._read_s = cpu_s, now_s
        return used_s / elapsed_s if elapsed_s >= SHORTEST_INTERVAL_S else None


def uptime_s() -> float:
    """Seconds since the host booted, the time it was suspended included where that is known."""
    clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is not None:
        return time.clock_gettime(clock)
    return max(0.0, time.time() - psutil.boot_time())
