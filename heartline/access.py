"""Which master a command talks to: the one of this host, or one elsewhere that it may view.

A master's own host needs no credentials: its socket is in the state folder. Where there has never
been a master, and this user has joined as a viewer, the master elsewhere is meant; and so it is
wherever a profile or an address is named.
"""

import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from heartline.control import ANSWER_S, Control, KeyRenewedError
from heartline.exits import UnreachableError
from heartline.viewer import ViewerIdentity, load_viewer
from heartline.viewer_keys import ViewerKeys
from shared.addresses import Address
from shared.errors import ConfigError, DeniedError, IdentityError
from shared.messages import Refusal
from shared.paths import StateFolder

if TYPE_CHECKING:
    from shared.settings import Settings
    from tui.target import Target

DIALS: Final = 4
"""With a renewed key, the one before it, the successor of that, and once more for a race."""


class Choice(Struct, frozen=True):
    """Whose fleet a command is about."""

    folder: StateFolder
    masters: tuple[str, ...] = ()
    """Where its masters are, as the user or a profile says; else those that were joined through."""
    is_elsewhere: bool = False
    """Not this host's own master, though there may be one."""


def choose(
    folder: StateFolder, profile: str, masters: tuple[str, ...], settings: Callable[[], "Settings"]
) -> Choice:
    """What the user has named: a profile, addresses, both or nothing.

    Raises:
        ConfigError: there is no such profile, or the settings cannot be read.
    """
    if not profile:
        return Choice(folder, masters, bool(masters))
    profiles = settings().profiles
    if profile not in profiles:
        known = ", ".join(sorted(profiles)) or "none"
        raise ConfigError(f"there is no profile {profile}; the settings have: {known}")
    return Choice(folder.profile(profile), masters or profiles[profile].master, is_elsewhere=True)


def open_control(choice: Choice, timeout_s: float = ANSWER_S) -> Control:
    """A link for asking and ordering; a viewer from elsewhere may only ask.

    Raises:
        UnreachableError: there is no master, or it cannot be reached.
        DeniedError: it does not want this viewer.
        IdentityError: the viewer's identity cannot be used.
    """
    viewer = _viewer(choice)
    if viewer is None:
        return Control.open(choice.folder, timeout_s)
    keys = ViewerKeys(choice.folder)
    for _ in range(DIALS):
        try:
            return _control(viewer, keys, timeout_s)
        except KeyRenewedError:
            continue
        except DeniedError as error:
            if error.code not in Refusal.FINAL or not keys.refused():
                raise
    raise UnreachableError("no key of this viewer is good for more than to be renewed; join again")


def watched(choice: Choice) -> "list[Target]":
    """What the dashboard is to watch: the masters of one cluster, to be dialled in turn.

    Raises:
        IdentityError: the viewer's identity cannot be used.
    """
    from tui.target import TlsTarget, UnixTarget  # noqa: PLC0415 - only the dashboard needs it

    viewer = _viewer(choice)
    if viewer is None:
        return [UnixTarget(choice.folder.socket)]
    keys = ViewerKeys(choice.folder)
    return [
        TlsTarget(address.host, address.port, keys, viewer.server_name)
        for address in viewer.addresses
    ]


def _viewer(choice: Choice) -> ViewerIdentity | None:
    if not choice.is_elsewhere and choice.folder.ca_dir.exists():
        return None
    viewer = load_viewer(choice.folder)
    if viewer is None:
        if choice.is_elsewhere:
            raise IdentityError(
                "this user has not joined that cluster as a viewer; get a token on the master with:"
                " heartline token create --role viewer, and join once: heartline top --token FILE,"
                " with the same --profile or --master"
            )
        return None
    return replace(viewer, masters=choice.masters) if choice.masters else viewer


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
