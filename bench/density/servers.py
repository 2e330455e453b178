"""The servers under load: Heartline's master, and what it is compared with. Each is a process that
says where it listens, can be killed, and started again at the same port."""

import datetime as dt
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Container, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from bench.baselines import MissingBaselineError
from bench.density.cost import Tree
from master.authority import open_authority
from shared import messages as m
from shared.paths import StateFolder

STOP_S: Final = 30.0

FALSE: Final = frozenset({"late", "hung", "lost", "down"})
"""States that no node of a benchmark is in: its agent lives, and dials when it has no link."""

_LISTENING: Final = "listening on "
_SOURCE: Final = Path(__file__).with_name("epoll_server.c")


class ServerFailedError(Exception):
    """A server did not start, or has ended; says what it wrote."""


class Server:
    """One of them: `command` is to be followed by the port, 0 for any."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name: Final = name
        self._command = command
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self.address = ""
        self.tree: Tree
        """Of the process that runs."""

    def __repr__(self) -> str:
        return f"<Server {self.name} at {self.address or 'no port'}>"

    def start(self) -> None:
        """Starts it, where it listened before.

        Raises:
            ServerFailedError: it does not listen.
        """
        port = self.address.rpartition(":")[2] or "0"
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [*self._command[:-1], self._command[-1] + port],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.tree = Tree(self._process.pid)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith(_LISTENING):
            self.kill()
            raise ServerFailedError(f"{self.name} did not start: {self._said()}")
        self.address = line.removeprefix(_LISTENING).strip()

    def check(self) -> None:
        """Makes sure that it runs.

        Raises:
            ServerFailedError: it has ended.
        """
        if self._process is None or self._process.poll() is not None:
            raise ServerFailedError(f"{self.name} does not run: {self._said()}")

    def kill(self) -> None:
        """As a power cut does: all of its processes at once."""
        if self._process is not None:
            for pid in self.tree.pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def stop(self) -> None:
        """Asks it to end, and waits."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.communicate(timeout=STOP_S)
                self._process = None
            except subprocess.TimeoutExpired:
                self.kill()

    def _said(self) -> str:
        return self._log.read_text().strip()[-2000:] or "it says nothing"


def heartline(folder: StateFolder, period_s: float, workers: int = 0) -> Server:
    """The real master on a folder that knows its agents; with `workers`, in so many processes
    besides its first one."""
    folder.config.write_text(f"[master]\nperiod_s = {period_s:g}\n")
    command = [sys.executable, "-m", "heartline", "master", "--data", str(folder.root)]
    log = folder.root / "master.log"
    if workers:
        command += ["--workers", str(workers)]
    return Server("heartline", [*command, "--listen", "127.0.0.1:"], log)


def bare_openssl(folder: StateFolder) -> Server:
    """The C server, compiled here.

    Raises:
        MissingBaselineError: there is no compiler, or no OpenSSL to compile with.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise MissingBaselineError("cc is not installed: apt-get install gcc libssl-dev")
    binary = folder.root / "epoll_server"
    command = [compiler, "-O2", "-o", str(binary), str(_SOURCE), "-lssl", "-lcrypto"]
    compiled = subprocess.run(command, capture_output=True, text=True, check=False)
    if compiled.returncode:
        raise MissingBaselineError(
            f"{_SOURCE.name} does not compile (apt-get install libssl-dev): {compiled.stderr}"
        )
    return Server("C, epoll", [str(binary), *_files(folder), ""], folder.root / "c.log")


def ssl_stream(folder: StateFolder) -> Server:
    """The trio server that is written the ordinary way."""
    command = [sys.executable, "-m", "bench.density.stream_server", *_files(folder), ""]
    return Server("trio.SSLStream", command, folder.root / "stream.log")


def false_transitions(
    folder: StateFolder, node_ids: Container[str], since_wall_ms: int, until_wall_ms: int
) -> str:
    """How often the master said of one of these nodes that it was late or worse, per state; `0`
    where it never did. Events are stored within half a second."""
    query = "SELECT node_id, after FROM events WHERE event = 'state' AND wall_ms BETWEEN ? AND ?"
    with closing(sqlite3.connect(f"file:{folder.database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(query, (since_wall_ms, until_wall_ms))
        counts = Counter(after for node_id, after in rows if after in FALSE and node_id in node_ids)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "0"


def _files(folder: StateFolder) -> list[str]:
    # What the servers to compare with are given: a certificate of the same CA, and a welcome.
    now = dt.datetime.now(dt.UTC)
    authority, _ = open_authority(folder.ca_dir, now)
    key_pem, certificate_pem = authority.issue_master(now, dt.timedelta(days=30))
    welcome = m.Welcome(m.PROTOCOL_MAX, "0" * 16, "bench", 5_000, 86_400, 86_400, "bench")
    contents = {
        "ca.pem": authority.clients_certificate_pem(),
        "key.pem": key_pem,
        "certificate.pem": certificate_pem,
        "welcome": m.encode(welcome),
    }
    for name, content in contents.items():
        path = folder.root / name
        path.touch(mode=0o600)
        path.write_bytes(content)
    return [str(folder.root / name) for name in contents]
