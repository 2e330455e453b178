"""The master's durable memory: one SQLite file in WAL mode, written by one thread at a time.

Two ways to write. `write` returns once the change is on disk: identities, tokens, what an operator
asked for. `write_later` returns at once and is committed within `LATER_S`, together with whatever
else is waiting: beats never wait for the disk. When the disk is full or failing, what was to be
written later is kept (bounded, the oldest dropped and counted) and tried again.
"""

import logging
import sqlite3
from collections import deque
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import trio

from shared.errors import HeartlineError, UserError

SCHEMA_VERSION: Final = 1
LATER_S: Final = 0.5
LATER_LIMIT: Final = 50_000
"""Statements kept while the disk refuses them: some 20 MB."""

_RETRY_S: Final = 5.0

Statement: TypeAlias = tuple[str, tuple[Any, ...]]
Result = TypeVar("Result")

_log: Final = logging.getLogger(__name__)


class StoreError(HeartlineError):
    """The disk did not take what was to be written; nothing of it has been."""


class RunSync(Protocol):
    """Runs blocking work elsewhere: `trio.to_thread.run_sync`, or inline under a virtual clock."""

    async def __call__(self, work: Callable[[], Result], /) -> Result: ...


class _Batch:
    """Statements that are committed together, and how that went."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.settled = False
        self.error: StoreError | None = None


class Store:
    """An open database. Use `Store.open`; close it with `close`."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, run_sync: RunSync | None = None
    ) -> None:
        self.path: Final = path
        self.dropped = 0
        """Statements that were to be written later and were dropped, because the disk refused
        them."""
        self._connection = connection
        self._run_sync: RunSync = run_sync or trio.to_thread.run_sync
        self._lock = trio.Lock()
        self._batch = _Batch()
        self._later: deque[Statement] = deque()

    def __repr__(self) -> str:
        return f"<Store {self.path.name}, {len(self._later)} statements waiting>"

    @classmethod
    def open(cls, path: Path, run_sync: RunSync | None = None) -> "Store":
        """Opens or makes the database at `path` (":memory:" for none on disk).

        Raises:
            UserError: it cannot be opened, is damaged, or was made by a later version.
        """
        try:
            connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            _prepare(connection, path)
        except sqlite3.Error as error:
            raise UserError(f"the database {path} cannot be used: {error}") from error
        if path.exists():
            path.chmod(0o600)
        return cls(connection, path, run_sync)

    def load(self, query: str, parameters: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """Rows, read at once: for the start, before anything else uses the database."""
        return self._connection.execute(query, parameters).fetchall()

    async def read(self, query: str, parameters: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """Rows, read in a thread, with everything in them that was written before the call."""
        await self.flush()
        async with self._lock:
            return await self._run_sync(lambda: self.load(query, parameters))

    async def write(self, *statements: Statement) -> None:
        """Commits all of these, durably, or none.

        Concurrent callers share one commit. When cancelled, they may be committed nevertheless.

        Raises:
            StoreError: the disk did not take them.
        """
        batch = self._batch
        batch.statements.extend(statements)
        async with self._lock:
            if not batch.settled:
                await self._commit(batch)
        if batch.error is not None:
            raise batch.error

    def write_later(self, *statements: Statement) -> None:
        """Commits these soon. A crash within `LATER_S` loses them."""
        self._later.extend(statements)
        while len(self._later) > LATER_LIMIT:
            self._later.popleft()
            self.dropped += 1

    async def flush(self) -> None:
        """Commits what waits; what the disk refuses goes on waiting."""
        async with self._lock:
            batch = self._batch
            await self._commit(batch)

    async def run(self) -> None:
        """Commits what was to be written later, for ever."""
        while True:
            await trio.sleep(LATER_S)
            if self._later or self._batch.statements:
                kept = len(self._later)
                await self.flush()
                if len(self._later) >= kept > 0:
                    await trio.sleep(_RETRY_S)

    def close(self) -> None:
        """Commits what waits, as far as the disk takes it, and closes the file."""
        try:
            self._apply([*self._batch.statements, *self._later])
        except sqlite3.Error as error:
            _log.error("the last changes could not be stored", extra={"error": str(error)})
        self._connection.close()

    async def _commit(self, batch: _Batch) -> None:
        self._batch = _Batch()
        later = list(self._later)
        self._later.clear()
        batch.settled = True
        if not batch.statements and not later:
            return
        try:
            await self._run_sync(lambda: self._apply([*later, *batch.statements]))
        except sqlite3.Error as error:
            batch.error = StoreError(f"{self.path}: {error}")
            self._later.extendleft(reversed(later))
            _log.error("the database does not take changes", extra={"error": str(batch.error)})

    def _apply(self, statements: list[Statement]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement, parameters in statements:
                connection.execute(statement, parameters)
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        schema = resources.files("master").joinpath("schema.sql").read_text("utf-8")
        connection.executescript(
            f"BEGIN;\n{schema}\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;"
        )
    elif version > SCHEMA_VERSION:
        raise UserError(
            f"{path} was written by a later version of Heartline (schema {version}, this one reads "
            f"{SCHEMA_VERSION}): start that version, or restore an older copy"
        )
