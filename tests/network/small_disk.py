"""A disk of its own for a folder, that can be filled to the last byte. Takes root, on Linux."""

import errno
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_PIECE_BYTES: Final = 64 * 1024
_PAGE_BYTES: Final = 4096


def why_not_here() -> str:
    """Why there can be no such disk here; empty where there can."""
    tried = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
    )
    return "" if tried.returncode == 0 else "no filesystem may be mounted here"


class SmallDisk:
    """Mounted on `path`, which it makes, until it is closed: then what is on it is gone."""

    def __init__(self, path: Path, size_kib: int) -> None:
        self.path: Final = path
        self._filling: Final = path / "filling"
        path.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k,mode=700", "tmpfs", str(path)],
            check=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)

    def fill(self) -> None:
        """There is no room any more."""
        descriptor = os.open(self._filling, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for piece in (bytes(_PIECE_BYTES), bytes(_PAGE_BYTES)):
                _write_until_full(descriptor, piece)
        finally:
            os.close(descriptor)

    def empty(self) -> None:
        """Undoes `fill`."""
        self._filling.unlink(missing_ok=True)


def _write_until_full(descriptor: int, piece: bytes) -> None:
    try:
        while os.write(descriptor, piece) == len(piece):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
