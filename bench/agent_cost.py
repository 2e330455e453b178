"""What an agent costs its host, beside node_exporter and collectd, in one run.

    python -m bench.agent_cost [--seconds 120] [--json]

Needs Debian's packages prometheus-node-exporter and collectd-core. All three run at once, for the
same length of time, on the same host: the agent at its defaults, linked to a master and beating
every 5 s; node_exporter at its defaults, scraped every 5 s; collectd reading cpu, memory, df, disk,
interface, load and processes every 5 s and sending them by UDP. A warm-up is not counted.

CPU is the kernel's own count for the whole process, threads that have ended included. `rss_mb` is
what is resident, `pss_mb` the same with shared pages divided among those who share them. Compare
the ratios: absolute figures differ by machine and hour.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from bench.baselines import MissingBaselineError, collectd, node_exporter, running
from bench.tables import print_results

T = TypeVar("T")

WARM_UP_S = 20.0
START_S = 30.0
PERIOD_S = 5.0

HEARTLINE = [sys.executable, "-m", "heartline"]


class Cost(NamedTuple):
    """What one process has used, and holds."""

    cpu_s: float
    rss_kib: int
    pss_kib: int


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0, help="length of the measurement")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    seconds: float = arguments.seconds
    as_json: bool = arguments.json

    try:
        with ExitStack() as stack:
            exporter = stack.enter_context(node_exporter())
            sink = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sink.bind(("127.0.0.1", 0))
            pids = {
                "heartline agent": stack.enter_context(agent()),
                "node_exporter": exporter.pid,
                "collectd": stack.enter_context(collectd(sink.getsockname()[1])).pid,
            }
            _keep_scraping(exporter.page, WARM_UP_S)
            before = {name: cost_of(pid) for name, pid in pids.items()}
            began = time.monotonic()
            _keep_scraping(exporter.page, seconds)
            measured_s = time.monotonic() - began
            after = {name: cost_of(pid) for name, pid in pids.items()}
    except MissingBaselineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not as_json:
        processes = sum(entry.name.isdigit() for entry in Path("/proc").iterdir())
        print(f"{measured_s:.0f} s, {os.cpu_count()} processors, {processes} processes\n")
    print_results(_rows(before, after, measured_s), as_json=as_json)
    return 0


def _rows(
    before: dict[str, Cost], after: dict[str, Cost], measured_s: float
) -> list[dict[str, object]]:
    used_s = {name: after[name].cpu_s - before[name].cpu_s for name in after}
    own_s = used_s["heartline agent"]
    return [
        {
            "program": name,
            "cpu_percent_of_a_core": round(used_s[name] / measured_s * 100, 4),
            "cpu_ms_per_5_s": round(used_s[name] / measured_s * PERIOD_S * 1000, 2),
            "cpu_times_agent": round(used_s[name] / own_s, 2),
            "rss_mb": round(cost.rss_kib / 1024, 1),
            "pss_mb": round(cost.pss_kib / 1024, 1),
        }
        for name, cost in after.items()
    ]


def cost_of(pid: int) -> Cost:
    """What a process has used since its start, and what is resident of it now. Linux only."""
    memory: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, size = line.partition(":")
        memory[name] = int(size.split()[0])
    cpu_s = time.clock_gettime(_cpu_clock_of(pid))
    return Cost(cpu_s, memory["Rss"], memory["Pss"])


def _cpu_clock_of(pid: int) -> int:
    """The clock that counts a process's CPU time in nanoseconds, as clock_getcpuclockid(3)."""
    return (~pid << 3) | 2


def _keep_scraping(scrape: Callable[[], bytes], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        scrape()
        time.sleep(max(0.0, min(PERIOD_S, until - time.monotonic())))


@contextmanager
def agent() -> Generator[int]:
    """An agent that is linked to a master of its own; its pid."""
    with tempfile.TemporaryDirectory(prefix="heartline-") as folder:
        master, state = Path(folder) / "master", Path(folder) / "agent"
        listen = ["--listen", "127.0.0.1:0"]
        with running([*HEARTLINE, "master", "--data", str(master), *listen]):
            (address,) = _until(lambda: _bound(master))
            token = _ask("token", "create", "--data", str(master))["token"]
            join = ["--join", token, "--master", address]
            with running([*HEARTLINE, "agent", "--data", str(state), *join]) as process:
                _until(lambda: any(node["state"] == "up" for node in _nodes(master)))
                yield process.pid


def _bound(folder: Path) -> list[str]:
    """The addresses that a master listens on, empty until it does."""
    try:
        listen: list[str] = json.loads((folder / "master.json").read_text())["listen"]
    except (FileNotFoundError, json.JSONDecodeError):
        return []
    return listen


def _nodes(folder: Path) -> list[dict[str, str]]:
    nodes: list[dict[str, str]] = _ask("nodes", "--data", str(folder))
    return nodes


def _ask(*arguments: str) -> Any:
    answer = subprocess.run([*HEARTLINE, *arguments, "--json"], capture_output=True, check=True)
    return json.loads(answer.stdout)


def _until(ask: Callable[[], T]) -> T:
    """The first answer that is not empty.

    Raises:
        TimeoutError: there was none within `START_S`.
    """
    until = time.monotonic() + START_S
    while not (answer := ask()):
        if time.monotonic() > until:
            raise TimeoutError("heartline did not start in time")
        time.sleep(0.1)
    return answer


if __name__ == "__main__":
    sys.exit(main())
