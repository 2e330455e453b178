"""A connection to a master, verified as the agent on this host would; nothing is said over it."""

import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from agent.identity import Identity, IdentityFolder
from shared.addresses import Address
from shared.paths import StateFolder
from shared.tls import client_context, newcomer_context

CONNECT_S: Final = 3.0
"""Long enough for two lost packets, short enough to wait for."""


@contextmanager
def dialled(
    folder: StateFolder, identity: Identity | None, address: Address
) -> Generator[ssl.SSLSocket]:
    """A link to what listens at `address`; without an identity, whoever that is.

    Raises:
        IdentityError: the identity cannot be used.
        OSError: nothing answers there, or, as `ssl.SSLError`, not as a master of the cluster.
    """
    if identity is None:
        context, server_name = newcomer_context(), None
    else:
        place = IdentityFolder(folder)
        context = client_context(place.ca_pem(), place.slot(identity.slot))
        server_name = identity.server_name
    with (
        socket.create_connection((address.host, address.port), CONNECT_S) as sock,
        context.wrap_socket(sock, server_hostname=server_name) as stream,
    ):
        yield stream
