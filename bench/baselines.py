"""The programs that Heartline is measured beside: Debian's packages, started and stopped here.

Each runs on loopback on a port of the kernel's choice, with its state in a folder of its own, as it
would by default but for what is said here.
"""

import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

START_S = 15.0
STOP_S = 10.0

COLLECTD_CONFIG = """\
Hostname "bench"
BaseDir "{folder}"
PIDFile "{folder}/pid"
TypesDB "/usr/share/collectd/types.db"
Interval 5
LoadPlugin logfile
<Plugin logfile>
  LogLevel err
  File "{folder}/log"
</Plugin>
LoadPlugin cpu
LoadPlugin memory
LoadPlugin df
LoadPlugin disk
LoadPlugin interface
LoadPlugin load
LoadPlugin processes
LoadPlugin network
<Plugin network>
  Server "127.0.0.1" "{port}"
</Plugin>
"""
"""As an agent does: reads the host every 5 s, and sends what it read to another process."""


class MissingBaselineError(Exception):
    """A program to compare with is not installed."""


class NodeExporter:
    """A running node_exporter."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.pid = process.pid
        self._url = f"http://127.0.0.1:{port}/metrics"

    def page(self) -> bytes:
        """The whole page of metrics, as a server would scrape it."""
        with urllib.request.urlopen(self._url, timeout=5) as response:
            page: bytes = response.read()
        return page


@contextmanager
def node_exporter() -> Generator[NodeExporter]:
    """node_exporter with its default collectors, from its first page on."""
    binary = installed("prometheus-node-exporter", "prometheus-node-exporter")
    port = free_port(socket.SOCK_STREAM)
    with running([binary, f"--web.listen-address=127.0.0.1:{port}"]) as process:
        exporter = NodeExporter(process, port)
        until = time.monotonic() + START_S
        while True:
            try:
                exporter.page()
                break
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > until or process.poll() is not None:
                    raise
                time.sleep(0.1)
        yield exporter


@contextmanager
def collectd(sink_port: int) -> Generator["subprocess.Popen[bytes]"]:
    """collectd, reading every 5 s what an agent reads and sending it to a UDP port."""
    binary = installed("collectd", "collectd-core")
    with tempfile.TemporaryDirectory(prefix="collectd-") as folder:
        config = Path(folder) / "collectd.conf"
        config.write_text(COLLECTD_CONFIG.format(folder=folder, port=sink_port))
        with running([binary, "-f", "-C", str(config)]) as process:
            yield process


@contextmanager
def running(command: Sequence[str]) -> Generator["subprocess.Popen[bytes]"]:
    """A process for the length of the block; terminated, and killed if it does not leave."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port(kind: socket.SocketKind) -> int:
    """A port on loopback that nothing uses now, for programs that cannot take port 0."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def installed(name: str, package: str) -> str:
    """Where a program is.

    Raises:
        MissingBaselineError: it is not installed.
    """
    path = shutil.which(name) or shutil.which(f"/usr/sbin/{name}")
    if path is None:
        raise MissingBaselineError(f"{name} is not installed: apt-get install {package}")
    return path
