"""Unsigned integers of any width packed bit by bit, highest bit first, without a loop in Python."""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Uint64: TypeAlias = NDArray[np.uint64]
Uint8: TypeAlias = NDArray[np.uint8]

_WORD_BITS: Final = 64
_DIRECT_BITS: Final = 57
"""What a word of 64 bits that begins at any byte holds of a value, whichever bit that begins at."""

_HALF_BITS: Final = 32
_EXACT_FLOAT_BITS: Final = 53


def bit_lengths(values: Uint64) -> Uint8:
    """The number of bits each value takes, 0 for 0 and 64 at most."""
    exponents = (values.astype(np.float64).view(np.uint64) >> np.uint64(52)).astype(np.int16)
    lengths = np.maximum(exponents - 1022, 0).astype(np.uint8)
    # Above 2**53 a float may have been rounded up to the next power of two.
    if values.size and int(lengths.max()) > _EXACT_FLOAT_BITS:
        leading = np.maximum(lengths, 1).astype(np.uint64) - np.uint64(1)
        lengths -= ((values >> leading) == 0) & (lengths > 0)
    return lengths


def packed(values: Uint64, widths: Uint8) -> bytes:
    """The lowest `widths` bits of each value, one after another, filled up to a whole byte."""
    wide = np.flatnonzero(widths)
    kept, width = values[wide], widths[wide].astype(np.int64)
    ends = np.cumsum(width)
    total = int(ends[-1]) if len(ends) else 0
    shifts = np.repeat(ends, width) - np.arange(1, total + 1)
    bits = np.repeat(kept, width) >> shifts.astype(np.uint64) & np.uint64(1)
    return np.packbits(bits.astype(np.uint8)).tobytes()


def unpacked(data: bytes, starts: NDArray[np.int64], widths: Uint8) -> Uint64:
    """The values of these widths whose first bits are at `starts`; 0 where the width is 0."""
    padded = np.frombuffer(data + bytes(16), dtype=np.uint8)
    if widths.size == 0 or int(widths.max()) <= _DIRECT_BITS:
        return _direct(padded, starts, widths)
    low = np.minimum(widths, _HALF_BITS).astype(np.uint8)
    high = widths - low
    upper = _direct(padded, starts, high)
    return upper << low.astype(np.uint64) | _direct(padded, starts + high, low)


def _direct(padded: Uint8, starts: NDArray[np.int64], widths: Uint8) -> Uint64:
    words = np.lib.stride_tricks.sliding_window_view(padded, 8)[starts >> 3]
    word = words.view(">u8")[..., 0].astype(np.uint64)
    left = (starts & 7).astype(np.uint64)
    # In two steps, for a shift by 64 is not defined.
    right = np.uint64(_WORD_BITS - 1) - widths
    values: Uint64 = word << left >> right >> np.uint64(1)
    return values
