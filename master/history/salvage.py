"""A damaged `history.db` is read row by row, as far as it can be, into a new one. The old file
stays beside it, as `history.db.damaged-TIME`.

A crash on the way leaves the old file in its place, or the new one complete beside it: the next
start goes on from there.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from master.history.checking import is_damage
from master.history.database import SCHEMA_VERSION, connect, migrate, schema_steps

_LEAST_ROWID: Final = -(2**63)
_LARGEST_ROWID: Final = 2**63 - 1
_PRIMARY_CODE: Final = 0xFF
_SIDE_FILES: Final = ("-wal", "-shm")

_log: Final = logging.getLogger(__name__)


def copy(path: Path) -> None:
    """Makes a new database of what can be read of a damaged one, for `finish` to put in its place.

    Raises:
        OSError, sqlite3.Error: the disk refuses it.
    """
    draft = path.with_name(f"{path.name}.salvaging")
    _remove(draft)
    rows = _read_into(draft, path)
    _sync(draft)
    draft.rename(_complete(path))
    _sync(path.parent)
    _log.error("what could be read of the damaged history is kept", extra={"rows": rows})


def finish(path: Path, now_wall_ms: int) -> None:
    """Puts a database that was salvaged in its place, if there is one. Nobody has that open.

    Raises:
        OSError: the disk refuses it; to be tried again.
    """
    salvaged = _complete(path)
    if not salvaged.exists():
        return
    put_aside(path, now_wall_ms)
    salvaged.rename(path)
    _sync(path.parent)


def put_aside(path: Path, now_wall_ms: int) -> None:
    """Renames a damaged database; there is none at `path` then.

    Raises:
        OSError: the disk refuses it.
    """
    when = datetime.fromtimestamp(now_wall_ms / 1000, UTC)
    aside = path.with_name(f"{path.name}.damaged-{when:%Y%m%dT%H%M%S}")
    # The database first: a log is of no use without it, and harmful beside another.
    for suffix in ("", *_SIDE_FILES):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    _log.error("the damaged history is kept", extra={"path": str(aside)})


def _complete(path: Path) -> Path:
    return path.with_name(f"{path.name}.salvaged")


def _remove(path: Path) -> None:
    for suffix in ("", *_SIDE_FILES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _read_into(draft: Path, path: Path) -> int:
    """Makes a database of what can be read; how many rows that is."""
    with closing(connect(draft)) as new, closing(_connect_damaged(path)) as old:
        migrate(new, draft, schema_steps()[: _version(old)])
        new.execute("PRAGMA synchronous = OFF")  # it is synced as a whole, before it counts
        count = 0
        new.execute("BEGIN")
        for table in _tables(new):
            for row in _rows(old, new, table):
                with suppress(sqlite3.IntegrityError):  # nonsense, where the damage is
                    new.execute(
                        f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})",  # noqa: S608
                        row,
                    )
                    count += 1
        new.execute("COMMIT")
        migrate(new, draft, schema_steps())
        new.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return count


def _connect_damaged(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.text_factory = _legible
    # Else SQLite reads nothing at all of a file that is shorter than it says.
    connection.execute("PRAGMA writable_schema = ON")
    return connection


def _legible(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _version(old: sqlite3.Connection) -> int:
    try:
        (version,) = old.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError:
        return SCHEMA_VERSION
    return version if 0 < version <= SCHEMA_VERSION else SCHEMA_VERSION


def _tables(new: sqlite3.Connection) -> list[str]:
    rows = new.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid")
    return [name for (name,) in rows if not name.startswith("sqlite_")]


def _rows(
    old: sqlite3.Connection, new: sqlite3.Connection, table: str
) -> Iterator[tuple[Any, ...]]:
    """What can be read of a table, by the columns it should have."""
    names = [column[1] for column in new.execute(f"PRAGMA table_info({table})")]
    select = f"SELECT rowid, {', '.join(names)} FROM {table} WHERE rowid >= ? ORDER BY rowid"  # noqa: S608
    begin = _LEAST_ROWID
    while True:
        try:
            for rowid, *row in old.execute(select, (begin,)):
                begin = rowid + 1
                yield tuple(row)
        except sqlite3.DatabaseError as error:
            if _says_no_such_table(error):
                return
            readable = _next_readable(old, select, begin)
            if readable is None:
                return
            begin = readable
        else:
            return


def _next_readable(old: sqlite3.Connection, select: str, unreadable: int) -> int | None:
    """The first number from which rows can be read again; None: there is none. Whole pages cannot
    be read, so it is looked for in longer and longer steps, and then between the last two."""
    step, bad = 1, max(unreadable, 0)
    while not _is_readable(old, select, bad + step):
        bad += step
        step *= 2
        if bad + step > _LARGEST_ROWID:
            return None
    good = bad + step
    while good - bad > 1:
        middle = (good + bad) // 2
        if _is_readable(old, select, middle):
            good = middle
        else:
            bad = middle
    return good


def _is_readable(old: sqlite3.Connection, select: str, begin: int) -> bool:
    try:
        old.execute(f"{select} LIMIT 1", (begin,)).fetchone()
    except sqlite3.DatabaseError as error:
        if not _says_no_such_table(error):
            return False
    return True


def _says_no_such_table(error: sqlite3.DatabaseError) -> bool:
    """Or not with these columns. Anything else is damage, or a disk that cannot read it.

    Raises:
        sqlite3.DatabaseError: what was given, if it is neither.
    """
    code = error.sqlite_errorcode & _PRIMARY_CODE
    if code not in {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_IOERR} and not is_damage(error):
        raise error
    return code == sqlite3.SQLITE_ERROR


def _sync(path: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
