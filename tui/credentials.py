"""The key that a viewer elsewhere shows, and its renewal while the dashboard runs.

Where keys are kept is not the dashboard's business: whoever names the target gives `Credentials`.
They are asked in a thread where they may take a moment, so that the screen never waits for them.
"""

import asyncio
import contextlib
import math
import random
import ssl
from typing import Protocol

from shared import messages as m
from shared.errors import UserError
from shared.renewal import renewal_due_in_s, renewal_retry_s


class Credentials(Protocol):
    """A viewer's keys. What cannot be read or written is a `UserError`."""

    def context(self) -> ssl.SSLContext:
        """TLS with the newest key and the fleet's CA."""
        ...

    def welcomed(self) -> None:
        """A master has welcomed the key that was dialled with last."""
        ...

    def refused(self) -> bool:
        """A master wants that key no more; whether there is another one."""
        ...

    def request(self) -> bytes:
        """A new key, and the certificate request for it (DER)."""
        ...

    def renewed(self, certificate_der: bytes) -> None:
        """The certificate for the new key: it is dialled with next."""
        ...


class Renewal:
    """Renews the certificate behind one link, in time. Without credentials, never."""

    def __init__(self, credentials: Credentials | None, rng: random.Random) -> None:
        self.due_s = math.inf
        """When to ask for a new certificate, on the loop's clock."""
        self._credentials = credentials
        self._rng = rng
        self._retry_s = math.inf

    def welcomed(self, welcome: m.ViewerWelcome, now_s: float) -> None:
        """The link is established: the certificate lasts for as long as the master says."""
        if self._credentials is None or not welcome.certificate_life_s:
            return
        self._credentials.welcomed()
        self.due_s = now_s + renewal_due_in_s(welcome, self._rng)
        self._retry_s = renewal_retry_s(welcome)

    def demanded(self, now_s: float) -> None:
        """The certificate has expired: the master wants it renewed before anything else."""
        self.due_s = now_s

    async def request(self, now_s: float) -> m.Renew | None:
        """What to ask the master now; None where no key can be made, until the next time."""
        self.due_s = now_s + self._retry_s
        if self._credentials is None:
            return None
        with contextlib.suppress(UserError):
            return m.Renew(await asyncio.to_thread(self._credentials.request))
        return None

    def take(self, renewed: m.Renewed) -> None:
        """The certificate has come. Raises UserError when it cannot be kept."""
        if self._credentials is not None:
            self._credentials.renewed(renewed.certificate_der)
            self.due_s = math.inf
