"""Unix sockets under paths of any length.

The kernel takes at most 107 bytes of path (`sun_path` is 108 with its terminator, 104 on BSD and
macOS), and a state folder may well lie deeper. On Linux such a socket is bound and connected by way
of a descriptor of its folder: `/proc/self/fd/N/name` is the same file under a short name. Elsewhere
the path is refused with advice.
"""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from shared.errors import UserError

PATH_LIMIT_BYTES: Final = 107 if sys.platform == "linux" else 103
"""Longest path that `bind` and `connect` take, without its terminator."""


@contextmanager
def short_path(path: Path) -> Generator[str]:
    """A path to the socket at `path` that `bind` and `connect` take, valid inside the `with` only.

    The descriptor behind it may be closed as soon as `bind` or `connect` has returned: both resolve
    the path once. Unlink, stat and chmod take `path` itself, of whatever length.

    Raises:
        OSError: the folder does not exist or may not be entered.
        UserError: no short path can be made: the file's own name is too long, or this is not Linux.
    """
    direct = os.fspath(path)
    if len(os.fsencode(direct)) <= PATH_LIMIT_BYTES:
        yield direct
        return
    if sys.platform != "linux":
        raise UserError(
            f"the socket's path is over {PATH_LIMIT_BYTES} bytes: {path}; "
            "choose a state folder with a shorter one"
        )
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        short = f"/proc/self/fd/{folder}/{path.name}"
        if len(os.fsencode(short)) > PATH_LIMIT_BYTES:
            raise UserError(f"the socket's name is over {PATH_LIMIT_BYTES} bytes: {path.name}")
        yield short
    finally:
        os.close(folder)
