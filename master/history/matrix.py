"""A table of integers as few bytes: what neighbouring values have in common is left out.

Rows are series; all have the same length, and are predicted one by one:

constant  one value throughout, at no cost beyond it
steady    each value is the one before, plus the row's usual step
level     each value is the row's median
twin      as the row above, whose own change is taken off first

What remains is small, and is written in two parts, as in Elias' gamma code: the number of bits of
each remainder, a byte each, which deflate shortens to what they really tell; and the bits behind
the leading one, as they are, for they are noise. Rows of like noise stand together in the first
part, so that deflate's tables fit them.

A value that is not known has a row of its own to say so, where some are known and some are not. In
the row itself it is the value before, which costs next to nothing.

Arithmetic is modulo 2**64 throughout: any table survives the round trip, whatever overflows.
"""

import zlib
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from master.history.bits import Uint8, Uint64, bit_lengths, packed, unpacked
from master.history.samples import ABSENT, Int64

_UNKNOWN: Final = 0
_CONSTANT: Final = 1
_STEADY: Final = 2
_LEVEL: Final = 3
_TWIN: Final = 4
_KIND_BITS: Final = 7
_PARTLY_KNOWN: Final = 8
_NOISE_SHIFT: Final = 4
_NOISIEST: Final = 15
"""A row's descriptor: its kind, whether some values are not known, and its usual remainder's bits,
by which rows are put in order."""

_RAW_DEFLATE: Final = -15
_LEVEL_OF_EFFORT: Final = 9
_SMALL_BLOCKS: Final = 4
"""zlib's memory level: tables are made anew every thousand bytes, to fit rows of other noise."""


def pack(rows: Int64) -> bytes:
    """A table as bytes. At least one column; `ABSENT` stands for what is not known."""
    known = rows != ABSENT
    filled = _filled(rows, known)
    kinds, bases, steps, remainders = _predicted(filled)
    some, every = known.any(axis=1), known.all(axis=1)
    kinds[~some] = _UNKNOWN
    partly = some & ~every
    lengths = bit_lengths(remainders)
    noise = np.minimum(np.rint(lengths.mean(axis=1)), _NOISIEST).astype(np.uint8)
    descriptors = kinds | partly * np.uint8(_PARTLY_KNOWN) | noise << _NOISE_SHIFT
    parameters = _folded(np.concatenate([bases, steps]))
    order = _order(descriptors)
    toggles = np.diff(known[partly], axis=1, prepend=True).view(np.uint8)
    values = np.concatenate([parameters, remainders[order].ravel()])
    widths = np.concatenate([bit_lengths(parameters), lengths[order].ravel()])
    deflate = zlib.compressobj(
        _LEVEL_OF_EFFORT, zlib.DEFLATED, _RAW_DEFLATE, _SMALL_BLOCKS, zlib.Z_FILTERED
    )
    told = [descriptors.tobytes(), toggles.tobytes(), widths.tobytes()]
    head = deflate.compress(b"".join(told)) + deflate.flush()
    return head + packed(values, _behind_leading_one(widths))


def unpack(data: bytes, height: int, width: int, wanted: Iterable[int]) -> Int64:
    """Rows of a table that has `height` rows and `width` columns, in the order wanted.

    Raises:
        zlib.error, ValueError: not what `pack` has written.
    """
    return _Packed(data, height, width).rows(list(wanted))


class _Packed:
    """A packed table: everything but the bits, which are read for the rows that are wanted."""

    def __init__(self, data: bytes, height: int, width: int) -> None:
        inflate = zlib.decompressobj(_RAW_DEFLATE)
        told = np.frombuffer(
            inflate.decompress(data, 3 * height + 2 * height * width + 1), np.uint8
        )
        if not inflate.eof:
            raise ValueError("a table that is longer than its shape")
        descriptors = told[:height]
        partly = np.flatnonzero(descriptors & _PARTLY_KNOWN)
        order = _order(descriptors)
        begin = height + len(partly) * width
        if len(told) != begin + 2 * height + len(order) * width:
            raise ValueError("a table that does not fit its shape")
        self._width = width
        self._kinds = descriptors & _KIND_BITS
        self._toggles = told[height:begin].reshape(-1, width)
        self._toggles_at = dict(zip(partly.tolist(), range(len(partly)), strict=True))
        self._lengths_at = dict(zip(order.tolist(), range(len(order)), strict=True))
        self._lengths = told[begin:]
        self._bits = inflate.unused_data
        widths = _behind_leading_one(self._lengths)
        self._ends = np.cumsum(widths, dtype=np.int64)
        self._starts = self._ends - widths
        parameters = _unfolded(self._read(0, 2 * height))
        self._bases, self._steps = parameters[:height], parameters[height:]
        self._first = 2 * height

    def rows(self, wanted: list[int]) -> Int64:
        result = np.empty((len(wanted), self._width), np.int64)
        for place, row in enumerate(wanted):
            result[place] = self._row(row)
            if row in self._toggles_at:
                toggles = self._toggles[self._toggles_at[row]]
                result[place, np.logical_xor.accumulate(toggles)] = ABSENT
        return result

    def _row(self, row: int) -> Int64:
        kind = self._kinds[row]
        if kind == _UNKNOWN:
            return np.full(self._width, ABSENT)
        base = self._bases[row]
        if kind == _CONSTANT:
            return np.full(self._width, base)
        begin = self._first + self._lengths_at[row] * self._width
        remainders = _unfolded(self._read(begin, begin + self._width))
        if kind == _LEVEL:
            level: Int64 = remainders + base
            return level
        changes = remainders + self._steps[row]
        changes[0] = base
        values: Int64 = np.cumsum(changes)
        return values + self._row(row - 1) if kind == _TWIN else values

    def _read(self, begin: int, end: int) -> Uint64:
        lengths = self._lengths[begin:end]
        widths = _behind_leading_one(lengths)
        behind = unpacked(self._bits, self._starts[begin:end], widths)
        return behind | (lengths > 0) * (np.uint64(1) << widths.astype(np.uint64))


def _filled(rows: Int64, known: NDArray[np.bool_]) -> Int64:
    """What is not known as the value before, or the first one known; 0 where none is."""
    holes = np.flatnonzero(~known.all(axis=1))
    if not len(holes):
        return rows
    has = known[holes]
    indices = np.arange(rows.shape[1], dtype=np.int64)
    places = np.where(has, indices, 0)
    places = np.maximum(np.maximum.accumulate(places, axis=1), has.argmax(axis=1)[:, None])
    filled = rows.copy()
    filled[holes] = np.take_along_axis(rows[holes], places, axis=1)
    filled[holes[~has.any(axis=1)]] = 0
    return filled


def _predicted(rows: Int64) -> tuple[Uint8, Int64, Int64, Uint64]:
    """Of each row the kind, base and step that leave the least, and what they leave."""
    middle = rows.shape[1] // 2
    twins = np.diff(rows, axis=0, prepend=0)
    changes, twin_changes = np.diff(rows, axis=1), np.diff(twins, axis=1)
    step = np.partition(changes, middle - 1, axis=1)[:, middle - 1] if middle else rows[:, 0] * 0
    median = np.partition(rows, middle, axis=1)[:, middle]
    zero = np.zeros((len(rows), 1), np.int64)
    remainders = _folded(
        np.stack(
            [
                np.concatenate([zero, changes - step[:, None]], axis=1),
                rows - median[:, None],
                np.concatenate([zero, twin_changes], axis=1),
            ]
        )
    )
    costs = bit_lengths(remainders).sum(axis=2, dtype=np.int64)
    costs[2, 0] = np.iinfo(np.int64).max
    best = costs.argmin(axis=0)
    all_rows = np.arange(len(rows))
    kinds = (best + _STEADY).astype(np.uint8)
    kinds[~changes.any(axis=1)] = _CONSTANT
    bases = np.stack([rows[:, 0], median, twins[:, 0]])[best, all_rows]
    steps = np.where(best == 0, step, 0)
    return kinds, bases, steps, remainders[best, all_rows]


def _order(descriptors: Uint8) -> NDArray[np.intp]:
    """The rows that have remainders, the least noisy first."""
    varying = np.flatnonzero((descriptors & _KIND_BITS) > _CONSTANT)
    return varying[np.argsort(descriptors[varying] >> _NOISE_SHIFT, kind="stable")]


def _behind_leading_one(lengths: Uint8) -> Uint8:
    return lengths - (lengths > 0)


def _folded(values: Int64) -> Uint64:
    """Signed to unsigned, small to small: 0, -1, 1, -2, 2 to 0, 1, 2, 3, 4."""
    return (values << 1 ^ values >> 63).view(np.uint64)


def _unfolded(values: Uint64) -> Int64:
    return (values >> np.uint64(1)).view(np.int64) ^ -(values & np.uint64(1)).view(np.int64)
