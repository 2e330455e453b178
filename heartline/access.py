"""Which master a command talks to: the one of this host, or the one elsewhere that it may view.

A master's own host needs no credentials: its socket is in the state folder. Where there has never
been a master, and this user has joined as a viewer, the master elsewhere is meant.
"""

import socket
import ssl
from typing import TYPE_CHECKING, Final

from heartline.control import ANSWER_S, Control, KeyRenewedError
from heartline.exits import UnreachableError
from heartline.viewer import ViewerIdentity, load_viewer
from heartline.viewer_keys import ViewerKeys
from shared.addresses import Address
from shared.errors import DeniedError
from shared.messages import Refusal
from shared.paths import StateFolder

if TYPE_CHECKING:
    from tui.client import Target

DIALS: Final = 4
"""With a renewed key, the one before it, the successor of that, and once more for a race."""


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
    keys = ViewerKeys(folder)
    for _ in range(DIALS):
        try:
            return _control(viewer, keys, timeout_s)
        except KeyRenewedError:
            continue
        except DeniedError as error:
            if error.code not in Refusal.FINAL or not keys.refused():
                raise
    raise UnreachableError("no key of this viewer is good for more than to be renewed; join again")


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
    return TlsTarget(first.host, first.port, ViewerKeys(folder), viewer.server_name)


def _remote(folder: StateFolder) -> ViewerIdentity | None:
    return None if folder.ca_dir.exists() else load_viewer(folder)


def _control(viewer: ViewerIdentity, keys: ViewerKeys, timeout_s: float) -> Control:
    context = keys.context()
    failures: list[str] = []
    for address in viewer.addresses:
        try:
            stream = _dial(address, context, viewer.server_name, timeout_s)
        except OSError as error:
            failures.append(f"{address}: {(error.strerror or str(error)).lower()}")
        else:
            return Control.over(stream, str(address), timeout_s, keys)
    raise UnreachableError("; ".join(failures))


def _dial(
    address: Address, context: ssl.SSLContext, server_name: str, timeout_s: float
) -> socket.socket:
    stream = socket.create_connection((address.host, address.port), timeout_s)
    try:
        return context.wrap_socket(stream, server_hostname=server_name)
    except OSError:
        stream.close()
        raise
