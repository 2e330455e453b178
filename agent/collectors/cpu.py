"""Processors: what they spend their time on, clock, load, switches."""

import platform
from pathlib import Path
from typing import Final

import psutil

from agent.collectors.reading import Facts, Reading, bp, whole
from agent.rates import Counters, CpuClock, cpu_shares
from shared.families import CORES_LIMIT, Cpu, CpuTimes
from shared.metrics import Family

FREQUENCY_PERIOD_S: Final = 60.0
"""Reading a clock wakes the processor that it belongs to, so it is done rarely."""

_CPUINFO: Final = Path("/proc/cpuinfo")
_CPUINFO_HEAD_BYTES: Final = 4096
"""The first processor's entry. The whole file wakes every processor of the host."""


class CpuCollector:
    """Processor times since the reading before, load and clock."""

    family: Family = "cpu"

    def __init__(self) -> None:
        self._clocks: list[CpuClock] = []
        self._clocks_s = 0.0
        self._switches = Counters()
        self._frequency: tuple[float, float, float] | None = None
        self._frequency_due_s = float("-inf")
        self._facts: Facts | None = None

    def collect(self, now_s: float) -> Reading:
        """See `Collector`."""
        clocks = [cpu_clock(times) for times in psutil.cpu_times(percpu=True)]
        total, cores = self._shares(clocks, now_s)
        stats = psutil.cpu_stats()
        switches = self._switches.update({"all": (stats.ctx_switches, stats.interrupts)}, now_s)[
            "all"
        ]
        if now_s >= self._frequency_due_s:
            self._frequency = _frequency()
            self._frequency_due_s = now_s + FREQUENCY_PERIOD_S
        mean_mhz, min_mhz, max_mhz = self._frequency or (None, None, None)
        load = psutil.getloadavg()
        data = Cpu(
            count=len(clocks),
            total=total,
            cores=cores[:CORES_LIMIT],
            frequency_mhz=mean_mhz,
            frequency_min_mhz=min_mhz or None,
            frequency_max_mhz=max_mhz or None,
            load_1m=load[0],
            load_5m=load[1],
            load_15m=load[2],
            context_switches_per_s=switches[0] if switches else None,
            interrupts_per_s=switches[1] if switches else None,
            absent={} if self._frequency else {"frequency": "not reported by this system"},
        )
        if self._facts is None:
            self._facts = _facts(len(clocks))
        return Reading(data, _core(data), self._facts)

    def _shares(
        self, clocks: list[CpuClock], now_s: float
    ) -> tuple[CpuTimes | None, tuple[CpuTimes, ...]]:
        """The shares in total and per core; of the total only, if one core's are not known."""
        before, elapsed_s = self._clocks, now_s - self._clocks_s
        self._clocks, self._clocks_s = clocks, now_s
        if len(before) != len(clocks):
            return None, ()
        total = cpu_shares(_sum(before), _sum(clocks), elapsed_s, len(clocks))
        cores = [
            cpu_shares(then, now, elapsed_s, 1) for then, now in zip(before, clocks, strict=True)
        ]
        known = tuple([core for core in cores if core is not None])
        return total, known if len(known) == len(cores) else ()


def cpu_clock(times: object) -> CpuClock:
    """psutil's times of one processor, whose fields differ between systems."""

    def of(*fields: str) -> float:
        return sum([getattr(times, field, 0.0) for field in fields])

    return CpuClock(
        user=of("user", "nice"),
        system=of("system"),
        idle=of("idle"),
        iowait=of("iowait"),
        irq=of("irq", "softirq"),
        steal=of("steal"),
    )


def parse_cpu_model(cpuinfo: str) -> str | None:
    """The first processor's name in the text of /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model", "cpu model"} and value.strip():
            return " ".join(value.split())
    return None


def _sum(clocks: list[CpuClock]) -> CpuClock:
    return CpuClock(*map(sum, zip(*clocks, strict=True)))


def _frequency() -> tuple[float, float, float] | None:
    """Mean, lowest and highest clock in MHz; a limit of 0 is not known."""
    if not hasattr(psutil, "cpu_freq"):
        return None
    try:
        frequency = psutil.cpu_freq()
    except (OSError, NotImplementedError):
        return None
    return (frequency.current, frequency.min, frequency.max) if frequency else None


def _facts(logical: int) -> Facts:
    try:
        with _CPUINFO.open(encoding="utf-8", errors="replace") as file:
            model = parse_cpu_model(file.read(_CPUINFO_HEAD_BYTES))
    except OSError:
        model = None
    return {
        "cpu_model": model or platform.processor() or None,
        "cpu_logical": logical,
        "cpu_physical": psutil.cpu_count(logical=False),
    }


def _core(data: Cpu) -> dict[str, int | None]:
    total = data.total
    return {
        "cpu_busy_bp": bp(total.busy_ratio) if total else None,
        "cpu_user_bp": bp(total.user_ratio) if total else None,
        "cpu_system_bp": bp(total.system_ratio) if total else None,
        "cpu_iowait_bp": bp(total.iowait_ratio) if total else None,
        "cpu_irq_bp": bp(total.irq_ratio) if total else None,
        "cpu_steal_bp": bp(total.steal_ratio) if total else None,
        "cpu_core_max_bp": bp(max([core.busy_ratio for core in data.cores], default=None)),
        "cpu_count": data.count,
        "cpu_frequency_mhz": whole(data.frequency_mhz),
        "context_switches_per_s": whole(data.context_switches_per_s),
        "interrupts_per_s": whole(data.interrupts_per_s),
        "load_1m_centi": whole(data.load_1m, 100),
        "load_5m_centi": whole(data.load_5m, 100),
        "load_15m_centi": whole(data.load_15m, 100),
    }
