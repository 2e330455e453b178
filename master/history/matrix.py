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

from master.history.bits import Uint8, Uint64, bit_lengths, packed, unpacked
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


_UNKNOWN: Final = 0
_STRAIGHT: Final = 1
_STEADY: Final = 2
_LEVEL: Final = 3
_RELATED: Final = 4
_KIND_BITS: Final = 7
_PARTLY_KNOWN: Final = 8
_NOISE_SHIFT: Final = 4
_NOISIEST: Final = 15
"""A row's descriptor: its kind, whether some values are not known, and its usual remainder's bits,
by which rows are put in order."""

_BASIS_POINTS: Final = 10_000

_RAW_DEFLATE: Final = -15
_EFFORT: Final = 6
_SMALL_BLOCKS: Final = 4
"""zlib's memory level: tables are made anew every thousand bytes, to fit rows of other noise."""


def pack(rows: Int64, relations: Relations) -> bytes:
    """A table as bytes. At least one column; `ABSENT` stands for what is not known."""
    known = rows != ABSENT
    some, every = known.any(axis=1), known.all(axis=1)
    guess = _predicted(_filled(rows, known, np.flatnonzero(~every)), relations)
    descriptors = np.where(some, guess.kinds, _UNKNOWN).astype(np.uint8)
    descriptors |= (some & ~every) * np.uint8(_PARTLY_KNOWN)
    lengths = bit_lengths(guess.remainders)
    noise = np.minimum(np.rint(lengths.mean(axis=1)), _NOISIEST).astype(np.uint8)
    descriptors[guess.varying] |= noise << _NOISE_SHIFT
    order = np.searchsorted(guess.varying, _order(descriptors))
    parameters = _folded(np.concatenate([guess.bases, guess.steps]))
    widths = np.concatenate([bit_lengths(parameters), lengths[order].ravel()])
    toggles = np.diff(known[some & ~every], axis=1, prepend=True)
    deflate = zlib.compressobj(_EFFORT, zlib.DEFLATED, _RAW_DEFLATE, _SMALL_BLOCKS, zlib.Z_FILTERED)
    told = descriptors.tobytes() + toggles.tobytes() + widths.tobytes()
    values = np.concatenate([parameters, guess.remainders[order].ravel()])
    behind = packed(values, _behind_leading_one(widths))
    return deflate.compress(told) + deflate.flush() + behind


class Table:
    """A packed table, of which rows are read as they are wanted."""

    def __init__(self, data: bytes, height: int, width: int, relations: Relations) -> None:
        """The height and width are those of the table that was packed.

        Raises:
            zlib.error, ValueError: not what `pack` has written.
        """
        inflate = zlib.decompressobj(_RAW_DEFLATE)
        longest = 3 * height + 2 * height * width
        told = np.frombuffer(inflate.decompress(data, longest + 1), np.uint8)
        descriptors = told[:height]
        partly = np.flatnonzero(descriptors & _PARTLY_KNOWN)
        order = _order(descriptors)
        toggles_end = height + len(partly) * width
        begin = toggles_end + 2 * height
        if not inflate.eof or len(told) != begin + len(order) * width:
            raise ValueError("a table that does not fit its shape")
        self._relations = relations
        self._kinds = descriptors & _KIND_BITS
        self._known_at = np.full(height, -1)
        self._known_at[partly] = np.arange(len(partly))
        self._toggles = told[height:toggles_end].reshape(-1, width)
        self._place = np.full(height, -1)
        self._place[order] = np.arange(len(order))
        self._lengths = told[begin:].reshape(-1, width)
        self._bits = inflate.unused_data
        self._parameters = told[toggles_end:begin].reshape(2, height)  # bases, steps
        widths = _behind_leading_one(told[toggles_end:begin]).astype(np.int64)
        ends = widths.cumsum()
        self._parameter_starts = (ends - widths).reshape(2, height)
        row_bits: Int64 = _behind_leading_one(self._lengths).sum(axis=1, dtype=np.int64)
        self._starts = ends[-1:] + row_bits.cumsum() - row_bits

    def rows(self, wanted: Sequence[int]) -> Int64:
        """These rows, in this order."""
        chosen = np.array(wanted, dtype=np.int64)
        result = self._filled(chosen)
        for place in np.flatnonzero(self._known_at[chosen] >= 0).tolist():
            toggles = self._toggles[self._known_at[chosen[place]]]
            result[place, np.logical_xor.accumulate(toggles)] = ABSENT
        result[self._kinds[chosen] == _UNKNOWN] = ABSENT
        return result

    def _filled(self, chosen: Int64) -> Int64:
        """Rows of which nothing is absent."""
        kinds, places = self._kinds[chosen], self._place[chosen]
        has = np.flatnonzero(places >= 0)
        lengths = self._lengths[places[has]]
        widths = _behind_leading_one(lengths)
        ends: Int64 = widths.cumsum(axis=1, dtype=np.int64) + self._starts[places[has], None]
        starts: Int64 = ends - widths
        read = self._read(
            np.concatenate([self._parameters[:, chosen].ravel(), lengths.ravel()]),
            np.concatenate([self._parameter_starts[:, chosen].ravel(), starts.ravel()]),
        )
        bases, steps = read[: len(chosen)], read[len(chosen) : 2 * len(chosen)]
        changes = np.zeros((len(chosen), lengths.shape[1]), np.int64)
        changes[has] = read[2 * len(chosen) :].reshape(lengths.shape)
        level = kinds == _LEVEL
        around = changes[level] + bases[level, None]
        changes += steps[:, None]
        changes[:, 0] = bases
        values: Int64 = changes.cumsum(axis=1)
        values[level] = around
        for place in np.flatnonzero(kinds == _RELATED).tolist():
            relation = self._relations[int(chosen[place])]
            rows = _rows_of(relation)
            others = dict(zip(rows, self._filled(np.array(rows, dtype=np.int64)), strict=True))
            values[place] += _told(relation, others)
        return values

    def _read(self, lengths: Uint8, starts: Int64) -> Int64:
        """The values of these lengths, behind whose leading ones are the bits at `starts`."""
        widths = _behind_leading_one(lengths)
        behind = unpacked(self._bits, starts, widths)
        return _unfolded(behind | (lengths > 0) * (np.uint64(1) << widths.astype(np.uint64)))


def _filled(rows: Int64, known: NDArray[np.bool_], holed: NDArray[np.intp]) -> Int64:
    """What is not known as the value before, or the first one known; 0 where none is."""
    if not len(holed):
        return rows
    has = known[holed]
    places = np.where(has, np.arange(rows.shape[1], dtype=np.int64), 0)
    places = np.maximum(np.maximum.accumulate(places, axis=1), has.argmax(axis=1)[:, None])
    filled = rows.copy()
    filled[holed] = np.take_along_axis(rows[holed], places, axis=1)
    filled[holed[~has.any(axis=1)]] = 0
    return filled


@dataclass(frozen=True, eq=False)
class _Guess:
    """How each row is predicted, and what that leaves."""

    kinds: Uint8
    bases: Int64
    steps: Int64
    varying: NDArray[np.intp]
    """The rows that are not straight."""
    remainders: Uint64
    """[place in varying, column]"""


def _predicted(rows: Int64, relations: Relations) -> _Guess:
    kinds = np.full(len(rows), _STRAIGHT, np.uint8)
    bases, steps = rows[:, 0].copy(), np.zeros(len(rows), np.int64)
    changes = _changes(rows)
    moving = np.flatnonzero(np.count_nonzero(changes, axis=1) * 2 >= rows.shape[1])
    if len(moving):  # where most stands still the usual step is 0
        steps[moving] = _median(changes[moving, 1:])
        changes[moving, 1:] -= steps[moving, None]
    varying = np.flatnonzero(changes.any(axis=1))
    remainders = _folded(changes[varying])
    costs = _costs(remainders)

    def prefer(kind: int, places: NDArray[np.intp], others: Uint64, new_bases: Int64) -> None:
        """Takes the other remainders, of the varying rows at these places, where they are less."""
        other_costs = _costs(others)
        better = np.flatnonzero(other_costs < costs[places])
        changed = places[better]
        remainders[changed], costs[changed] = others[better], other_costs[better]
        kinds[varying[changed]] = kind
        bases[varying[changed]], steps[varying[changed]] = new_bases[better], 0

    kinds[varying] = _STEADY
    chosen = rows[varying]
    medians = _median(chosen)
    prefer(_LEVEL, np.arange(len(varying)), _folded(chosen - medians[:, None]), medians)
    related = np.flatnonzero(np.isin(varying, list(relations)))
    own = chosen[related]
    for place, row in enumerate(varying[related].tolist()):
        own[place] -= _told(relations[row], rows)
    prefer(_RELATED, related, _folded(_changes(own)), own[:, 0])
    return _Guess(kinds, bases, steps, varying, remainders)


def _rows_of(relation: Relation) -> list[int]:
    rows = [row for row, _ in relation.parts]
    return rows if relation.share_of is None else [*rows, relation.share_of]


def _told(relation: Relation, rows: Mapping[int, Int64] | Int64) -> Int64:
    """What a relation says of a row: modulo 2**64, and of whatever values."""
    total = np.zeros_like(rows[relation.parts[0][0]])
    for row, factor in relation.parts:
        total += factor * rows[row]
    if relation.share_of is None:
        return total
    whole = rows[relation.share_of]
    return total * _BASIS_POINTS // np.where(whole > 0, whole, 1)


def _changes(rows: Int64) -> Int64:
    """From each value to the next; 0 for the first."""
    changes = np.zeros_like(rows)
    np.subtract(rows[:, 1:], rows[:, :-1], out=changes[:, 1:])
    return changes


def _costs(remainders: Uint64) -> Int64:
    """Of each row, the bits that its remainders take."""
    costs: Int64 = bit_lengths(remainders).sum(axis=1, dtype=np.int64)
    return costs


def _median(rows: Int64) -> Int64:
    middle = rows.shape[1] // 2
    medians: Int64 = np.partition(rows, middle, axis=1)[:, middle]
    return medians


def _order(descriptors: Uint8) -> NDArray[np.intp]:
    """The rows that have remainders, the least noisy first."""
    varying = np.flatnonzero((descriptors & _KIND_BITS) > _STRAIGHT)
    return varying[np.argsort(descriptors[varying] >> _NOISE_SHIFT, kind="stable")]


def _behind_leading_one(lengths: Uint8) -> Uint8:
    return lengths - (lengths > 0)


def _folded(values: Int64) -> Uint64:
    """Signed to unsigned, small to small: 0, -1, 1, -2, 2 to 0, 1, 2, 3, 4."""
    return (values << 1 ^ values >> 63).view(np.uint64)


def _unfolded(values: Uint64) -> Int64:
    return (values >> np.uint64(1)).view(np.int64) ^ -(values & np.uint64(1)).view(np.int64)
