"""A master that says how many tasks it has: `master.daemon` as `heartline master` runs it, with one
task more.

    python -m bench.counted_master FOLDER

It prints where it listens. From then on a line on standard input is a question, answered by a line
of JSON on standard output: `tasks`; `memory`, whose it is (`bench.memory_kinds`); `objects`, what
the collector of cycles keeps track of, by type; `collect`, which makes it look for cycles now. It
stops with its standard input.
"""

import argparse
import gc
import json
import logging
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from bench.memory_kinds import memory_kinds
from master import daemon
from shared import config
from shared.paths import StateFolder
from shared.settings import Settings

LISTENING: Final = "listening on "

STOP_S: Final = 30.0

_MOST: Final = 200
"""Types that `objects` names: the most frequent."""


class MasterFailedError(Exception):
    """The master did not start, or has ended; says what it wrote."""


class CountedMaster:
    """The running process, as who started it sees it."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path, address: str) -> None:
        self.pid: Final = process.pid
        self.address: Final = address
        self._process = process
        self._log = log

    def tasks(self) -> int:
        """How many of trio's tasks it has, the one that answers included."""
        return int(self._ask("tasks")["tasks"])

    def memory(self) -> dict[str, int]:
        """See `bench.memory_kinds`."""
        return dict(self._ask("memory"))

    def objects(self) -> dict[str, int]:
        """How many objects of which type it has made since it started and not let go of."""
        return dict(self._ask("objects"))

    def collect(self) -> int:
        """Has it look for cycles of objects that nobody refers to; how many it found."""
        return int(self._ask("collect")["collected"])

    def _ask(self, question: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(f"{question}\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise MasterFailedError(said(self._log)) from error
        line = self._process.stdout.readline()
        if not line:
            raise MasterFailedError(said(self._log))
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def counted_master(folder: StateFolder) -> Generator[CountedMaster]:
    """A master on this folder, with its settings, for the length of the block.

    Raises:
        MasterFailedError: it did not start.
    """
    log = folder.root / "master.log"
    with log.open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.counted_master", str(folder.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith(LISTENING):
            raise MasterFailedError(said(log))
        yield CountedMaster(process, log, line.removeprefix(LISTENING).strip())
    finally:
        process.terminate()
        try:
            process.communicate(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def said(log: Path) -> str:
    """The end of what a process has written."""
    return log.read_text().strip()[-2000:] or "it says nothing"


def _start_to_answer(line: str) -> None:
    # Called by the master, once it listens, in its own event loop.
    print(line, flush=True)
    if line.startswith(LISTENING):
        trio.lowlevel.spawn_system_task(_answer)


async def _answer() -> None:
    questions = sys.stdin.fileno()
    while True:
        await trio.lowlevel.wait_readable(questions)
        asked = os.read(questions, 4096)
        if not asked:
            os.kill(os.getpid(), signal.SIGTERM)
            return
        for question in asked.decode().split():
            print(json.dumps(_ANSWERS[question]()), flush=True)


def _tasks() -> dict[str, int]:
    return {"tasks": trio.lowlevel.current_statistics().tasks_living}


def _objects() -> dict[str, int]:
    kinds = Counter(
        f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects()
    )
    return dict(kinds.most_common(_MOST))


def _collect() -> dict[str, int]:
    return {"collected": gc.collect()}


_ANSWERS: Final = {
    "tasks": _tasks,
    "memory": memory_kinds,
    "objects": _objects,
    "collect": _collect,
}


def _settings(folder: StateFolder) -> Settings:
    return config.load(folder.config, environment={}, required=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="with its settings in heartline.toml")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    folder = StateFolder(given.folder)
    reload = partial(_settings, folder)
    return daemon.run(folder, reload(), reload=reload, print_line=_start_to_answer)


if __name__ == "__main__":
    sys.exit(main())
