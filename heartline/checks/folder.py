"""The state folder: whose it is, who can read the secrets in it, whether there is room."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from heartline.checks import Finding, Subject, fine, problem, warning

FREE_BYTES_WANTED: Final = 100 * 1024 * 1024
"""Room for the registry's and the logs' worst week."""

_OTHERS: Final = 0o077


def folder_rights(subject: Subject) -> Iterator[Finding]:
    """The folder belongs to one user alone, and so do the keys in it."""
    name, root = "state folder", subject.folder.root
    try:
        status = root.stat()
    except FileNotFoundError:
        yield fine(name, f"{root} does not exist yet; the first start makes it")
        return
    except OSError as error:
        yield problem(name, f"{root}: {error.strerror}", "run this as the user that owns it")
        return
    trouble = subject.folder.problem(status)
    if trouble is not None:
        detail, _, remedy = trouble.partition("; ")
        yield problem(name, detail, remedy)
        return
    if status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        yield warning(name, f"others may look into {root} (mode {mode:04o})", f"chmod 0700 {root}")
    else:
        yield fine(name, f"{root}, for its owner alone")
    yield from _open_secrets(subject)


def free_space(subject: Subject) -> Iterator[Finding]:
    """The disk has room left."""
    name = "disk space"
    existing = next(
        path for path in (subject.folder.root, *subject.folder.root.parents) if path.exists()
    )
    free_bytes = shutil.disk_usage(existing).free
    detail = f"{free_bytes // 2**20} MiB free on the disk of {existing}"
    if free_bytes < FREE_BYTES_WANTED:
        yield warning(name, detail, "free some, or name a folder on another disk with --data")
    else:
        yield fine(name, detail)


def _open_secrets(subject: Subject) -> Iterator[Finding]:
    folder = subject.folder
    private = [folder.ca_dir, folder.agent_dir, folder.viewer_dir]
    secrets = [path for place in private for path in (place, *_files(place)) if path.exists()]
    secrets += [path for path in (folder.database, folder.history, folder.socket) if path.exists()]
    exposed = [path for path in secrets if path.stat().st_mode & _OTHERS]
    for path in exposed:
        yield problem(
            "secrets",
            f"others may open {path}",
            f"make sure that nobody has copied it, then: chmod go= {path}",
        )
    if secrets and not exposed:
        yield fine("secrets", f"{len(secrets)} files and folders, for their owner alone")


def _files(place: Path) -> list[Path]:
    return sorted(place.iterdir()) if place.is_dir() and os.access(place, os.R_OK) else []
