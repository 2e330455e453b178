"""Renewing the agent's key in time: a new key in the free slot, a certificate for it over the link.

Nothing is given up before its successor works (`agent.identity`), so a crash anywhere is harmless.
"""

import ssl

from msgspec.structs import replace

from agent.identity import Identity, IdentityFolder, other
from agent.keys import make_key
from shared import messages as m


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
