"""The folder of a demo: a temporary one, which is gone afterwards, however the demo ended, or one
that stays. It is never a folder in which a real cluster, agent or viewer lives.

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

from shared.errors import ConfigError, UserError
from shared.only_one import only_one
from shared.paths import FOLDER_MODE, StateFolder

_PREFIX: Final = "heartline-demo-"

AGENTS: Final = "demo"
"""Below the state folder: one folder a host, as if it were the host's own. That it is there says
that the state folder is a demo's."""


@contextmanager
def temporary_folder() -> Generator[Path]:
    """A new folder, as long as this lasts; those that nobody needs any more are removed first."""
    remove_leftovers(Path(tempfile.gettempdir()))
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as root,
        only_one(Path(root), "another demo has taken this one's folder"),
    ):
        yield Path(root)


def own_folder(root: Path) -> StateFolder:
    """The folder at `root`, for a demo that stays: new, or of a demo that has ended.

    Raises:
        ConfigError: something else is kept there, or a demo runs there.
        IdentityError: see `StateFolder.ensure`.
    """
    folder = StateFolder(root)
    agents = root / AGENTS
    lived_in = () if agents.is_dir() else (folder.ca_dir, folder.database, folder.lock)
    if any(path.exists() for path in (folder.agent_dir, folder.viewer_dir, *lived_in)):
        raise ConfigError(
            f"{root} is no demo's folder: its simulated hosts would stand among real ones;"
            " name a new one with --data, or leave it out"
        )
    folder.ensure()
    agents.mkdir(mode=FOLDER_MODE, exist_ok=True)
    try:
        with only_one(folder.lock, f"a demo runs on {root} already"):
            return folder
    except UserError as error:
        raise ConfigError(str(error)) from error


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
