"""Histories for tests: samples to put into them, and a look at everything that is on disk."""

import os
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from msgspec.structs import replace

from master.history import marked
from master.history.codec import decode_rollup
from master.history.database import connect_reader
from master.history.files import Files
from master.history.history import History
from master.history.journal import Entry, columns_of, unpack_entries
from master.history.rollup import Rollup, merge, roll_up
from master.history.taken import Sample
from master.history.tiers import SAMPLES, TIERS, Tier
from master.history.upkeep import Upkeep
from master.store import RunSync
from shared.messages import encode_body
from shared.metrics import Core
from shared.settings import HistorySettings
from tests.master.assembled import inline

HOUR_MS: Final = 3_600_000
NOW_MS: Final = 499_000 * HOUR_MS
"""Where an hour begins."""

PERIOD_MS: Final = 5_000

NODES: Final = [f"{number:04x}" for number in range(10)]
"""Those of `fill`."""


def sample(sequence: int, node_id: str = "aa11", **changes: Any) -> Sample:
    """The sample of that number of a run, `PERIOD_MS` after the one before."""
    plain = Sample(
        node_id,
        "boot",
        1_000,
        sequence,
        NOW_MS + PERIOD_MS * sequence,
        PERIOD_MS,
        encode_body(Core(cpu_busy_bp=sequence, processes=100 + sequence % 7)),
        is_late=False,
    )
    return replace(plain, **changes)


class Clock:
    """The master's clock, set by the test."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


class Opened:
    """An open history, its upkeep without the pauses, and who was confirmed."""

    def __init__(self, history: History, files: Files, upkeep: Upkeep) -> None:
        self.history = history
        self.files = files
        self.upkeep = upkeep
        self.confirmed: list[int] = []

    def take(self, taken: Sample) -> bool:
        return self.history.take(taken, lambda: self.confirmed.append(taken.sequence))

    async def store(self, *taken: Sample) -> None:
        for each in taken:
            assert self.take(each)
        assert await self.history.flush()

    async def compact(self) -> None:
        """Once round all shards."""
        for shard in range(32):
            await self.upkeep.compact(shard)

    async def fold(self) -> None:
        for shard in range(32):
            await self.upkeep.fold(shard)


@contextmanager
def opened(
    path: Path,
    settings: HistorySettings | None = None,
    *,
    clock: Callable[[], int] | None = None,
    run_sync: RunSync = inline,
) -> Generator[Opened]:
    history = History.open(
        path, settings or HistorySettings(), run_sync=run_sync, now_wall_ms=clock or Clock()
    )
    try:
        yield Opened(history, history._files, history._upkeep)
    finally:
        history.close()


def journal(path: Path) -> list[Entry]:
    """All that is in the journal."""
    with closing(connect_reader(path)) as connection:
        rows = connection.execute("SELECT nodes, body FROM journal ORDER BY number").fetchall()
    return [entry for nodes, body in rows for entry in unpack_entries(nodes, body)]


def count(path: Path, table: str) -> int:
    with closing(connect_reader(path)) as connection:
        (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(rows)


def stored(path: Path) -> Counter[tuple[str, int]]:
    """How often each sample is on disk, in the journal or in chunks: by node and number."""
    found = Counter[tuple[str, int]]()
    with closing(connect_reader(path)) as connection:
        connection.execute("BEGIN")
        nodes = dict(connection.execute("SELECT number, node_id FROM nodes").fetchall())
        for packed in connection.execute("SELECT nodes, body FROM journal"):
            for entry in unpack_entries(*packed):
                found[nodes[entry.node], entry.sequence] += 1
        for node, *packed in connection.execute(
            "SELECT node, marks, body FROM chunks WHERE tier_ms = 0"
        ):
            for sequence in marked.unpack(*packed).samples.sequence.tolist():
                found[nodes[node], sequence] += 1
    return found


def buckets(path: Path, node_id: str, tier: Tier) -> Rollup:
    """A node's roll-up of a tier as its readers see it: with what is still open in finer ones."""
    with closing(connect_reader(path)) as connection:
        connection.execute("BEGIN")
        (node,) = connection.execute(
            "SELECT number FROM nodes WHERE node_id = ?", (node_id,)
        ).fetchone()
        return _buckets(connection, node, tier)


def _buckets(connection: sqlite3.Connection, node: int, tier: Tier) -> Rollup:
    parts = list[Rollup]()
    for each in TIERS[: TIERS.index(tier) + 1]:
        for is_open, *packed in connection.execute(
            "SELECT is_open, marks, body FROM chunks WHERE node = ? AND tier_ms = ?",
            (node, each.tier_ms),
        ):
            if not is_open and each != tier:
                continue
            if each == SAMPLES:
                parts.append(roll_up(marked.unpack(*packed).samples, tier.tier_ms))
            else:
                parts.append(decode_rollup(packed[1]))
    entries = [
        entry
        for packed in connection.execute("SELECT nodes, body FROM journal")
        for entry in unpack_entries(*packed)
        if entry.node == node
    ]
    for _, part in marked.by_node([columns_of(entries)]) if entries else ():
        parts.append(roll_up(part.samples, tier.tier_ms))
    return merge(parts, tier.tier_ms)


def assert_same_buckets(one: Rollup, other: Rollup) -> None:
    assert one.bucket_ms == other.bucket_ms
    for field in ("start_ms", "count", "known", "least", "greatest", "total"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field), err_msg=field)


async def fill(history: Opened) -> None:
    """Samples in chunks of every kind, each some pages long, and some in the journal."""
    noise = random.Random(1)
    for begin in (0, 200):
        for node in NODES:
            for each in range(begin, begin + 200, 2):
                core = encode_body([noise.randrange(2**40) for _ in range(30)])
                history.take(sample(each, node, core=core))
        assert await history.history.flush()
        await history.compact()
        await history.fold()
    await history.store(*(sample(1_000, node) for node in NODES))


def everything() -> dict[tuple[str, int], int]:
    return {(node, each): 1 for node in NODES for each in (*range(0, 400, 2), 1_000)}


@contextmanager
def full(history: Opened) -> Generator[None]:
    """SQLite's own idea of a full disk: not a page more."""
    writer = history.files._writer
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages}")
    yield
    writer.execute("PRAGMA max_page_count = 1000000")


def big(sequence: int) -> bytes:
    """What does not get smaller by being compressed."""
    return msgspec.msgpack.encode(os.urandom(200_000) + bytes([sequence]))
