"""The master's history: whether its file is sound, how large it is, and whether it has room."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from heartline.checks import Finding, Subject, fine, problem, warning

CHECK_S: Final = 5.0
"""How long the file is looked through: a gigabyte or two. The master looks through all of it."""

_MEBIBYTE: Final = 2**20
_NAME: Final = "history"
_RESTART: Final = "restart the master: it keeps what can be read, and puts the damaged file aside"


def history(subject: Subject) -> Iterator[Finding]:
    """The history is sound, was never damaged, and can grow as large as it may."""
    path = subject.folder.history
    if not subject.has_master or not path.exists():
        return
    try:
        yield from _looked_through(path)
    except sqlite3.Error as error:
        remedy = _RESTART if _is_damage(error) else "run this as the user that owns it"
        yield problem(_NAME, f"{path} cannot be read: {error}", remedy)
        return
    yield from _room(path, subject.settings.history.keep_bytes)
    yield from _put_aside(path)


def _looked_through(path: Path) -> Iterator[Finding]:
    # What masters have and agents may lack: arrays.
    from master.history.checking import structure  # noqa: PLC0415
    from master.history.database import connect_reader  # noqa: PLC0415

    connection = connect_reader(path)
    try:
        found = structure(connection, CHECK_S)
        damaged = 0 if found else _damaged_rows(connection)
    finally:
        connection.close()
    if found:
        yield problem(_NAME, f"{path} is damaged: {found}", _RESTART)
    elif damaged:
        yield warning(
            _NAME,
            f"{damaged} damaged parts of {path} were set aside; what they held is missing",
            "check the disk (smartctl -a) and the memory; a backup may still have them",
        )
    else:
        so_far = "" if found == "" else f", as far as {CHECK_S:g} s of looking through it can tell"
        yield fine(_NAME, f"{path} is sound{so_far}")


def _is_damage(error: sqlite3.Error) -> bool:
    from master.history.checking import is_damage  # noqa: PLC0415 - as above

    return is_damage(error)


def _damaged_rows(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM damaged").fetchone()
    return int(count)


def _room(path: Path, keep_bytes: int) -> Iterator[Finding]:
    files = (path, path.with_name(f"{path.name}-wal"))
    size_bytes = sum(each.stat().st_size for each in files if each.exists())
    free_bytes = shutil.disk_usage(path.parent).free
    may_grow_bytes = max(0, keep_bytes - size_bytes)
    detail = f"{size_bytes // _MEBIBYTE} MiB, and may become {keep_bytes // _MEBIBYTE} MiB"
    if free_bytes < may_grow_bytes:
        yield warning(
            _NAME,
            f"{detail}; {free_bytes // _MEBIBYTE} MiB are free",
            "lower history.keep_bytes, or keep the state folder on a larger disk; when the disk is "
            "full, samples wait in the agents' spools",
        )
    else:
        yield fine(_NAME, detail)


def _put_aside(path: Path) -> Iterator[Finding]:
    aside = sorted(each for each in path.parent.glob(f"{path.name}.damaged-*") if each.is_file())
    if aside:
        yield warning(
            _NAME,
            f"the history was damaged; {aside[-1].name} is what it was",
            f"check the disk; when it is of no more use: rm {path.parent}/{path.name}.damaged-*",
        )
