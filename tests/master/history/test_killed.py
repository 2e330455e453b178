"""Killed at any moment, while committing, compacting or folding: what was confirmed is there, once,
in the samples and in every tier, and nothing is corrupt."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from master.history import checking
from master.history.database import connect_reader
from master.history.tiers import TIERS
from tests.master.history.histories import buckets, count, opened, stored
from tests.master.history.killed_writer import NODES

KILLS = 15
SOAK_KILLS = 100


@dataclass
class Killing:
    """A writer that is killed again and again, by somebody who keeps what was not confirmed, as an
    agent's spool does."""

    writer: "subprocess.Popen[str]"
    chance: random.Random
    confirmed: list[int] = field(default_factory=list[int])
    again: list[int] = field(default_factory=list[int])
    next_number: int = 0

    def once(self) -> None:
        assert self.writer.stdin is not None
        self.writer.stdin.write(
            msgspec.json.encode([*self.again, self.next_number]).decode() + "\n"
        )
        self.writer.stdin.flush()
        told, pid, answers = set[int](), 0, 0
        kill_after = self.chance.randrange(1, 400)
        while not (line := self.line()).startswith("end"):
            if line.startswith("pid"):
                pid = int(line.removeprefix("pid "))
            else:
                told.add(int(line))
            answers += 1
            if answers == kill_after and pid:
                time.sleep(self.chance.random() ** 3)
                os.kill(pid, signal.SIGKILL)
            elif answers == kill_after:
                kill_after += 1
        assert line == f"end {-signal.SIGKILL}"
        self.confirmed += told
        # Whatever may have been taken and was not confirmed comes again, and some that was.
        beyond = max([self.next_number, *told]) + 2_000
        missing = {*self.again, *range(self.next_number, beyond)} - told
        self.again = sorted({*missing, *self.chance.choices(self.confirmed or [0], k=50)})
        self.next_number = beyond

    def line(self) -> str:
        assert self.writer.stdout is not None
        line = self.writer.stdout.readline()
        assert line, "the writer is gone"
        return line.strip()


@pytest.mark.parametrize(
    ("seed", "kills"),
    [(1, KILLS), pytest.param(2, SOAK_KILLS, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])],
)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_writer_loses_nothing_it_confirmed_and_stores_nothing_twice(
    tmp_path: Path, seed: int, kills: int
) -> None:
    path = tmp_path / "history.db"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.master.history.killed_writer", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        killing = Killing(writer, random.Random(seed))
        for _ in range(kills):
            killing.once()
            with closing(connect_reader(path)) as connection:
                assert checking.structure(connection) == ""
    found = stored(path)
    assert set(found.values()) == {1}
    assert {number for _, number in found} >= set(killing.confirmed)
    assert len(killing.confirmed) > 100 * kills
    assert count(path, "damaged") == 0
    assert list(tmp_path.glob("*damaged*")) == []
    with opened(path) as history:
        for node, number in found:
            assert history.history.has(node, f"boot {number // 10_000}", number)
    samples = Counter(node for node, _ in found)
    assert len(samples) == NODES
    for node in sorted(samples)[::6]:
        for tier in TIERS[1:]:
            assert buckets(path, node, tier).count.sum() == samples[node]
    compacted, folded = _work_done(path)
    assert compacted > 0
    assert folded > 0


def _work_done(path: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(path)) as connection:
        (compacted,) = connection.execute("SELECT count(*) FROM known").fetchone()
        (folded,) = connection.execute("SELECT count(*) FROM chunks WHERE NOT is_open").fetchone()
    return compacted, folded
