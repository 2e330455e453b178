"""Tables become bytes (see `master.history.matrix`), many that are alike at once."""

import zlib
from itertools import pairwise
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from master.history.bits import Uint8, Uint64, bit_lengths, packed
from master.history.matrix import (
    NOISE_SHIFT,
    NOISIEST,
    PARTLY_KNOWN,
    RAW_DEFLATE,
    UNKNOWN,
    Relations,
    behind_leading_one,
    folded,
)
from master.history.prediction import Guess, predicted
from master.history.samples import ABSENT, Int64

_EFFORT: Final = 6
_SMALL_BLOCKS: Final = 4
"""zlib's memory level: tables are made anew every thousand bytes, to fit rows of other noise."""

_Number = TypeVar("_Number", np.uint8, np.uint64)


def pack(tables: Int64, relations: Relations) -> list[bytes]:
    """Each of some tables as bytes: [table, row, column], at least one of each. `ABSENT` stands for
    what is not known."""
    count, height, width = tables.shape
    rows = tables.reshape(count * height, width)
    known = rows != ABSENT
    some, every = known.any(axis=1), known.all(axis=1)
    partly = np.flatnonzero(some & ~every)
    guess = predicted(_filled(rows, known, np.flatnonzero(~every)), height, relations)
    descriptors = _descriptors(guess, some, partly)
    toggles = np.diff(known[partly], axis=1, prepend=True).view(np.uint8)
    heads = _behind_each(descriptors.reshape(count, height), toggles, _ends(partly, tables))
    lengths, bits = _numbers(guess, descriptors, tables)
    return [
        _deflated(head.tobytes() + length.tobytes()) + behind
        for head, length, behind in zip(heads, lengths, bits, strict=True)
    ]


def _numbers(guess: Guess, descriptors: Uint8, tables: Int64) -> tuple[list[Uint8], list[bytes]]:
    """Of each table how long its parameters and remainders are, and their bits."""
    count, height, _ = tables.shape
    order = _order(guess.varying // height, descriptors[guess.varying])
    ends = _ends(guess.varying, tables)
    parameters = _parameters(guess, count)
    values = _behind_each(parameters, guess.remainders[order], ends)
    lengths = _behind_each(bit_lengths(parameters), guess.lengths[order], ends)
    widths = behind_leading_one(np.concatenate(lengths))
    return lengths, packed(np.concatenate(values), widths, np.cumsum([*map(len, values)]))


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


def _descriptors(guess: Guess, some: NDArray[np.bool_], partly: NDArray[np.intp]) -> Uint8:
    """Of each row. `some` says which have a value that is known; `partly`, which have others."""
    descriptors = np.where(some, guess.kinds, np.uint8(UNKNOWN))
    descriptors[partly] |= PARTLY_KNOWN
    noise = np.minimum(np.rint(guess.costs / guess.lengths.shape[1]), NOISIEST).astype(np.uint8)
    descriptors[guess.varying] |= noise << NOISE_SHIFT
    return descriptors


def _order(table: NDArray[np.intp], descriptors: Uint8) -> NDArray[np.intp]:
    """Rows that have remainders: those of each table the least noisy first."""
    return np.argsort(table * (NOISIEST + 1) + (descriptors >> NOISE_SHIFT), kind="stable")


def _parameters(guess: Guess, count: int) -> Uint64:
    """Of each table the bases of all rows and then their steps."""
    both = np.stack([guess.bases.reshape(count, -1), guess.steps.reshape(count, -1)], axis=1)
    return folded(both.reshape(count, -1))


def _ends(rows: NDArray[np.intp], tables: Int64) -> list[int]:
    """How many of these rows there are up to the end of each table."""
    count, height, _ = tables.shape
    of_tables: Int64 = height * np.arange(1, count + 1, dtype=np.int64)
    found: NDArray[np.intp] = np.searchsorted(rows, of_tables)
    ends: list[int] = found.tolist()
    return ends


def _behind_each(
    heads: NDArray[_Number], rows: NDArray[_Number], ends: list[int]
) -> list[NDArray[_Number]]:
    """Of each table its head and, behind it, its rows, which are those up to its end."""
    return [
        np.concatenate([head, rows[begin:end].ravel()])
        for head, (begin, end) in zip(heads, pairwise([0, *ends]), strict=True)
    ]


def _deflated(told: bytes) -> bytes:
    deflate = zlib.compressobj(_EFFORT, zlib.DEFLATED, RAW_DEFLATE, _SMALL_BLOCKS, zlib.Z_FILTERED)
    return deflate.compress(told) + deflate.flush()
