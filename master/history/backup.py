"""A copy of the history while it is written to: complete as of the moment at which it began."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from master.history.database import HistoryError, connect_reader
from shared.errors import reason_of

STEP_PAGES: Final = 1024

_PROGRESS_PART: Final = 0.1

_log: Final = logging.getLogger(__name__)


def back_up(source: Path, target: Path) -> None:
    """Copies the database to a new file, readable by its owner alone. What is written meanwhile is
    not in it, and not kept waiting.

    Raises:
        HistoryError: there is such a file already, or the disk refuses it; nothing is left then.
    """
    draft = target.with_name(f".{target.name}.unfinished")
    try:
        draft.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise HistoryError(f"no backup to {target}: {reason_of(error)}") from error
    try:
        _copy(source, draft)
        target.hardlink_to(draft)
    except (OSError, sqlite3.Error) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise HistoryError(f"no backup to {target}: {reason}") from error
    finally:
        draft.unlink(missing_ok=True)


def _copy(source: Path, draft: Path) -> None:
    with closing(connect_reader(source)) as old, closing(sqlite3.connect(draft)) as new:
        # While a transaction reads, all steps copy the same instant; else each change of the
        # source would begin the copy anew, and it would never end.
        old.execute("BEGIN")
        old.execute("SELECT number FROM nodes LIMIT 1").fetchone()
        old.backup(new, pages=STEP_PAGES, progress=_Progress(), sleep=0)
        old.execute("ROLLBACK")
        new.execute("PRAGMA journal_mode = DELETE")  # one file, whole as it is


class _Progress:
    """Says how far it is, now and then."""

    def __init__(self) -> None:
        self._told_part = 0.0

    def __call__(self, _status: int, remaining: int, total: int) -> None:
        part = 1 - remaining / max(total, 1)
        if part >= self._told_part + _PROGRESS_PART:
            self._told_part = part
            _log.info("backing up the history", extra={"done": f"{part:.0%}", "pages": total})
