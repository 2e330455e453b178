"""Backups of a master that runs: whole, or not there at all."""

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
import trio

from master.backup import BackupError, back_up
from master.history.history import History
from master.store import Store
from shared.paths import StateFolder
from shared.settings import HistorySettings
from tests.master.assembled import inline
from tests.master.history.pasts import sample


class Running:
    """What a running master has open."""

    def __init__(self, root: Path) -> None:
        self.folder = StateFolder(root)
        self.folder.ca_dir.mkdir()
        (self.folder.ca_dir / "ca.key").write_text("secret")
        self.store = Store.open(self.folder.database, inline)
        self.history = History.open(self.folder.history, HistorySettings(), run_sync=inline)

    async def back_up(self, target: Path) -> int:
        return await back_up(self.folder, self.store, self.history, target, inline)

    def close(self) -> None:
        self.history.close()
        self.store.close()


@pytest.fixture
def running(tmp_path: Path) -> Running:
    root = tmp_path / "state"
    root.mkdir()
    return Running(root)


async def test_backup_holds_what_was_written_just_before(running: Running, tmp_path: Path) -> None:
    running.store.write_later(
        ("INSERT INTO events VALUES (1, 2, 'test', '', '', '', '', 'just now', '')", ())
    )
    assert running.history.take(sample(7), lambda: None)
    target = tmp_path / "backup.tar"
    assert await running.back_up(target) == target.stat().st_size
    running.close()
    assert target.stat().st_mode & 0o777 == 0o600
    restored = tmp_path / "restored"
    with tarfile.open(target) as tar:
        tar.extractall(restored, filter="tar")
    assert (restored / "ca" / "ca.key").read_text() == "secret"
    with closing(sqlite3.connect(restored / "master.db")) as registry:
        assert registry.execute("SELECT text FROM events").fetchall() == [("just now",)]
    history = History.open(restored / "history.db", HistorySettings(), run_sync=inline)
    assert history.has("aa11", "boot", sample(7).sequence)
    history.close()


async def test_file_that_is_there_is_left_as_it_is(running: Running, tmp_path: Path) -> None:
    target = tmp_path / "backup.tar"
    target.write_text("another")
    with pytest.raises(BackupError, match="File exists"):
        await running.back_up(target)
    assert target.read_text() == "another"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["backup.tar", "state"]
    running.close()


@pytest.mark.parametrize("missing", ["folder", "ca"])
async def test_backup_that_fails_leaves_nothing(
    running: Running, tmp_path: Path, missing: str
) -> None:
    target = tmp_path / "backup.tar"
    if missing == "folder":
        target = tmp_path / "nowhere" / "backup.tar"
    else:
        (running.folder.ca_dir / "ca.key").unlink()
        running.folder.ca_dir.rmdir()
    with pytest.raises(BackupError, match="No such file"):
        await running.back_up(target)
    assert [each.name for each in tmp_path.iterdir()] == ["state"]
    running.close()


async def test_backup_that_is_cancelled_leaves_nothing(running: Running, tmp_path: Path) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await running.back_up(tmp_path / "backup.tar")
    assert scope.cancelled_caught
    assert [each.name for each in tmp_path.iterdir()] == ["state"]
    running.close()
