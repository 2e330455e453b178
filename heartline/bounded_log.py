"""A log file that never grows beyond a bound: one generation back is kept, older lines are gone."""

import os
from pathlib import Path
from typing import Final

LIMIT_BYTES: Final = 1024 * 1024
"""Days of an eventful life; twice this is what a log may take of the disk."""


class BoundedLog:
    """Appends to `path` and moves it to `path.1` when it is full.

    A disk that is full or gone loses lines, and nothing else.
    """

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self.path: Final = path
        self._limit_bytes: Final = limit_bytes

    def write(self, line: bytes) -> None:
        """Appends one line, its end included."""
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                file.write(line)
                full = file.tell() >= self._limit_bytes
            if full:
                self.path.replace(self.path.with_name(self.path.name + ".1"))
        except OSError:
            return
