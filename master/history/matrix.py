"""A table of integers as few bytes: what neighbouring values have in common is left out.

Rows are series; all have the same length, and each is predicted in the way that leaves the least:

straight  its first value, plus its usual step each time; nothing is left
steady    each value is the one before, plus the row's usual step
level     each value is the row's median
related   as steady, after what other rows tell of it, as the caller knows, was taken off

What is left is small, and is written in two parts, as in Elias' gamma code: the number of bits of
each remainder, a byte each, which deflate shortens to what they really tell; and the bits behind
the leading one, as they are, for they are noise. Rows of like noise stand together in the first
part, so that deflate's tables fit them.

A value that is not known has a row of its own to say so, where some are known and some are not. In
the row itself it is the value before, which costs next to nothing.

Arithmetic is modulo 2**64 throughout: any table survives the round trip, whatever overflows.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from master.history.bits import Uint8, Uint64, unpacked
from master.history.samples import ABSENT, Int64


@dataclass(frozen=True)
class Relation:
    """What a row may be told from: the sum of other rows, or that sum's share of one."""

    parts: tuple[tuple[int, int], ...]
    """Rows and their factors."""
    share_of: int | None = None
    """A row: the sum is divided by it, in basis points."""


Relations: TypeAlias = Mapping[int, Relation]
"""By row. A table is read with the relations it was written with. No row leads back to itself."""


UNKNOWN: Final = 0
STRAIGHT: Final = 1
STEADY: Final = 2
LEVEL: Final = 3
RELATED: Final = 4
KIND_BITS: Final = 7
PARTLY_KNOWN: Final = 8
NOISE_SHIFT: Final = 4
NOISIEST: Final = 15
"""A row's descriptor: its kind, whether some values are not known, and its usual remainder's bits,
by which rows are put in order."""

RAW_DEFLATE: Final = -15

_BASIS_POINTS: Final = 10_000


class Table:
    """A packed table, of which rows are read as they are wanted."""

    def __init__(self, data: bytes, height: int, width: int, relations: Relations) -> None:
        """The height and width are those of the table that was packed.

        Raises:
            zlib.error, ValueError: not what `pack` has written.
        """
        inflate = zlib.decompressobj(RAW_DEFLATE)
        longest = 3 * height + 2 * height * width
        told = np.frombuffer(inflate.decompress(data, longest + 1), np.uint8)
        descriptors = told[:height]
        partly = np.flatnonzero(descriptors & PARTLY_KNOWN)
        order = _order(descriptors)
        toggles_end = height + len(partly) * width
        begin = toggles_end + 2 * height
        if not inflate.eof or len(told) != begin + len(order) * width:
            raise ValueError("a table that does not fit its shape")
        self._relations = relations
        self._kinds = descriptors & KIND_BITS
        self._related = frozenset[int](np.flatnonzero(self._kinds == RELATED).tolist())
        self._known_at = np.full(height, -1)
        self._known_at[partly] = np.arange(len(partly))
        self._toggles = told[height:toggles_end].reshape(-1, width)
        self._place = np.full(height, -1)
        self._place[order] = np.arange(len(order))
        self._lengths = told[begin:].reshape(-1, width)
        self._bits = inflate.unused_data
        self._parameters = told[toggles_end:begin].reshape(2, height)  # bases, steps
        widths = behind_leading_one(told[toggles_end:begin]).astype(np.int64)
        ends = widths.cumsum()
        self._parameter_starts = (ends - widths).reshape(2, height)
        row_bits: Int64 = behind_leading_one(self._lengths).sum(axis=1, dtype=np.int64)
        self._starts = ends[-1:] + row_bits.cumsum() - row_bits

    def rows(self, wanted: Sequence[int]) -> Int64:
        """These rows, in this order."""
        chosen = np.array(wanted, dtype=np.int64)
        result = self._filled(wanted)
        for place in np.flatnonzero(self._known_at[chosen] >= 0).tolist():
            toggles = self._toggles[self._known_at[chosen[place]]]
            result[place, np.logical_xor.accumulate(toggles)] = ABSENT
        result[self._kinds[chosen] == UNKNOWN] = ABSENT
        return result

    def _filled(self, wanted: Sequence[int]) -> Int64:
        """Rows of which nothing is absent."""
        needed = self._with_tellers(wanted)
        values = self._own(np.array(needed, dtype=np.int64))
        rows = dict(zip(needed, values, strict=True))
        for row in needed:
            if row in self._related:
                rows[row] += told(self._relations[row], rows)
        places = {row: place for place, row in enumerate(needed)}
        filled: Int64 = values[[places[row] for row in wanted]]
        return filled

    def _with_tellers(self, wanted: Sequence[int]) -> list[int]:
        """Each of these rows once, behind those that tell of it."""
        needed = dict[int, None]()

        def need(row: int) -> None:
            if row not in needed:
                if row in self._related:
                    for other in rows_of(self._relations[row]):
                        need(other)
                needed[row] = None

        for row in wanted:
            need(row)
        return list(needed)

    def _own(self, chosen: Int64) -> Int64:
        """What is written of each row: all of it, save what others tell. Nothing is absent."""
        kinds, places = self._kinds[chosen], self._place[chosen]
        has = np.flatnonzero(places >= 0)
        lengths = self._lengths[places[has]]
        widths = behind_leading_one(lengths)
        ends: Int64 = widths.cumsum(axis=1, dtype=np.int64) + self._starts[places[has], None]
        starts: Int64 = ends - widths
        read = self._read(
            np.concatenate([self._parameters[:, chosen].ravel(), lengths.ravel()]),
            np.concatenate([self._parameter_starts[:, chosen].ravel(), starts.ravel()]),
        )
        bases, steps = read[: len(chosen)], read[len(chosen) : 2 * len(chosen)]
        changes = np.zeros((len(chosen), lengths.shape[1]), np.int64)
        changes[has] = read[2 * len(chosen) :].reshape(lengths.shape)
        level = kinds == LEVEL
        around = changes[level] + bases[level, None]
        changes += steps[:, None]
        changes[:, 0] = bases
        values: Int64 = changes.cumsum(axis=1)
        values[level] = around
        return values

    def _read(self, lengths: Uint8, starts: Int64) -> Int64:
        """The values of these lengths, behind whose leading ones are the bits at `starts`."""
        widths = behind_leading_one(lengths)
        behind = unpacked(self._bits, starts, widths)
        return unfolded(behind | (lengths > 0) * (np.uint64(1) << widths.astype(np.uint64)))


def rows_of(relation: Relation) -> list[int]:
    """Those that tell of another."""
    rows = [row for row, _ in relation.parts]
    return rows if relation.share_of is None else [*rows, relation.share_of]


def told(relation: Relation, rows: Mapping[int, Int64]) -> Int64:
    """What a relation says of a row, of whatever values and shape: modulo 2**64."""
    total = np.zeros_like(rows[relation.parts[0][0]])
    for row, factor in relation.parts:
        total += factor * rows[row]
    if relation.share_of is None:
        return total
    whole = rows[relation.share_of]
    return total * _BASIS_POINTS // np.where(whole > 0, whole, 1)


def behind_leading_one(lengths: Uint8) -> Uint8:
    """How many bits of each value are written as they are."""
    return lengths - (lengths > 0)


def _order(descriptors: Uint8) -> NDArray[np.intp]:
    """The rows that have remainders, the least noisy first."""
    varying = np.flatnonzero((descriptors & KIND_BITS) > STRAIGHT)
    return varying[np.argsort(descriptors[varying] >> NOISE_SHIFT, kind="stable")]


def folded(values: Int64) -> Uint64:
    """Signed to unsigned, small to small: 0, -1, 1, -2, 2 to 0, 1, 2, 3, 4."""
    result = values << 1
    result ^= values >> 63
    return result.view(np.uint64)


def unfolded(values: Uint64) -> Int64:
    """What `folded` was given."""
    return (values >> np.uint64(1)).view(np.int64) ^ -(values & np.uint64(1)).view(np.int64)
