"""What befalls the agents of a fleet that is never at rest, and when: drawn at random, the same
each time for the same seed."""

import random
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final, NamedTuple


class Kind(StrEnum):
    """What may befall an agent."""

    KILL = "kill"
    """Its process is killed: the link is reset, and dialled again."""
    LEAVE = "leave"
    """It is stopped, says goodbye, and another run of it comes back later."""
    FREEZE = "freeze"
    """It does not answer for a while, and then goes on: on the link that it has, if that is
    still there."""
    POWER_CUT = "power-cut"
    """Its host is gone without a word and back at once: a new run dials while the master still has
    the old link, which nobody closes."""
    REPLACE = "replace"
    """A new host joins the cluster, and the operator forgets this one."""


PER_H: Final[Mapping[Kind, float]] = {
    Kind.KILL: 3.0,
    Kind.LEAVE: 1.5,
    Kind.FREEZE: 1.0,
    Kind.POWER_CUT: 0.5,
    Kind.REPLACE: 0.5,
}
"""How often each befalls an agent in an hour: many times what a fleet goes through in a day."""

_LENGTH_S: Final[Mapping[Kind, tuple[float, float]]] = {
    Kind.LEAVE: (10.0, 120.0),
    Kind.FREEZE: (5.0, 90.0),
}
"""Shortest and longest; a freeze may be shorter or longer than the master's patience."""


class Blow(NamedTuple):
    """One thing that happens to one agent."""

    at_s: float
    """Since the beginning."""
    kind: Kind
    length_s: float
    """How long it lasts; 0 where that has no meaning."""
    lot: float
    """Whom it befalls: from 0 to 1, a place in the row of those that there are then."""


def blows(agents: int, factor: float, rng: random.Random) -> Iterator[Blow]:
    """What happens, in order, for ever, to so many agents; `factor` times as often as usual."""
    kinds, weights = list(PER_H), list(PER_H.values())
    per_s = sum(weights) * agents * factor / 3600
    at_s = 0.0
    while True:
        at_s += rng.expovariate(per_s)
        (kind,) = rng.choices(kinds, weights)
        length_s = rng.uniform(*_LENGTH_S[kind]) if kind in _LENGTH_S else 0.0
        yield Blow(at_s, kind, length_s, rng.random())
