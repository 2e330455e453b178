"""Flapping: a node that comes and goes. A penalty per recovery that decays, with hysteresis.

It silences notifications, not detection: states and events go on as they are.
"""

import math
from typing import Final

from msgspec import Struct

HALF_LIFE_S: Final = 300.0
BEGINS_AT: Final = 3.0
ENDS_AT: Final = 1.0

_ROUNDING_S: Final = 0.001
"""So that the penalty has surely decayed by the time that was computed from it."""


class Flapping(Struct, frozen=True, gc=False):
    """A node's penalty as it stood at `at_s`, and whether the node counts as flapping."""

    penalty: float = 0.0
    at_s: float = 0.0
    is_on: bool = False


def recovered(flapping: Flapping, now_s: float) -> Flapping:
    """The node has come back once more."""
    penalty = penalty_at(flapping, now_s) + 1.0
    return Flapping(penalty, now_s, is_on=flapping.is_on or penalty >= BEGINS_AT)


def settled(flapping: Flapping, now_s: float) -> Flapping:
    """The same node, looked at again: flapping ends when the penalty has decayed."""
    if flapping.is_on and penalty_at(flapping, now_s) <= ENDS_AT:
        return Flapping(penalty_at(flapping, now_s), now_s)
    return flapping


def ends_s(flapping: Flapping) -> float:
    """When `settled` will find that the flapping has ended; infinity when there is none."""
    if not flapping.is_on:
        return math.inf
    return flapping.at_s + HALF_LIFE_S * math.log2(flapping.penalty / ENDS_AT) + _ROUNDING_S


def penalty_at(flapping: Flapping, now_s: float) -> float:
    """Halved for every five minutes."""
    return float(flapping.penalty * 0.5 ** ((now_s - flapping.at_s) / HALF_LIFE_S))
