"""Reaching the master that runs on a state folder of this host, or saying why it cannot be."""

import socket

from heartline.exits import UnreachableError
from shared.errors import UserError
from shared.paths import SYSTEM_ROOT, StateFolder
from shared.unix_socket import short_path


def connect(folder: StateFolder, timeout_s: float) -> socket.socket:
    """A stream to its socket.

    Raises:
        UnreachableError: none runs there, it may not be reached, or it accepts nobody.
        UserError: the path is too long for a socket.
    """
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(timeout_s)
    try:
        with short_path(folder.socket) as path:
            stream.connect(path)
    except OSError as error:
        stream.close()
        raise UnreachableError(_why(error, folder)) from error
    except UserError:
        stream.close()
        raise
    return stream


def _why(error: OSError, folder: StateFolder) -> str:
    match error:
        case FileNotFoundError() | ConnectionRefusedError() | NotADirectoryError():
            start = f"start one with: heartline master --data {folder.root}"
            return f"no master runs on {folder.root}; {start}{_elsewhere(folder)}"
        case PermissionError():
            return f"{folder.socket} belongs to another user; run this as the master's user"
        case TimeoutError():
            return f"the master at {folder.socket} accepts no connection"
        case _:
            return f"{folder.socket}: {error.strerror or error}"


def _elsewhere(folder: StateFolder) -> str:
    if folder.root == SYSTEM_ROOT or not SYSTEM_ROOT.is_dir():
        return ""
    return f" (this host also has {SYSTEM_ROOT}: name it with --data)"
