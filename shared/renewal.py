"""When to renew a certificate: drawn at random, so that those who joined together do not renew
together, and by the master's clock alone."""

import random
from typing import Final

from shared.messages import ViewerWelcome, Welcome

EARLIEST: Final = 0.5
LATEST: Final = 0.8
"""When to renew, as a part of the certificate's life."""

RETRY: Final = 0.05
"""How long to wait for the new certificate before asking again, as a part of the life."""

RETRY_LEAST_S: Final = 30.0
"""A master that never answers must not keep a host busy making keys."""


def renewal_due_in_s(welcome: Welcome | ViewerWelcome, rng: random.Random) -> float:
    """How long from the welcome to the renewal."""
    age_s = welcome.certificate_life_s - welcome.certificate_remaining_s
    return max(0.0, rng.uniform(EARLIEST, LATEST) * welcome.certificate_life_s - age_s)


def renewal_retry_s(welcome: Welcome | ViewerWelcome) -> float:
    """How long to wait for an answer to `Renew`."""
    return max(RETRY_LEAST_S, RETRY * welcome.certificate_life_s)
