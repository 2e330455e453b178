"""A backup: one tar file from which a master can be restored as it was, made while it runs.

It holds what the state folder holds under the same names: `master.db`, `history.db` and `ca/`. So
it also holds the cluster's key, and is readable by its owner alone.
"""

import os
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

import trio

from master.history.history import History
from master.store import RunSync, Store
from shared.errors import HeartlineError
from shared.paths import StateFolder

FILE_MODE: Final = 0o600


class BackupError(HeartlineError):
    """No backup was made, and why."""


async def back_up(
    folder: StateFolder,
    store: Store,
    history: History,
    target: Path,
    run_sync: RunSync | None = None,
) -> int:
    """Writes a backup of a running master to a new file, and returns how many bytes that has.

    Needs as much room again beside the file while it is made. When cancelled or failing, it leaves
    nothing behind.

    Raises:
        BackupError: there is such a file, its folder is not there or may not be written to, or the
            disk refuses it.
        HistoryError, StoreError: a database could not be copied.
    """
    in_thread: RunSync = run_sync or trio.to_thread.run_sync
    try:
        drafts = tempfile.TemporaryDirectory(prefix=".heartline-", dir=target.parent)
    except OSError as error:
        raise BackupError(f"no backup to {target}: {error.strerror or error}") from error
    try:
        await store.flush()
        await history.flush()
        place = Path(drafts.name)
        await in_thread(partial(_copy_registry, folder.database, place / folder.database.name))
        await history.back_up(place / folder.history.name)
        return await in_thread(partial(_pack, folder, place, target))
    finally:
        with trio.CancelScope(shield=True):
            await in_thread(drafts.cleanup)


def _copy_registry(source: Path, target: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as old:
            old.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as error:
        raise BackupError(f"no backup of {source}: {error}") from error


def _pack(folder: StateFolder, place: Path, target: Path) -> int:
    draft = place / "whole.tar"
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for database in (folder.database, folder.history):
                    tar.add(place / database.name, database.name)
                    (place / database.name).unlink()
                tar.add(folder.ca_dir, folder.ca_dir.name)
            file.flush()
            os.fsync(file.fileno())
        # Fails where there is such a file already, whoever has made it meanwhile.
        target.hardlink_to(draft)
        return draft.stat().st_size
    except OSError as error:
        raise BackupError(f"no backup to {target}: {error.strerror or error}") from error
