"""Renewing the agent's key in time: a new key in the free slot, a certificate for it over the link.

Nothing is given up before its successor works (`agent.identity`), so a crash anywhere is harmless.
When to renew is drawn at random, so that hosts that joined together do not renew together.
"""

import random
import ssl
from typing import Final

from msgspec.structs import replace

from agent.identity import Identity, IdentityFolder, other
from agent.keys import make_key
from shared import messages as m

EARLIEST: Final = 0.5
LATEST: Final = 0.8
"""When to renew, as a part of the certificate's life."""

RETRY: Final = 0.05
"""How long to wait for the new certificate before asking again, as a part of the life."""

RETRY_LEAST_S: Final = 30.0
"""A master that never answers must not keep this host busy making keys."""


def delay_s(welcome: m.Welcome, rng: random.Random) -> float:
    """How long from the welcome to the renewal, by the master's clock alone."""
    age_s = welcome.certificate_life_s - welcome.certificate_remaining_s
    return max(0.0, rng.uniform(EARLIEST, LATEST) * welcome.certificate_life_s - age_s)


def retry_s(welcome: m.Welcome) -> float:
    """How long to wait for an answer to `Renew`."""
    return max(RETRY_LEAST_S, RETRY * welcome.certificate_life_s)


async def begin(folder: IdentityFolder, identity: Identity) -> m.Renew:
    """A new key, on disk in the free slot, and the request for its certificate.

    Raises:
        KeyMakingError: no key could be made.
        IdentityError: it could not be written.
    """
    key = await make_key()
    folder.save_pending_key(other(identity.slot), key.key_pem)
    return m.Renew(key.csr_der)


def complete(folder: IdentityFolder, identity: Identity, renewed: m.Renewed) -> Identity:
    """The certificate has come: the next link tries the new key.

    Raises:
        IdentityError: it could not be written, is not for the new key, or nothing was asked for;
            the old key stays in use.
    """
    slot = other(identity.slot)
    folder.fill(slot, ssl.DER_cert_to_PEM_cert(renewed.certificate_der).encode())
    trying = replace(identity, trying=slot)
    folder.save(trying)
    return trying
