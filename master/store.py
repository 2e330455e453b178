"""The master's durable memory: one SQLite file in WAL mode, written by one thread at a time.

Two ways to write. `write` returns once the change is on disk: identities, tokens, what an operator
asked for. `write_later` returns at once and is committed within `LATER_S`, together with whatever
else is waiting: beats never wait for the disk. When the disk is full or failing, what was to be
written later is kept (bounded, the oldest dropped and counted) and tried again.
"""

import logging
import re
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib import resources
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import trio

from master.rows import inserts
from shared.errors import HeartlineError, UserError

SCHEMA_STEPS: Final = (
    "schema.sql",
    "schema_2.sql",
    "schema_3.sql",
    "schema_4.sql",
    "schema_5.sql",
)
"""What each version of the schema added, from the first on. A new database is made as old ones are
brought up to date."""

SCHEMA_VERSION: Final = len(SCHEMA_STEPS)
LATER_S: Final = 0.5
LATER_LIMIT: Final = 250_000
"""Statements kept while the disk refuses them, some 100 MB at the most: one each of a hundred
thousand nodes that fall at once is not too much."""

RETRY_S: Final = 5.0
"""Until a disk that has refused something is asked again, unless somebody else asks earlier."""

IN_MEMORY: Final = Path(":memory:")

Statement: TypeAlias = tuple[str, tuple[Any, ...]]
Result = TypeVar("Result")

_INSERT: Final = re.compile(r"(INSERT .+) VALUES \(\?(?:, \?)*\)")
"""A statement that adds one row, all of it parameters."""

_BUGS: Final = (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
"""Not the disk's doing: the same statement would fail for ever."""

_log: Final = logging.getLogger(__name__)


class StoreError(HeartlineError):
    """The disk did not take what was to be written, and nothing of it has been; or it could not be
    read."""


class RunSync(Protocol):
    """Runs blocking work elsewhere: `trio.to_thread.run_sync`, or inline under a virtual clock."""

    async def __call__(self, work: Callable[[], Result], /) -> Result: ...


class _Batch:
    """Statements that are committed together, and how that went."""

    __slots__ = ("error", "is_committed", "is_settled", "statements")

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.is_settled = False
        self.is_committed = False
        self.error = ""


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
        self._is_refusing = False

    def __repr__(self) -> str:
        return f"<Store {self.path.name}, {len(self._later)} statements waiting>"

    @classmethod
    def open(cls, path: Path, run_sync: RunSync | None = None) -> "Store":
        """Opens or makes the database at `path` (`IN_MEMORY` for none on disk).

        Raises:
            UserError: it cannot be opened, is damaged, or was made by a later version.
        """
        try:
            if path != IN_MEMORY:
                path.touch(mode=0o600)
            connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"the database {path} cannot be opened: {error}") from error
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            _prepare(connection, path)
        except (UserError, sqlite3.Error) as error:
            connection.close()
            if isinstance(error, UserError):
                raise
            raise _unusable(path, error) from error
        return cls(connection, path, run_sync)

    def load(self, query: str, parameters: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """Rows, read at once: for the start, before anything else uses the database.

        Raises:
            UserError: it is damaged.
        """
        try:
            return self._rows(query, parameters)
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error

    async def read(self, query: str, parameters: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """Rows, read in a thread, with everything in them that was written before the call and
        that the disk has taken.

        Raises:
            StoreError: they cannot be read.
        """
        if not self._is_refusing:  # else `run` asks again, now and then
            await self.flush()
        async with self._lock:
            try:
                return await self._run_sync(partial(self._rows, query, parameters))
            except sqlite3.Error as error:
                raise StoreError(f"{self.path}: {error}") from error

    async def write(self, *statements: Statement) -> None:
        """Commits all of these, durably, or none.

        Concurrent callers share one commit. When cancelled, they may be committed nevertheless.

        Raises:
            StoreError: the disk did not take them.
        """
        batch = self._batch
        batch.statements.extend(statements)
        async with self._lock:
            if not batch.is_settled:
                await self._commit()
        if not batch.is_committed:
            raise StoreError(batch.error)

    def write_later(self, *statements: Statement) -> None:
        """Commits these soon. A crash within `LATER_S` loses them."""
        self._later.extend(statements)
        self._drop_oldest()

    async def flush(self) -> bool:
        """Commits what waits; False when the disk refuses it, and it goes on waiting."""
        async with self._lock:
            return await self._commit()

    async def run(self) -> None:
        """Commits what was to be written later, for ever."""
        while True:
            await trio.sleep(LATER_S)
            if (self._later or self._batch.statements) and not await self.flush():
                await trio.sleep(RETRY_S)

    def close(self) -> None:
        """Commits what waits, as far as the disk takes it, and closes the file."""
        try:
            self._apply((*self._later, *self._batch.statements))
        except sqlite3.Error as error:
            _log.error("the last changes could not be stored", extra={"error": str(error)})
        self._connection.close()

    async def _commit(self) -> bool:
        # Under the lock. From here to the end the statements are on no queue: a cancellation in
        # between would lose them, and leave others believing that they are on disk.
        batch, self._batch = self._batch, _Batch()
        later = tuple(self._later)
        self._later.clear()
        if not batch.statements and not later:
            return True
        batch.is_settled = True
        try:
            with trio.CancelScope(shield=True):
                await self._run_sync(partial(self._apply, chain(later, batch.statements)))
        except sqlite3.Error as error:
            batch.error = f"{self.path}: {error}"
            self._is_refusing = True
            self._later.extendleft(reversed(later))
            self._drop_oldest()
            _log.error("the database does not take changes", extra={"error": batch.error})
            if isinstance(error, _BUGS):
                raise
            return False
        batch.is_committed = True
        self._is_refusing = False
        return True

    def _drop_oldest(self) -> None:
        while len(self._later) > LATER_LIMIT:
            self._later.popleft()
            self.dropped += 1

    def _rows(self, query: str, parameters: tuple[Any, ...]) -> list[sqlite3.Row]:
        return self._connection.execute(query, parameters).fetchall()

    def _apply(self, statements: Iterable[Statement]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        with connection:  # commits, or rolls back whatever was raised, by the commit too
            for statement, parameters in _fewer(statements):
                connection.execute(statement, parameters)


def _fewer(statements: Iterable[Statement]) -> Iterator[tuple[str, Sequence[Any]]]:
    """The same changes in the same order: rows that go into a table one after the other go into it
    together (`master.rows` says why)."""
    for statement, several in groupby(statements, itemgetter(0)):
        rows = [parameters for _, parameters in several]
        insert = _INSERT.fullmatch(statement)
        if insert is None:
            yield from ((statement, parameters) for parameters in rows)
        else:
            into = insert[1].replace("INSERT INTO", "INSERT OR FAIL INTO", 1)
            yield from inserts(into, rows)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{path} was written by a later version of Heartline (schema {version}, this one reads "
            f"{SCHEMA_VERSION}): start that version, or restore an older copy"
        )
    if version == SCHEMA_VERSION:
        return
    steps = [resources.files("master").joinpath(name) for name in SCHEMA_STEPS[version:]]
    statements = "\n".join([step.read_text("utf-8") for step in steps])
    connection.executescript(
        f"BEGIN;\n{statements}\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;"
    )


def _unusable(path: Path, error: sqlite3.Error) -> UserError:
    return UserError(
        f"the database {path} cannot be used: {error}; restore a copy of it, or move it away and "
        "join the hosts again"
    )
