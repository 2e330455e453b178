"""How long to wait before dialling again: exponential, capped, with full jitter.

Full jitter (a uniform draw between the floor and the current ceiling) spreads a fleet that lost its
master at one instant evenly over the ceiling, where "equal jitter" would let it come back in waves.
See Marc Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
"""

import random
from collections.abc import Iterator
from typing import Final

FIRST_RETRY_JITTER_S: Final = 0.5
"""The first retry is immediate, spread over this: a restarted master sees its agents within a
second, and a killed agent is back inside the grace of *lost*."""

BACKOFF_FLOOR_S: Final = 0.5
"""Shortest wait after a failed dial."""

BACKOFF_CAP_S: Final = 30.0
"""Longest: how late an agent may notice that its master is back."""


def delays_s(
    rng: random.Random, *, floor_s: float = BACKOFF_FLOOR_S, cap_s: float = BACKOFF_CAP_S
) -> Iterator[float]:
    """An endless sequence of seconds to wait; start a new one after every success.

    The first is uniform in [0, 0.5]; the n-th after it is uniform in [floor, min(cap, floor·2ⁿ)].
    """
    yield rng.uniform(0.0, FIRST_RETRY_JITTER_S)
    ceiling_s = floor_s
    while True:
        ceiling_s = min(cap_s, ceiling_s * 2)
        yield rng.uniform(floor_s, ceiling_s)
