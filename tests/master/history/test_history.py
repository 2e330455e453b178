"""The history's journal: what is confirmed is on disk, once, whatever the disk does."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from master.history.history import COMMIT_S, History
from master.history.journal import Entry, unpack_entries
from master.history.taken import Sample
from master.store import RunSync
from shared.messages import encode_body
from shared.metrics import Core
from shared.settings import HistorySettings
from tests.master.assembled import inline

NOW_MS = 1_795_000_000_000


def sample(sequence: int, node_id: str = "aa11", **changes: Any) -> Sample:
    first = Sample(
        node_id,
        "boot",
        1_000,
        sequence,
        NOW_MS + 5_000 * sequence,
        5_000,
        encode_body(Core(cpu_busy_bp=sequence)),
        is_late=False,
    )
    return first._replace(**changes)


@contextmanager
def opened(path: Path, run_sync: RunSync = inline) -> Generator[History]:
    history = History.open(path, HistorySettings(), run_sync=run_sync, now_wall_ms=lambda: NOW_MS)
    try:
        yield history
    finally:
        history.close()


def journal(path: Path) -> list[Entry]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT nodes, body FROM journal ORDER BY number").fetchall()
    return [entry for nodes, body in rows for entry in unpack_entries(nodes, body)]


async def test_sample_is_confirmed_once_it_is_on_disk(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = tmp_path / "history.db"
    stored = list[list[int]]()
    with opened(path) as history:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(history.run)
            await wait_all_tasks_blocked()
            assert history.take(
                sample(1), lambda: stored.append([each.sequence for each in journal(path)])
            )
            assert history.has("aa11", "boot", 1)
            await trio.sleep(COMMIT_S * 0.9)
            assert stored == []
            await trio.sleep(COMMIT_S * 0.2)
            assert stored == [[1]]
            nursery.cancel_scope.cancel()


async def test_known_sample_is_confirmed_and_not_stored_again(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    stored = list[str]()
    with opened(path) as history:
        assert history.take(sample(1), lambda: stored.append("first"))
        assert history.take(sample(1), lambda: stored.append("while it waits"))
        assert await history.flush()
        assert history.take(sample(1), lambda: stored.append("later"))
        assert await history.flush()
    with opened(path) as history:
        assert history.has("aa11", "boot", 1)
        assert history.take(sample(1), lambda: stored.append("after a restart"))
        assert await history.flush()
    assert stored == ["first", "while it waits", "later", "after a restart"]
    assert [each.sequence for each in journal(path)] == [1]
