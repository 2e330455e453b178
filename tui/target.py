"""Where a master is, how a viewer reaches it, and what to say when it cannot."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, assert_never

from shared.unix_socket import short_path
from tui.credentials import Credentials

CONNECT_TIMEOUT_S: Final = 10.0
"""For the connection, and again for the greeting: a packet may be lost twice in it."""


@dataclass(frozen=True, slots=True)
class UnixTarget:
    """The master of this host, by the socket in its state folder. `path` may be of any length."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class TlsTarget:
    """A master elsewhere, and the viewer's keys for it."""

    host: str
    port: int
    credentials: Credentials
    server_name: str
    """What the master's certificate has to be for."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Target: TypeAlias = UnixTarget | TlsTarget
"""Which master to watch."""


async def opened(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to `target`, within `CONNECT_TIMEOUT_S`.

    Raises:
        OSError: it cannot be made (TLS errors and timeouts included).
        UserError: the target cannot be dialled as it is named.
    """
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        match target:
            case UnixTarget():
                with short_path(target.path) as path:
                    return await asyncio.open_unix_connection(path)
            case TlsTarget():
                return await asyncio.open_connection(
                    target.host,
                    target.port,
                    ssl=await asyncio.to_thread(target.credentials.context),
                    server_hostname=target.server_name,
                )
            case _:
                assert_never(target)


_EXPLANATIONS: Final[tuple[tuple[type[OSError], str], ...]] = (
    (FileNotFoundError, "no master runs here: {target} does not exist"),
    (ConnectionRefusedError, "nobody answers at {target}"),
    (PermissionError, "this user may not open {target}"),
    (TimeoutError, "no answer from {target}"),
    (ConnectionResetError, "the link was reset"),
    (BrokenPipeError, "the link was reset"),
    (ssl.SSLCertVerificationError, "not the expected master at {target}: {what}"),
)
"""What a person needs to know of an error, in one line: the first row that fits."""


def explained(error: OSError, target: Target) -> str:
    """Why there is no link to `target`, or no more, in a line. Not cleaned: some of it may be the
    peer's words."""
    what = error.strerror or str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        what = error.verify_message
    elif isinstance(error, ssl.SSLError) and error.reason:
        what = error.reason.replace("_", " ").lower()
    fitting = (text for kind, text in _EXPLANATIONS if isinstance(error, kind))
    template = next(fitting, "{target}: {what}")
    return template.format(target=target, what=what)
