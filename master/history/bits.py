"""Unsigned integers of any width packed bit by bit, highest bit first, without a loop in Python."""

from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from master.history.samples import Int64

Uint64: TypeAlias = NDArray[np.uint64]
Uint8: TypeAlias = NDArray[np.uint8]

_WORD_BITS: Final = 64
_DIRECT_BITS: Final = 57
"""What a word of 64 bits that begins at any byte holds of a value, whichever bit that begins at."""

_HALF_BITS: Final = 32
_EXACT_FLOAT_BITS: Final = 53


def bit_lengths(values: Uint64) -> Uint8:
    """The number of bits each value takes, 0 for 0 and 64 at most."""
    exponents = values.astype(np.float64).view(np.int64)
    exponents >>= 52
    lengths = np.maximum(exponents.astype(np.int16) - 1022, 0).astype(np.uint8)
    # Above 2**53 a float may have been rounded up to the next power of two.
    if values.size and int(lengths.max()) > _EXACT_FLOAT_BITS:
        leading = np.maximum(lengths, 1).astype(np.uint64) - np.uint64(1)
        lengths -= ((values >> leading) == 0) & (lengths > 0)
    return lengths


def packed(values: Uint64, widths: Uint8, ends: Int64) -> list[bytes]:
    """The lowest `widths` bits of each value, at most 63, one after another: those up to each of
    `ends` by themselves, filled up to a whole word."""
    there = np.flatnonzero(widths != 0)
    width = widths[there].astype(np.int64)
    place_ends = np.searchsorted(there, ends)
    bit_ends = np.concatenate([np.zeros(1, np.int64), width.cumsum()])
    part_ends = bit_ends[place_ends]
    word_ends = (np.diff(part_ends, prepend=0) + _WORD_BITS - 1 >> 6).cumsum()
    # What fills up the parts before moves all that follows.
    filled = np.concatenate([np.zeros(1, np.int64), _WORD_BITS * word_ends - part_ends])
    moved = np.repeat(filled[:-1], np.diff(place_ends, prepend=0))
    words = _written(values[there], width, bit_ends[:-1] + moved, int(word_ends[-1]))
    told = words.astype(">u8").tobytes()
    return [told[8 * begin : 8 * end] for begin, end in pairwise([0, *word_ends.tolist()])]


def _written(values: Uint64, width: Int64, starts: Int64, size: int) -> Uint64:
    """So many words with the lowest bits of values at these bits, in order; no width is 0."""
    words = np.zeros(size, np.uint64)
    if not size:
        return words
    kept = values & ((np.uint64(1) << width.astype(np.uint64)) - np.uint64(1))
    word = starts >> 6
    room = _WORD_BITS - (starts & 63) - width  # behind it in its word; less than 0 if it goes on
    inside = kept << np.maximum(room, 0).astype(np.uint64) >> np.maximum(-room, 0).astype(np.uint64)
    begins = np.flatnonzero(np.concatenate([[True], word[1:] != word[:-1]]))
    words[word[begins]] = np.bitwise_or.reduceat(inside, begins)
    over = np.flatnonzero(room < 0)  # no two go on into the same word
    words[word[over] + 1] |= kept[over] << (_WORD_BITS + room[over]).astype(np.uint64)
    return words


def unpacked(data: bytes, starts: NDArray[np.int64], widths: Uint8) -> Uint64:
    """The values of these widths whose first bits are at `starts`; 0 where the width is 0."""
    # A word of 64 bits from every byte on.
    words: Uint64 = np.ndarray(len(data) + 1, ">u8", data + bytes(8), strides=(1,))
    if widths.size == 0 or int(widths.max()) <= _DIRECT_BITS:
        return _direct(words, starts, widths)
    low = np.minimum(widths, _HALF_BITS)
    high = widths - low
    upper = _direct(words, starts, high)
    return upper << low.astype(np.uint64) | _direct(words, starts + high, low)


def _direct(words: Uint64, starts: NDArray[np.int64], widths: Uint8) -> Uint64:
    word = words[starts >> 3].astype(np.uint64)
    left = (starts & 7).astype(np.uint64)
    # In two steps, for a shift by 64 is not defined.
    right = np.uint64(_WORD_BITS - 1) - widths
    values: Uint64 = word << left >> right >> np.uint64(1)
    return values
