"""Files that hold keys: written so that a crash leaves the old or the new one, readable by their
owner only."""

import os
import secrets
from pathlib import Path
from typing import Final

from shared.errors import IdentityError

_OTHERS: Final = 0o077


def write_private(path: Path, data: bytes) -> None:
    """Replaces `path` atomically and durably with a file of mode 0600.

    Raises:
        OSError: the disk is full, the folder is not writable, …; `path` is then as it was.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(draft, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def read_private(path: Path) -> bytes:
    """The content of a file that nobody else may read.

    Raises:
        IdentityError: group or others may read it, so it can no longer be trusted to be a secret.
        FileNotFoundError: there is none.
    """
    with path.open("rb") as file:
        _check(path, os.fstat(file.fileno()))
        return file.read()


def check_private(path: Path) -> None:
    """The same check for a file that something else will read.

    Raises:
        IdentityError, FileNotFoundError: as `read_private`.
    """
    _check(path, path.stat())


def private_folder(path: Path) -> Path:
    """Makes `path` a folder of mode 0700 and returns it.

    Raises:
        IdentityError: it exists and others can enter it.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = path.stat().st_mode
    if os.name == "posix" and mode & _OTHERS:
        raise IdentityError(
            f"{path} can be entered by others (mode {mode & 0o777:04o}); it holds keys: "
            f"chmod 700 {path}"
        )
    return path


def _check(path: Path, status: os.stat_result) -> None:
    if os.name == "posix" and status.st_mode & _OTHERS:
        raise IdentityError(
            f"{path} can be read by others (mode {status.st_mode & 0o777:04o}): make sure that "
            f"nobody has copied it, then: chmod 600 {path}"
        )


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
