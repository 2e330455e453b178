"""The open database: one connection that writes, one beside it that reads for the upkeep, and what
is done when the file turns out to be damaged.

Nobody is kept waiting for long: whoever writes has the lock for one short transaction.
"""

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import trio

from master.history import checking, salvage
from master.history.database import (
    LaterVersionError,
    connect,
    connect_reader,
    migrate,
    schema_steps,
)
from master.store import RunSync
from shared.errors import UserError, reason_of

CHECK_S: Final = 2.0
"""How long a start may be held up by the check of the file's structure: it goes on afterwards."""

Result = TypeVar("Result")

_log: Final = logging.getLogger(__name__)


class Files:
    """Both connections. Use `Files.open`; close it with `close`."""

    def __init__(
        self, path: Path, run_sync: RunSync | None, now_wall_ms: Callable[[], int]
    ) -> None:
        self.path: Final = path
        self._run_sync: RunSync = run_sync or trio.to_thread.run_sync
        self._now_wall_ms = now_wall_ms
        self._write_lock = trio.Lock()
        self._read_lock = trio.Lock()
        self._writer, self._reader = self._opened()

    def __repr__(self) -> str:
        return f"<Files of {self.path.name}>"

    @classmethod
    def open(cls, path: Path, run_sync: RunSync | None, now_wall_ms: Callable[[], int]) -> "Files":
        """Opens or makes the database at `path`, and brings it up to date. One that is damaged is
        replaced by what can be read of it.

        Raises:
            UserError: it cannot be opened, or was made by a later version.
        """
        try:
            salvage.finish(path, now_wall_ms())
            return cls(path, run_sync, now_wall_ms)
        except OSError as error:
            raise UserError(f"the history {path} cannot be opened: {reason_of(error)}") from error
        except sqlite3.Error as error:
            raise UserError(f"the history {path} cannot be opened: {error}") from error

    async def write(self, work: Callable[[sqlite3.Connection], Result], /) -> Result:
        """Runs `work` in a thread, in a transaction that is durable on return. Not cancelled half
        way.

        Raises:
            sqlite3.Error: the disk refuses it; nothing of it is written.
        """
        async with self._write_lock:
            return await shielded(self._run_sync, lambda: self.write_now(work))

    async def read(self, work: Callable[[sqlite3.Connection], Result], /) -> Result:
        """Runs `work` in a thread: what it reads is as it was at one instant.

        Raises:
            sqlite3.Error: the disk refuses it.
        """
        async with self._read_lock:
            return await self._run_sync(lambda: _in_snapshot(self._reader, work))

    def write_now(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """The same as `write`, in this thread: for the start and the end, and under the lock."""
        connection = self._writer
        connection.execute("BEGIN IMMEDIATE")
        with connection:  # commits, or rolls back whatever was raised, by the commit too
            return work(connection)

    async def repair(self) -> None:
        """Replaces the database, which is damaged, by what can be read of it.

        Raises:
            OSError, sqlite3.Error: the disk refuses that; it is as it was.
        """
        async with self._read_lock, self._write_lock:
            await shielded(self._run_sync, self._replace)

    def close(self) -> None:
        """Closes both. Nobody is in `read` or `write`."""
        self._reader.close()
        self._writer.close()

    def _opened(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        try:
            return self._connected()
        except sqlite3.Error as error:
            if not checking.is_damage(error):
                raise
            _log.error(
                "the history is damaged", extra={"path": str(self.path), "error": str(error)}
            )
        try:
            salvage.copy(self.path)
        except (OSError, sqlite3.Error) as error:
            # Better a new history than none: the old one is kept, and can be read another day.
            _log.error("nothing of it could be salvaged now", extra={"error": str(error)})
            salvage.put_aside(self.path, self._now_wall_ms())
        salvage.finish(self.path, self._now_wall_ms())
        return self._connected()

    def _connected(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        writer = connect(self.path)
        try:
            if reason := checking.structure(writer, CHECK_S):
                raise checking.damage(reason)
            migrate(writer, self.path, schema_steps())
            return writer, connect_reader(self.path)
        except (sqlite3.Error, LaterVersionError):
            writer.close()
            raise

    def _replace(self) -> None:
        salvage.copy(self.path)
        # Before the new one is opened: SQLite removes logs by their names.
        self.close()
        salvage.finish(self.path, self._now_wall_ms())
        self._writer, self._reader = self._connected()


async def shielded(run_sync: RunSync, work: Callable[[], Result]) -> Result:
    """Runs `work` to its end, and leaves the cancellation to whoever comes next: what was done is
    then known."""
    with trio.CancelScope(shield=True):
        return await run_sync(work)
    raise AssertionError  # a shield is never left early


def _in_snapshot(
    connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], Result]
) -> Result:
    connection.execute("BEGIN")
    try:
        return work(connection)
    finally:
        connection.execute("ROLLBACK")
