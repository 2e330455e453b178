"""One process per state folder.

The lock is the kernel's: it ends with the process, however that ends, and leaves nothing to clean
up.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import UserError


@contextmanager
def only_one(path: Path, refusal: str) -> Generator[None]:
    """Holds `path`, a file that is made where it is missing, or a folder, as long as this lasts.

    A folder may be on a disk that cannot be written to.

    Raises:
        UserError: another process holds it; the text is `refusal`.
        OSError: it cannot be opened.
    """
    try:
        import fcntl  # noqa: PLC0415 - absent on Windows, where nothing is locked
    except ImportError:
        yield
        return
    how = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, how | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(refusal) from error
        yield
    finally:
        os.close(descriptor)
