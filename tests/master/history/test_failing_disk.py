"""A disk that is full or fails: what waits is kept and stored later, and nothing else is said."""

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from master.history import compaction
from master.history import waiting as waiting_module
from master.history.history import COMMIT_S, RETRY_S
from master.history.taken import LostSamples, size_bytes
from shared.settings import HistorySettings
from tests.master.history.histories import NOW_MS, big, count, full, journal, opened, sample, stored


async def test_full_disk_is_told_once_and_what_waits_is_stored_when_there_is_room(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "history.db"
    with opened(path) as history:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(history.history.run)
            with full(history):
                history.take(sample(1, core=big(1)))
                history.take(sample(2))
                await trio.sleep(60)
                assert history.confirmed == []
                assert caplog.text.count("does not take the history") == 1
            await trio.sleep(RETRY_S + COMMIT_S)
            assert history.confirmed == [1, 2]
            nursery.cancel_scope.cancel()
    assert stored(path) == {("aa11", 1): 1, ("aa11", 2): 1}


async def test_beyond_the_bound_nothing_is_taken_and_nothing_is_remembered_as_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_module, "LIMIT_BYTES", 2 * size_bytes(sample(1)))
    path = tmp_path / "history.db"
    with opened(path) as history:
        assert history.take(sample(1))
        assert history.take(sample(2))
        assert not history.take(sample(3))
        assert not history.history.has("aa11", "boot", 3)
        lost = LostSamples("aa11", "boot", 1_000, 5, 9, NOW_MS, NOW_MS)
        assert not history.history.take_lost(lost, lambda: None)
        assert history.take(sample(1))  # it takes no room
        assert await history.history.flush()
        assert history.confirmed == [1, 2, 1]
        await history.store(sample(3))
    assert set(stored(path).values()) == {1}


async def test_refused_batch_leaves_nothing_behind_and_keeps_its_order(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with opened(path) as history:
        with full(history):
            history.take(sample(1, core=big(1)))
            history.take(sample(2, "bb22"))
            assert not await history.history.flush()
            assert count(path, "nodes") == count(path, "runs") == count(path, "journal") == 0
            history.take(sample(3))
        assert await history.history.flush()
        assert history.confirmed == [1, 2, 3]
    assert Counter(each.sequence for each in journal(path)) == {1: 1, 2: 1, 3: 1}


async def test_failing_upkeep_is_told_once_holds_up_no_commit_and_is_made_up_for(
    tmp_path: Path,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    path = tmp_path / "history.db"
    with opened(path, HistorySettings(compact_every_s=32)) as history:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(history.history.run)
            with monkeypatch.context() as patch:
                patch.setattr(compaction, "write", refuse)
                for sequence in range(200):
                    history.take(sample(sequence))
                    await trio.sleep(1)
                assert count(path, "chunks") == 0
                assert len(history.confirmed) == 200
                assert caplog.text.count("does not take the history") == 1
            await trio.sleep(40)
            assert count(path, "journal") == 0
            assert caplog.text.count("does not take the history") == 1
            nursery.cancel_scope.cancel()
    assert stored(path) == {("aa11", sequence): 1 for sequence in range(200)}


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounts a file system of its own"
)
async def test_file_system_without_room_loses_nothing_that_was_confirmed(tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mounted)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount here")
    try:
        with opened(mounted / "history.db") as history:
            sequence = 0
            while await history.history.flush():
                sequence += 1
                history.take(sample(sequence, core=big(sequence)))
            assert history.confirmed == list(range(1, sequence))
            await trio.run_process(["mount", "-o", "remount,size=16m", str(mounted)])
            assert await history.history.flush()
            assert history.confirmed == list(range(1, sequence + 1))
            await history.compact()
        assert stored(mounted / "history.db") == {
            ("aa11", each): 1 for each in range(1, sequence + 1)
        }
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


async def test_node_forgotten_while_the_disk_is_full_is_forgotten_later(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with opened(path) as history:
        await history.store(sample(1))
        with full(history):
            history.history.forget("aa11")
            history.take(sample(9, core=big(9)))
            assert not await history.history.flush()
        assert await history.history.flush()
        await history.upkeep.erase()
    assert stored(path) == {("aa11", 9): 1}
