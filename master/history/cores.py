"""Core samples in MessagePack as rows of an array, without an object for every number.

Those in the journal were encoded by the master (`master.ingest.clean_core`): as many numbers as
`Core` has metrics, each None or not negative. They are read side by side, one metric of all of them
after another. Whatever looks otherwise is decoded by itself: samples of an older version, samples
without values, damage.
"""

import logging
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from master.history.bits import Uint64
from master.history.samples import ABSENT, Int64
from shared.metrics import LARGEST, Core, metrics

_WIDTH: Final = len(metrics())
_HEAD: Final = msgspec.msgpack.encode([None] * _WIDTH)[:-_WIDTH]

_WORD_BYTES: Final = 8
_LONGEST_BYTES: Final = 1 + _WORD_BYTES
"""What a number takes at most, its kind included."""

_NIL: Final = 0xC0
_FIRST_UINT: Final = 0xCC
"""Kinds that a number of 1, 2, 4 and 8 bytes follows are this one and the next three; all below
0x80 are the number itself."""

_AT_ONCE: Final = 2048
"""Samples that are read side by side."""

_CORE: Final = msgspec.msgpack.Decoder(Core | None)
_NOTHING: Final = Core()

_log: Final = logging.getLogger(__name__)


def _kinds() -> tuple[Int64, Uint64, Uint64]:
    """Of each first byte: how many bytes its number takes in all, or 0 if it is no number; which
    bits of the eight bytes that end there are the number; which are set besides."""
    sizes, bits, marks = np.zeros(256, np.int64), np.zeros(256, np.uint64), np.zeros(256, np.uint64)
    sizes[:0x80], bits[:0x80] = 1, 0x7F
    sizes[_NIL], marks[_NIL] = 1, np.int64(ABSENT).view(np.uint64)
    for place, size in enumerate((1, 2, 4, 8)):
        sizes[_FIRST_UINT + place], bits[_FIRST_UINT + place] = 1 + size, 2 ** (8 * size) - 1
    return sizes, bits, marks


_SIZES, _BITS, _MARKS = _kinds()
_IS_NUMBER: Final = _SIZES > 0


def values_of(cores: Sequence[bytes]) -> Int64:
    """[sample, metric] in the order of `Core`; `ABSENT` where not known, and throughout for what
    cannot be read."""
    values = np.empty((_WIDTH, len(cores)), np.int64)
    for begin in range(0, len(cores), _AT_ONCE):
        part = cores[begin : begin + _AT_ONCE]
        _read(part, values[:, begin : begin + len(part)])
    return values.T


def _read(cores: Sequence[bytes], into: Int64) -> None:
    """Writes [metric, sample]."""
    # With so much behind them that no number is looked for outside, wherever damage leads.
    data = bytes(_WORD_BYTES) + b"".join(cores) + bytes(_LONGEST_BYTES * (_WIDTH + 1))
    octets = np.frombuffer(data, np.uint8)
    # A word of 64 bits from every byte on.
    words: Uint64 = np.ndarray(len(data) - _WORD_BYTES + 1, ">u8", data, strides=(1,))
    lengths = np.array([len(core) for core in cores], np.int64)
    ends = _WORD_BYTES + lengths.cumsum()
    at = ends - lengths + len(_HEAD)
    is_read = np.ones(len(cores), np.bool_)
    for values in into:
        kinds = octets[at].astype(np.intp)  # once: each table would do it
        at = at + _SIZES[kinds]
        numbers = words[at - _WORD_BYTES].astype(np.uint64) & _BITS[kinds]
        is_read &= _IS_NUMBER[kinds] & (numbers <= LARGEST)
        values[:] = (numbers | _MARKS[kinds]).view(np.int64)
    is_read &= at == ends
    for place, (core, is_done) in enumerate(zip(cores, is_read.tolist(), strict=True)):
        if not (is_done and core.startswith(_HEAD)):
            into[:, place] = _decoded(core)


def _decoded(core: bytes) -> list[int]:
    try:
        decoded = _CORE.decode(core) or _NOTHING
    except msgspec.DecodeError as error:
        # Checked when it came in: the sample counts as taken, with nothing measured.
        _log.error("a sample in the journal has unreadable values", extra={"error": str(error)})
        decoded = _NOTHING
    return [ABSENT if value is None else value for value in msgspec.structs.astuple(decoded)]
