"""The temporary folder of a demo, which is gone afterwards, however the demo ended.

A demo holds the kernel's lock on its folder, and its master one in it. What a demo that was killed
has left behind is held by nobody: the next one removes it.
"""

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from shared.errors import UserError
from shared.only_one import only_one
from shared.paths import StateFolder

_PREFIX: Final = "heartline-demo-"


@contextmanager
def temporary_folder() -> Generator[Path]:
    """A new folder, as long as this lasts; those that nobody needs any more are removed first."""
    remove_leftovers(Path(tempfile.gettempdir()))
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as root,
        only_one(Path(root), "another demo has taken this one's folder"),
    ):
        yield Path(root)


def remove_leftovers(parent: Path) -> None:
    """Removes what demos of this user that were killed have left in `parent`, and nothing else."""
    if sys.platform == "win32":
        return  # where nothing is locked, nobody can tell whose demo still runs
    for root in parent.glob(f"{_PREFIX}*"):
        try:
            if _is_a_demos(root):
                with only_one(root, "in use"), only_one(StateFolder(root).lock, "in use"):
                    shutil.rmtree(root, ignore_errors=True)
        except (UserError, OSError):
            continue  # it is in use, or somebody else removes it at this moment


def _is_a_demos(root: Path) -> bool:
    """Whether it is this user's, and a master has run in it. One that was made a moment ago is
    still empty, and not locked yet."""
    status = root.lstat()
    is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    return is_own and StateFolder(root).lock.is_file()
