"""What belongs to each sample of a chunk beside its values: its period, and whether it came late.

Both stay the same for hours, and are kept as runs of equal ones, with a checksum of their own.
"""

import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from master.history.codec import ChunkError
from master.history.samples import Int64

_CHECKSUM: Final = struct.Struct(">I")
_RUNS: Final = msgspec.msgpack.Decoder(list[tuple[int, int, bool]])


@dataclass(frozen=True, eq=False)
class Marks:
    """Of the samples of one chunk, in their order. Both arrays are as long."""

    period_ms: Int64
    """When the next sample was due after it."""
    is_late: NDArray[np.bool_]
    """It came from the agent's spool."""


def pack_marks(marks: Marks) -> bytes:
    """As the column `marks` of a chunk. At least one sample."""
    period_ms, is_late = marks.period_ms, marks.is_late
    changes = (period_ms[1:] != period_ms[:-1]) | (is_late[1:] != is_late[:-1])
    runs = [
        (end - first, int(period_ms[first]), bool(is_late[first]))
        for first, end in pairwise([0, *(changes.nonzero()[0] + 1).tolist(), len(period_ms)])
    ]
    body = msgspec.msgpack.encode(runs)
    return body + _CHECKSUM.pack(zlib.crc32(body))


def unpack_marks(packed: bytes, count: int) -> Marks:
    """Those of a chunk of so many samples.

    Raises:
        ChunkError: they are damaged, or of another chunk.
    """
    body, checksum = packed[: -_CHECKSUM.size], packed[-_CHECKSUM.size :]
    if _CHECKSUM.pack(zlib.crc32(body)) != checksum:
        raise ChunkError("marks that do not match their checksum")
    try:
        runs = _RUNS.decode(body)
    except msgspec.DecodeError as error:
        raise ChunkError(f"marks that cannot be read: {error}") from error
    counts = [run[0] for run in runs]
    if sum(counts) != count or min(counts, default=0) < 0:
        raise ChunkError(f"marks of {sum(counts)} samples beside a chunk of {count}")
    return Marks(
        np.repeat(np.array([run[1] for run in runs], np.int64), counts),
        np.repeat(np.array([run[2] for run in runs], np.bool_), counts),
    )
