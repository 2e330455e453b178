"""The file `history.db`: how it is opened, and what it looks like.

One connection writes, and whoever reads has one of their own: SQLite in WAL mode lets them see the
database as it was when they began, and keeps nobody waiting.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from master.rows import inserts
from shared.errors import HeartlineError, UserError

_SCHEMA_FILES: Final = ("schema.sql",)
"""What each version of the schema added, from the first on. A new database is made as old ones are
brought up to date."""

SCHEMA_VERSION: Final = len(_SCHEMA_FILES)

PAGE_BYTES: Final = 4096
"""Chunks are 2 to 30 kB. With pages of 8 kB the file would be a twentieth larger, and the journal,
whose rows are 3 kB or so, by two fifths."""

_BUSY_S: Final = 10.0
"""How long a writer waits for another process that has the file locked: a backup, an inspection."""

_CACHE_KIB: Final = 16 * 1024


_LOG_BYTES: Final = 64 * 1024 * 1024
"""What is left of SQLite's log when it has grown beyond that, while somebody was reading."""


class HistoryError(HeartlineError):
    """The history could not be read, or did not take what was to be written."""


class LaterVersionError(UserError):
    """The file was written by a later version of Heartline."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection that may write. The file is made, for its owner alone, if there is none.

    Raises:
        OSError, sqlite3.Error: it cannot be opened.
    """
    path.touch(mode=0o600)
    connection = sqlite3.connect(
        path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None
    )
    try:
        if connection.execute("PRAGMA page_count").fetchone() == (0,):
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads: whoever has it, in whichever thread, one at a time.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        timeout=_BUSY_S,
        check_same_thread=False,
        isolation_level=None,
        uri=True,
    )
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return connection


def insert(connection: sqlite3.Connection, into: str, rows: Iterable[Sequence[object]]) -> None:
    """Writes rows into a table, see `master.rows`: `into` is what comes before `VALUES`.

    Raises:
        sqlite3.Error: the disk refuses it.
    """
    for statement, parameters in inserts(into, list(rows)):
        connection.execute(statement, parameters)


def numbers_in(numbers: Iterable[int]) -> str:
    """What `column IN (SELECT value FROM json_each(?))` is given: any number of numbers as one
    parameter, for one statement."""
    return msgspec.json.encode(list(numbers)).decode()


def schema_steps() -> list[str]:
    """The statements that lead from each version of the schema to the next, from none on."""
    folder = resources.files("master.history")
    return [folder.joinpath(name).read_text("utf-8") for name in _SCHEMA_FILES]


def migrate(connection: sqlite3.Connection, path: Path, steps: Sequence[str]) -> None:
    """Takes those of the steps that the database has not taken yet, all or none.

    Raises:
        LaterVersionError: it has taken more.
        sqlite3.Error: the disk is full, the file is damaged or another program's.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(steps):
        raise LaterVersionError(
            f"{path} was written by a later version of Heartline (schema {version}, this one reads "
            f"{len(steps)}): start that version, or move the file away"
        )
    if version == len(steps):
        return
    script = ["BEGIN;", *steps[version:], f"PRAGMA user_version = {len(steps)};", "COMMIT;"]
    try:
        connection.executescript("\n".join(script))
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
