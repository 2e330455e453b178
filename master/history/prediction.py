"""How each row of a table is predicted (see `master.history.matrix`), of many tables at once.

What costs is a call of numpy far more than a number in it, while tables are as small as what one
node takes in five minutes. So tables that are alike are looked at together: their rows stand one
after another, and are a table of their own.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from master.history.bits import Uint8, Uint64, bit_lengths
from master.history.matrix import (
    LEVEL,
    RELATED,
    STEADY,
    STRAIGHT,
    Relations,
    folded,
    rows_of,
    told,
)
from master.history.samples import Int64


@dataclass(frozen=True, eq=False)
class Guess:
    """How each row is predicted, and what that leaves."""

    kinds: Uint8
    bases: Int64
    steps: Int64
    varying: NDArray[np.intp]
    """The rows that are not straight; the next are of these."""
    remainders: Uint64
    """[place in varying, column]"""
    lengths: Uint8
    """How many bits each remainder takes."""
    costs: Int64
    """How many all of a row take."""


def predicted(rows: Int64, height: int, relations: Relations) -> Guess:
    """How to predict the rows of some tables, each of so many rows. Nothing is absent."""
    kinds = np.full(len(rows), STRAIGHT, np.uint8)
    bases, steps = rows[:, 0].copy(), np.zeros(len(rows), np.int64)
    changes = _changes(rows)
    moving = np.flatnonzero((changes != 0).sum(axis=1, dtype=np.int32) * 2 >= rows.shape[1])
    if len(moving):  # where most stands still the usual step is 0
        steps[moving] = _median(changes[moving, 1:])
        changes[:, 1:] -= steps[:, None]
    varying = np.flatnonzero(changes.any(axis=1))
    kinds[varying] = STEADY
    best = _measured(changes[varying])

    def prefer(kind: int, places: NDArray[np.intp], differences: Int64, new_bases: Int64) -> None:
        """Takes other differences, of the varying rows at these places, where they cost less."""
        other = _measured(differences)
        better = np.flatnonzero(other.costs < best.costs[places])
        replaced = places[better]
        best.remainders[replaced] = other.remainders[better]
        best.lengths[replaced] = other.lengths[better]
        best.costs[replaced] = other.costs[better]
        changed = varying[replaced]
        kinds[changed], bases[changed], steps[changed] = kind, new_bases[better], 0

    chosen = rows[varying]
    medians = _median(chosen)
    prefer(LEVEL, np.arange(len(varying)), chosen - medians[:, None], medians)
    related, told_of = _told_of(rows, varying, height, relations)
    own = chosen[related] - told_of
    prefer(RELATED, related, _changes(own), own[:, 0])
    return Guess(kinds, bases, steps, varying, *best)


class _Measured(NamedTuple):
    """As in `Guess`."""

    remainders: Uint64
    lengths: Uint8
    costs: Int64


def _measured(differences: Int64) -> _Measured:
    remainders = folded(differences)
    lengths = bit_lengths(remainders)
    return _Measured(remainders, lengths, lengths.sum(axis=1, dtype=np.int64))


def _told_of(
    rows: Int64, varying: NDArray[np.intp], height: int, relations: Relations
) -> tuple[NDArray[np.intp], Int64]:
    """Which of the varying rows other rows of their tables tell of, and what they tell."""
    places, found = [np.empty(0, np.intp)], [np.empty((0, rows.shape[1]), np.int64)]
    row_of = varying % height
    for row, relation in relations.items():
        related = np.flatnonzero(row_of == row)
        firsts = varying[related] - row
        places.append(related)
        found.append(told(relation, {other: rows[firsts + other] for other in rows_of(relation)}))
    return np.concatenate(places), np.concatenate(found)


def _changes(rows: Int64) -> Int64:
    """From each value to the next; 0 for the first."""
    changes = np.empty_like(rows)
    changes[:, 0] = 0
    np.subtract(rows[:, 1:], rows[:, :-1], out=changes[:, 1:])
    return changes


def _median(rows: Int64) -> Int64:
    middle = rows.shape[1] // 2
    medians: Int64 = np.partition(rows, middle, axis=1)[:, middle]
    return medians
