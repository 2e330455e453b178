"""Numbers that look random and are not: pure functions of their keys.

The same keys give the same number in every process and on every machine, at any time and in any
order, so nothing has to be remembered from one instant to the next.
"""

import math
from typing import Final

_MASK: Final = 2**64 - 1


def scramble(*keys: int) -> int:
    """64 bits that depend on every bit of the keys (splitmix64, once for each)."""
    state = 0
    for key in keys:
        state = (state + key + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def unit(*keys: int) -> float:
    """From 0 to 1, evenly; 1 excluded."""
    return (scramble(*keys) >> 11) * 2.0**-53


def drift(key: int, at_s: float, period_s: float) -> float:
    """Wanders smoothly from 0 to 1 as time goes by, another way every `period_s`."""
    place = at_s / period_s
    step = math.floor(place)
    before, after = unit(key, step), unit(key, step + 1)
    part = place - step
    return before + (after - before) * part * part * (3 - 2 * part)


def swing(key: int, at_s: float, period_s: float) -> float:
    """The same from -1 to 1."""
    return 2 * drift(key, at_s, period_s) - 1
