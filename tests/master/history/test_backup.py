"""A copy of the history while it is written to: whole, and of one moment."""

import stat
from pathlib import Path

import pytest
import trio

from master.history.database import HistoryError
from tests.master.history.histories import NODES, everything, fill, opened, sample, stored


async def test_backup_is_what_was_there_when_it_began_and_nobody_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, copy = tmp_path / "history.db", tmp_path / "copy.db"
    monkeypatch.setattr("master.history.backup.STEP_PAGES", 4)
    with opened(path, run_sync=trio.to_thread.run_sync) as history:
        await fill(history)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(history.history.back_up, copy)
            while not copy.exists():
                number = len(history.confirmed)
                await history.store(sample(10_000 + number))
            nursery.cancel_scope.cancel()
        taken = dict(stored(path))
    found = dict(stored(copy))
    assert everything().items() <= found.items() <= taken.items()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.glob("*copy*")] == ["copy.db"]
    with opened(copy) as history:
        assert history.history.has(NODES[0], "boot", 1_000)


async def test_backup_does_not_replace_a_file_nor_leave_one_half_written(tmp_path: Path) -> None:
    path, copy = tmp_path / "history.db", tmp_path / "copy.db"
    with opened(path) as history:
        await fill(history)
        copy.write_text("mine")
        with pytest.raises(HistoryError, match="exists"):
            await history.history.back_up(copy)
        with pytest.raises(HistoryError, match="No such file"):
            await history.history.back_up(tmp_path / "no" / "copy.db")
    assert copy.read_text() == "mine"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.db", "history.db"]
