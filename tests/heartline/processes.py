"""Real processes of the command line, for the tests that run it from end to end."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil

from heartline.control import Control
from heartline.exits import Exit
from master.history.database import connect_reader
from master.history.journal_reading import keys_of
from shared.paths import StateFolder

DEADLINE_S = 20.0

LOOPBACK = ("--listen", "127.0.0.1:0")


def program(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "heartline", *map(str, arguments)]


def run(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        program(*arguments),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def output_of(*arguments: str | Path) -> Any:
    done = run(*arguments, "--json")
    assert done.returncode == Exit.OK, done.stderr
    return json.loads(done.stdout)


def wait_until(condition: Callable[[], bool]) -> None:
    """Looks again and again; only the deadline is a matter of time."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "did not happen in time"
        time.sleep(0.02)


def states(root: Path) -> dict[str, str]:
    """The nodes' states by name."""
    with Control.open(StateFolder(root)) as control:
        pieces = control.snapshot()
    names = {info.node_id: info.name for piece in pieces for info in piece.infos}
    return {names[each.node_id]: each.state for piece in pieces for each in piece.vitals}


@contextmanager
def started(*arguments: str | Path) -> Generator[subprocess.Popen[str]]:
    """A program that runs until the end of the block, and is killed if it does not stop then."""
    with subprocess.Popen(
        program(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(DEADLINE_S)
                except subprocess.TimeoutExpired:
                    process.kill()


@contextmanager
def up(root: Path) -> Generator[subprocess.Popen[str]]:
    """`heartline up --headless`, once it has said that the node is up."""
    with started("up", "--headless", "--data", root, *LOOPBACK) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "node is up" in line:
                break
        else:
            raise AssertionError(process.stderr and process.stderr.read())
        yield process


def children(process: subprocess.Popen[Any]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes: Sequence[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=DEADLINE_S)[1]


def nodes_with_a_past(root: Path) -> int:
    """How many nodes the history has samples of."""
    with closing(connect_reader(StateFolder(root).history)) as connection:
        return len(
            {node for rows in keys_of(connection, None) for keys in rows for node in keys.node}
        )
