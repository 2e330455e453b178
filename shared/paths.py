"""Where everything lives on disk: one state folder, the same layout for every program.

The folder holds private keys and the socket that needs no credentials, so it belongs to one user:
`ensure` makes it so, and refuses one that somebody else could write to.
"""

import os
import stat
from pathlib import Path
from typing import Final

from msgspec import Struct

from shared.errors import IdentityError

SYSTEM_ROOT: Final = Path("/var/lib/heartline")
"""The state folder of root: where service managers and packages expect it."""

FOLDER_MODE: Final = 0o700

_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


class StateFolder(Struct, frozen=True):
    """The state folder of a master, an agent, or both. The properties only name paths."""

    root: Path

    @property
    def config(self) -> Path:
        """The settings (`shared.config`); need not exist."""
        return self.root / "heartline.toml"

    @property
    def master_json(self) -> Path:
        """Written by a running master: `{"listen": ["HOST:PORT", …], "pid": …}`."""
        return self.root / "master.json"

    @property
    def socket(self) -> Path:
        """The master's unix socket: operators on its own host, without credentials."""
        return self.root / "master.sock"

    @property
    def database(self) -> Path:
        """The master's registry and events."""
        return self.root / "master.db"

    @property
    def history(self) -> Path:
        """The master's history of every sample."""
        return self.root / "history.db"

    @property
    def ca_dir(self) -> Path:
        """The cluster's certificate authority. Whoever reads it can do everything."""
        return self.root / "ca"

    @property
    def audit(self) -> Path:
        """The master's audit lines."""
        return self.root / "audit.jsonl"

    @property
    def lock(self) -> Path:
        """Held by the one master that runs on this folder."""
        return self.root / "master.lock"

    @property
    def agent_dir(self) -> Path:
        """The agent's key, certificate and what it remembers."""
        return self.root / "agent"

    @property
    def viewer_dir(self) -> Path:
        """The key and certificate of a viewer of a master elsewhere."""
        return self.root / "viewer"

    def profile(self, name: str) -> "StateFolder":
        """The state folder of the viewer of one cluster elsewhere, out of several."""
        return StateFolder(self.viewer_dir / name)

    @property
    def logs_dir(self) -> Path:
        """What `heartline up` keeps of its children's output."""
        return self.root / "logs"

    def ensure(self) -> None:
        """Makes the folder, for its owner alone, or checks that the existing one can be trusted.

        Raises:
            IdentityError: it cannot be made, or another user owns it or may write to it.
        """
        try:
            self.root.parent.mkdir(parents=True, exist_ok=True)
            self.root.mkdir(mode=FOLDER_MODE, exist_ok=True)
            status = self.root.stat()
        except FileExistsError as error:
            raise IdentityError(
                f"{self.root} is not a folder; name another one with --data"
            ) from error
        except OSError as error:
            raise IdentityError(
                f"cannot make the state folder {self.root}: {error.strerror or error}; "
                "name another one with --data"
            ) from error
        problem = self.problem(status)
        if problem is not None:
            raise IdentityError(problem)

    def problem(self, status: os.stat_result) -> str | None:
        """Why a folder with this status cannot be trusted, with the remedy; None when it can."""
        if not hasattr(os, "geteuid"):
            return None  # rights are not expressed in modes on this platform
        if status.st_uid != os.geteuid():
            return (
                f"the state folder {self.root} belongs to user {status.st_uid} and this is user "
                f"{os.geteuid()}; run as its owner, or: chown -R {os.geteuid()} {self.root}"
            )
        if status.st_mode & _WRITABLE_BY_OTHERS:
            return (
                f"others may write to the state folder {self.root} (mode "
                f"{stat.S_IMODE(status.st_mode):04o}); run: chmod 0700 {self.root}"
            )
        return None


def default_root() -> Path:
    """The state folder when none is named: the system's for root, else the user's own."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return SYSTEM_ROOT
    import platformdirs  # noqa: PLC0415 - not worth loading where --data names the folder

    return platformdirs.user_state_path("heartline", appauthor=False)
