"""Which master a command talks to: the one of this host, or the one elsewhere that it may view.

A master's own host needs no credentials: its socket is in the state folder. Where there has never
been a master, and this user has joined as a viewer, the master elsewhere is meant.
"""

import socket
import ssl
from typing import TYPE_CHECKING

from heartline.control import ANSWER_S, Control
from heartline.exits import UnreachableError
from heartline.viewer import ViewerIdentity, load_viewer, viewer_context
from shared.addresses import Address
from shared.paths import StateFolder

if TYPE_CHECKING:
    from tui.client import Target


def open_control(folder: StateFolder, timeout_s: float = ANSWER_S) -> Control:
    """A link for asking and ordering; a viewer from elsewhere may only ask.

    Raises:
        UnreachableError: there is no master, or it cannot be reached.
        DeniedError: it does not want this viewer.
        IdentityError: the viewer's identity cannot be used.
    """
    viewer = _remote(folder)
    if viewer is None:
        return Control.open(folder, timeout_s)
    context = viewer_context(folder)
    failures: list[str] = []
    for address in viewer.addresses:
        try:
            stream = _dial(address, context, viewer.server_name, timeout_s)
        except OSError as error:
            failures.append(f"{address}: {(error.strerror or str(error)).lower()}")
        else:
            return Control.over(stream, str(address), timeout_s)
    raise UnreachableError("; ".join(failures))


def watched(folder: StateFolder) -> "Target":
    """What the dashboard is to watch.

    Raises:
        IdentityError: the viewer's identity cannot be used.
    """
    from tui.client import TlsTarget, UnixTarget  # noqa: PLC0415 - only the dashboard needs it

    viewer = _remote(folder)
    if viewer is None:
        return UnixTarget(folder.socket)
    first = viewer.addresses[0]
    return TlsTarget(first.host, first.port, viewer_context(folder), viewer.server_name)


def _remote(folder: StateFolder) -> ViewerIdentity | None:
    return None if folder.ca_dir.exists() else load_viewer(folder)


def _dial(
    address: Address, context: ssl.SSLContext, server_name: str, timeout_s: float
) -> socket.socket:
    stream = socket.create_connection((address.host, address.port), timeout_s)
    try:
        return context.wrap_socket(stream, server_hostname=server_name)
    except OSError:
        stream.close()
        raise
