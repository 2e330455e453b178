"""Processes: counts of all, and the largest by CPU and by memory in full."""

from collections import Counter

import psutil

from agent.collectors.process_details import DetailsReader
from agent.collectors.process_table import Read, Row, reader
from agent.collectors.reading import Reading, bp, kib
from agent.rates import SHORTEST_INTERVAL_S
from agent.wording import fit
from shared.families import Process, Processes
from shared.families_settings import ProcessSettings
from shared.metrics import Family


class ProcessesCollector:
    """The process table, and how much CPU each process used since the reading before."""

    family: Family = "processes"

    def __init__(self, settings: ProcessSettings, read: Read | None = None) -> None:
        self._settings = settings
        self._read = read or reader()
        self._top = settings.top
        self._cores = psutil.cpu_count() or 1
        self._cpu_s: dict[tuple[int, float], float] = {}
        self._read_s = float("-inf")

    def look_closely(self, is_watched: bool, /) -> None:
        """See `Attentive`: a table that is sorted, filtered or drawn as a tree needs more rows."""
        settings = self._settings
        self._top = max(settings.top, settings.watched_top) if is_watched else settings.top

    def collect(self, now_s: float) -> Reading:
        """See `Collector`."""
        table = self._read()
        ratios = self._cpu_ratios(table.rows, now_s)
        details = DetailsReader(self._settings)
        by_state = Counter([row.state for row in table.rows])
        data = Processes(
            total=len(table.rows),
            threads=sum([row.threads for row in table.rows]),
            by_state=dict(by_state),
            largest=tuple(
                [
                    _process(row, ratios.get(row.pid), table.now_s, details)
                    for row in largest(table.rows, ratios, self._top)
                ]
            ),
            absent=details.absent(),
        )
        core = {
            "processes": data.total,
            "processes_running": by_state["running"],
            "processes_blocked": by_state["disk-sleep"],
            "processes_stopped": by_state["stopped"] + by_state["tracing-stop"],
            "processes_zombie": by_state["zombie"],
            "threads": data.threads,
            "process_cpu_max_bp": bp(max(ratios.values(), default=None)),
            "process_memory_max_kib": kib(max([row.rss_bytes for row in table.rows], default=None)),
        }
        return Reading(data, core)

    def _cpu_ratios(self, rows: list[Row], now_s: float) -> dict[int, float]:
        """By pid, of one processor; without those that are new since the reading before."""
        elapsed_s, before = now_s - self._read_s, self._cpu_s
        self._cpu_s = {(row.pid, row.started_s): row.cpu_s for row in rows}
        self._read_s = now_s
        if elapsed_s < SHORTEST_INTERVAL_S:
            return {}
        return {
            pid: min(max(cpu_s - before[pid, started_s], 0.0) / elapsed_s, float(self._cores))
            for (pid, started_s), cpu_s in self._cpu_s.items()
            if (pid, started_s) in before
        }


def largest(rows: list[Row], ratios: dict[int, float], top: int) -> list[Row]:
    """The `top` rows by CPU and the `top` by memory, each once, largest first; all where there are
    no more than both together."""

    def by_cpu(row: Row) -> tuple[float, int]:
        return (ratios.get(row.pid, 0.0), row.rss_bytes)

    if len(rows) <= 2 * top:
        return sorted(rows, key=by_cpu, reverse=True)
    by_memory = sorted(rows, key=lambda row: row.rss_bytes, reverse=True)[:top]
    chosen = {row.pid: row for row in sorted(rows, key=by_cpu, reverse=True)[:top] + by_memory}
    return sorted(chosen.values(), key=by_cpu, reverse=True)


def _process(row: Row, cpu_ratio: float | None, now_s: float, reader: DetailsReader) -> Process:
    details = reader.read(row.pid)
    return Process(
        pid=row.pid,
        parent_pid=row.parent_pid,
        name=fit(row.name),
        state=row.state,
        threads=row.threads,
        rss_bytes=row.rss_bytes,
        user=details.user,
        cpu_ratio=cpu_ratio,
        age_s=max(0.0, now_s - row.started_s),
        open_files=details.open_files,
        command_line=details.command_line,
        environment=details.environment,
        open_file_names=details.open_file_names,
    )
