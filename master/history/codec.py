"""Chunks: the samples or roll-ups of one node and window as one blob for the database.

    version 1 B · columns 2 B · count 4 B · bucket 4 B · first 8 B · last 8 B · table · CRC-32 4 B

Big-endian. `columns` is how many metrics `Core` had when the chunk was written; readers that know
more find them absent. `bucket` is a roll-up's in milliseconds, and 0 in a chunk of samples. `first`
and `last` are in Unix milliseconds: of samples, or of the beginnings of buckets. The checksum is of
all before it: a blob that is torn or changed is an error, never a wrong value.
"""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from master.history.matrix import Relation, Relations, Table, pack
from master.history.rollup import Rollup
from master.history.samples import ABSENT, Int64, Samples
from shared.metrics import metrics

VERSION: Final = 1

_HEADER: Final = struct.Struct(">BHIIqq")
_CHECKSUM: Final = struct.Struct(">I")

_KEYS: Final = 3
"""Rows of a table of samples before its metrics: at_ms, run, sequence."""

_BUCKETS: Final = 2
"""Rows of a table of roll-ups before its metrics: start_ms, count."""

_PARTS: Final = 4
"""Rows of a metric in a table of roll-ups, each for all metrics before the next: the samples that
did not know it, the least, the greatest over the least, and the sum over that of the least."""

_TOLD_FROM: Final[Mapping[str, Mapping[str, int]]] = {
    "cpu_user_bp": {"cpu_busy_bp": 1, "cpu_system_bp": -1, "cpu_irq_bp": -1, "cpu_steal_bp": -1},
    "cpu_core_max_bp": {"cpu_busy_bp": 1},
    "memory_used_bp": {"memory_total_kib": 1, "memory_available_kib": -1},
    "memory_free_kib": {
        "memory_available_kib": 1,
        "memory_cached_kib": -1,
        "memory_buffers_kib": -1,
    },
    "network_transmit_packets_per_s": {"network_receive_packets_per_s": 1},
    "threads": {"processes": 1},
}
"""Which metrics' sum, with these factors, tells most of another. Part of the format, and so is the
next: other relations are another version."""

_SHARE_OF: Final[Mapping[str, str]] = {"memory_used_bp": "memory_total_kib"}


class ChunkError(ValueError):
    """A blob that is not a whole chunk as it was written, or not of the kind asked for."""


@dataclass(frozen=True)
class Header:
    """What a chunk says of itself without being unpacked."""

    columns: int
    count: int
    """Samples or buckets."""
    bucket_ms: int
    """Of a roll-up; 0 for samples."""
    first_ms: int
    last_ms: int


def read_header(blob: bytes) -> Header:
    """The header of a whole chunk.

    Raises:
        ChunkError: torn, changed, or of a version that is not known here.
    """
    if len(blob) < _HEADER.size + _CHECKSUM.size:
        raise ChunkError(f"a chunk of {len(blob)} bytes is torn")
    if _CHECKSUM.unpack(blob[-_CHECKSUM.size :])[0] != zlib.crc32(blob[: -_CHECKSUM.size]):
        raise ChunkError(f"a chunk of {len(blob)} bytes does not match its checksum")
    version, columns, count, bucket_ms, first_ms, last_ms = _HEADER.unpack_from(blob)
    if version != VERSION:
        raise ChunkError(f"a chunk of version {version}; known here is {VERSION}")
    return Header(columns, count, bucket_ms, first_ms, last_ms)


def encode_chunk(samples: Samples) -> bytes:
    """Samples as a chunk.

    Raises:
        ValueError: none, or not in order of time.
    """
    keys = np.stack([samples.at_ms, samples.run.astype(np.int64), samples.sequence])
    return _encoded(
        0, samples.at_ms, samples.values.shape[1], np.concatenate([keys, samples.values.T])
    )


def decode_chunk(blob: bytes) -> Samples:
    """The samples of a chunk, as wide as it was written.

    Raises:
        ChunkError: torn, changed, or not of samples.
    """
    return decode_columns(blob, range(read_header(blob).columns))


def decode_columns(blob: bytes, columns: Sequence[int]) -> Samples:
    """The same samples with these metrics only, in this order; `ABSENT` where the chunk is older
    than the metric.

    Raises:
        ChunkError: torn, changed, or not of samples.
    """
    header = read_header(blob)
    if header.bucket_ms:
        raise ChunkError("a chunk of roll-ups where samples are wanted")
    stored = [column for column in columns if column < header.columns]
    rows = _decoded(blob, header, [*range(_KEYS), *[_KEYS + column for column in stored]])
    values = np.full((len(columns), header.count), ABSENT)
    values[[column < header.columns for column in columns]] = rows[_KEYS:]
    return Samples(rows[0], rows[1].astype(np.int32), rows[2], values.T)


def encode_rollup(rollup: Rollup) -> bytes:
    """A roll-up as a chunk.

    Raises:
        ValueError: it has no bucket, or they are not in order of time.
    """
    least, known = rollup.least.T, rollup.known.T.astype(np.int64)
    lowest = np.where(known, least, 0)
    rows = [
        np.stack([rollup.start_ms, rollup.count.astype(np.int64)]),
        rollup.count - known,
        least,
        np.where(known, rollup.greatest.T - lowest, 0),
        rollup.total.T - known * lowest,
    ]
    return _encoded(rollup.bucket_ms, rollup.start_ms, len(known), np.concatenate(rows))


def decode_rollup(blob: bytes) -> Rollup:
    """The buckets of a chunk, as wide as it was written.

    Raises:
        ChunkError: torn, changed, or not of roll-ups.
    """
    return decode_rollup_columns(blob, range(read_header(blob).columns))


def decode_rollup_columns(blob: bytes, columns: Sequence[int]) -> Rollup:
    """The same buckets with these metrics only, in this order; not known where the chunk is older
    than the metric.

    Raises:
        ChunkError: torn, changed, or not of roll-ups.
    """
    header = read_header(blob)
    if not header.bucket_ms:
        raise ChunkError("a chunk of samples where roll-ups are wanted")
    stored = [column for column in columns if column < header.columns]
    wanted = [part * header.columns + column for part in range(_PARTS) for column in stored]
    rows = _decoded(blob, header, [*range(_BUCKETS), *[_BUCKETS + row for row in wanted]])
    count = rows[1]
    unknown, least, spread, excess = rows[_BUCKETS:].reshape(_PARTS, len(stored), header.count)
    there = [column < header.columns for column in columns]
    known = count - unknown
    lowest = np.where(known, least, 0)

    def wide(part: Int64, missing: int) -> Int64:
        result = np.full((len(columns), header.count), missing)
        result[there] = part
        return result.T

    return Rollup(
        header.bucket_ms,
        rows[0],
        count.astype(np.int32),
        wide(known, 0).astype(np.int32),
        wide(least, ABSENT),
        wide(np.where(known, least + spread, ABSENT), ABSENT),
        wide(excess + known * lowest, 0),
    )


@cache
def _relations(columns: int, *, rolled_up: bool) -> Relations:
    """`_TOLD_FROM` between the rows of a table, as far as it has these metrics."""
    index = {metric.name: metric.index for metric in metrics()}
    parts = range(_PARTS) if rolled_up else range(1)
    found: dict[int, Relation] = {}
    for name, others in _TOLD_FROM.items():
        if max(index[name], *[index[other] for other in others]) >= columns:
            continue
        whole = _SHARE_OF.get(name)
        for part in parts:
            first = _BUCKETS + part * columns if rolled_up else _KEYS
            found[first + index[name]] = Relation(
                tuple([(first + index[other], factor) for other, factor in others.items()]),
                None if whole is None else first + index[whole],
            )
    return found


def _encoded(bucket_ms: int, times_ms: Int64, columns: int, rows: Int64) -> bytes:
    if not len(times_ms) or np.any(np.diff(times_ms) < 0):
        raise ValueError("a chunk holds at least one row, in order of time")
    header = _HEADER.pack(
        VERSION, columns, len(times_ms), bucket_ms, int(times_ms[0]), int(times_ms[-1])
    )
    body = header + pack(rows, _relations(columns, rolled_up=bucket_ms > 0))
    return body + _CHECKSUM.pack(zlib.crc32(body))


def _decoded(blob: bytes, header: Header, wanted: list[int]) -> Int64:
    rolled_up = header.bucket_ms > 0
    height = _BUCKETS + _PARTS * header.columns if rolled_up else _KEYS + header.columns
    relations = _relations(header.columns, rolled_up=rolled_up)
    try:
        table = Table(blob[_HEADER.size : -_CHECKSUM.size], height, header.count, relations)
        return table.rows(wanted)
    except (zlib.error, ValueError) as error:
        raise ChunkError(f"a chunk that cannot be read: {error}") from error
