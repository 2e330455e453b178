"""Prometheus and VictoriaMetrics, fed with the samples of a fleet and asked for them: Debian's
packages, on loopback, with their data in folders of their own.

Prometheus gets its blocks from promtool, of up to a week: as its compaction makes them in the end.
VictoriaMetrics imports the same lines, and merges all that it has.
"""

import json
import re
import resource
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

from bench.agent_cost import cost_of
from bench.baselines import free_port, installed, running
from bench.history_fleet import Fleet
from bench.history_kept import on_disk

START_S: Final = 60.0
ANSWER_S: Final = 300.0
BLOCK: Final = "162h"
"""The longest blocks: one of the lengths that Prometheus makes them of."""

BLOCK_MS: Final = 162 * 3_600_000
FOR_EVER: Final = "100y"


@dataclass(frozen=True)
class Kept:
    """What a database has made of a fleet's samples."""

    size_bytes: int
    index_bytes: int
    """How much of that is no samples."""
    cpu_s: float


class Asked:
    """A database that runs."""

    def __init__(self, port: int, parameters: dict[str, str]) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
        self._parameters = parameters

    def get(self, path: str, **parameters: str) -> bytes:
        """What it answers.

        Raises:
            HTTPException: it refuses.
        """
        given = urllib.parse.urlencode(parameters)
        self._connection.request("GET", f"{path}?{given}" if given else path)
        return self._answer()

    def post(self, path: str, lines: Iterator[bytes]) -> None:
        """Sends it these.

        Raises:
            HTTPException: it refuses.
        """
        self._connection.request("POST", path, lines, encode_chunked=True)
        self._answer()

    def series(self, selector: str, from_ms: int, to_ms: int, points: int) -> int:
        """Asks how series went in so many steps; how many points it gave."""
        found = self._query(
            "/api/v1/query_range",
            query=selector,
            start=f"{from_ms / 1000:.3f}",
            end=f"{to_ms / 1000:.3f}",
            step=f"{(to_ms - from_ms) / 1000 / points:.3f}",
        )
        return sum(len(each["values"]) for each in found)

    def instant(self, selector: str, at_ms: int) -> int:
        """Asks for the last values at an instant; how many it gave."""
        return len(self._query("/api/v1/query", query=selector, time=f"{at_ms / 1000:.3f}"))

    def _query(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        answer = json.loads(self.get(path, **parameters, **self._parameters))
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def _answer(self) -> bytes:
        with self._connection.getresponse() as response:
            body = response.read()
            if response.status >= 300:
                raise HTTPException(f"{response.status}: {body[:500]!r}")
        return body


def feed_prometheus(folder: Path, fleet: Fleet) -> Kept:
    """Makes Prometheus' blocks of a fleet's samples, in `folder`/data.

    Raises:
        MissingBaselineError: it is not installed.
    """
    promtool = installed("promtool", "prometheus")
    told, data = folder / "told.txt", folder / "data"
    with told.open("wb") as file:
        file.writelines(_lines(fleet, 1000))
        file.write(b"# EOF\n")
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [*command, f"--max-block-duration={BLOCK}", str(told), str(data)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told.unlink()
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    chunks = sum(on_disk(block) for block in data.glob("*/chunks"))
    return Kept(on_disk(data), on_disk(data) - chunks, cpu_s)


@contextmanager
def prometheus(folder: Path) -> Generator[Asked]:
    """Prometheus on what was made there."""
    config = folder / "prometheus.yml"
    config.write_text("scrape_configs: []\n")
    port = free_port(socket.SOCK_STREAM)
    command = [
        installed("prometheus", "prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.time={FOR_EVER}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(command):
        _until_ready(port, "/-/ready")
        yield Asked(port, {})


class VictoriaMetrics(Asked):
    """One that runs, and can be fed."""

    def __init__(self, port: int, pid: int, data: Path) -> None:
        super().__init__(port, {"nocache": "1"})
        self._pid = pid
        self._data = data

    def feed(self, fleet: Fleet) -> Kept:
        """Imports a fleet's samples, and has them merged as far as they can be."""
        before_s = cost_of(self._pid).cpu_s
        self.post("/api/v1/import/prometheus", _lines(fleet, 1))
        self.get("/internal/force_flush")
        self.get("/internal/force_merge")
        while self._merging():
            time.sleep(0.5)
        cpu_s = cost_of(self._pid).cpu_s - before_s
        samples, index = on_disk(self._data / "data"), on_disk(self._data / "indexdb")
        return Kept(samples + index, index, cpu_s)

    def _merging(self) -> bool:
        page = self.get("/metrics").decode()
        return any(
            map(int, re.findall(r"^vm_active(?:_force)?_merges\S* (\d+)$", page, re.MULTILINE))
        )


@contextmanager
def victoria_metrics(folder: Path) -> Generator[VictoriaMetrics]:
    """VictoriaMetrics with nothing in it.

    Raises:
        MissingBaselineError: it is not installed.
    """
    port = free_port(socket.SOCK_STREAM)
    command = [
        installed("victoria-metrics", "victoria-metrics"),
        f"-storageDataPath={folder}",
        f"-httpListenAddr=127.0.0.1:{port}",
        f"-retentionPeriod={FOR_EVER}",
        "-search.disableCache",
        "-search.maxUniqueTimeseries=10000000",
    ]
    with running(command) as process:
        _until_ready(port, "/health")
        yield VictoriaMetrics(port, process.pid, folder)


def _lines(fleet: Fleet, unit_ms: int) -> Iterator[bytes]:
    """A line per value, a series at a time; times in units of so many milliseconds."""
    times: dict[int, str] = {}
    for node in range(fleet.nodes):
        times.clear()
        for series in fleet.series(node):
            name = f'{series.metric}{{instance="{series.node_id}"}} '
            lines: list[str] = []
            for at_ms, value in zip(series.at_ms, series.values, strict=True):
                told = times.get(at_ms)
                if told is None:
                    told = f" {at_ms / unit_ms:.3f}\n" if unit_ms > 1 else f" {at_ms}\n"
                    times[at_ms] = told
                lines.append(f"{name}{value}{told}")
            yield "".join(lines).encode()


def _until_ready(port: int, path: str) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            Asked(port, {}).get(path)
        except (OSError, HTTPException):
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return
