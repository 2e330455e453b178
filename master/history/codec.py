"""Chunks: the samples or roll-ups of one node and window as one blob for the database.

    version 1 B · columns 2 B · count 4 B · bucket 4 B · first 8 B · last 8 B · table · CRC-32 4 B

Big-endian. `columns` is how many metrics `Core` had when the chunk was written; readers that know
more find them absent. `bucket` is a roll-up's in milliseconds, and 0 in a chunk of samples. `first`
and `last` are in Unix milliseconds: of samples, or of the beginnings of buckets. The checksum is of
all before it: a blob that is torn or changed is an error, never a wrong value.
"""

import struct
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import numpy as np

from master.history.matrix import Relations, Table
from master.history.packing import pack
from master.history.relations import relations
from master.history.rollup import Rollup
from master.history.samples import ABSENT, Int64, Samples

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

_AT_ONCE: Final = 2**16
"""Numbers that are packed together, unless one table has more: half a megabyte, which stays near
the processor while it is looked at over and over, and which numpy is done with in far less than a
millisecond a step."""

_Part = TypeVar("_Part", Samples, Rollup)


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
    return encode_chunks([samples])[0]


def encode_chunks(parts: Sequence[Samples]) -> list[bytes]:
    """Each of these as a chunk: many at a time, which costs a fraction of one by one.

    Raises:
        ValueError: one has no samples, or they are not in order of time.
    """
    shapes = [_Shape(0, part.values.shape[1], len(part)) for part in parts]
    return _encoded(parts, shapes, _fill_with_samples)


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
    return encode_rollups([rollup])[0]


def encode_rollups(rollups: Sequence[Rollup]) -> list[bytes]:
    """Each of these as a chunk: many at a time, as `encode_chunks`.

    Raises:
        ValueError: one has no bucket, or they are not in order of time.
    """
    shapes = [_Shape(each.bucket_ms, each.known.shape[1], len(each)) for each in rollups]
    return _encoded(rollups, shapes, _fill_with_buckets)


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


class _Shape(NamedTuple):
    """Tables of one shape are packed together."""

    bucket_ms: int
    columns: int
    width: int
    """Samples or buckets."""

    @property
    def height(self) -> int:
        """Rows of its table."""
        return _BUCKETS + _PARTS * self.columns if self.bucket_ms else _KEYS + self.columns

    @property
    def relations(self) -> Relations:
        """Between these rows."""
        if not self.bucket_ms:
            return relations(self.columns, (_KEYS,))
        return relations(
            self.columns, tuple(_BUCKETS + part * self.columns for part in range(_PARTS))
        )


def _encoded(
    parts: Sequence[_Part], shapes: Sequence[_Shape], fill: Callable[[Int64, _Part], None]
) -> list[bytes]:
    """The chunks of these, each of its shape; `fill` writes one into an empty table."""
    blobs = [b""] * len(parts)
    for shape, places in _alike(shapes):
        tables = np.empty((len(places), shape.height, shape.width), np.int64)
        for table, place in zip(tables, places, strict=True):
            fill(table, parts[place])
        for place, blob in zip(places, _blobs(shape, tables), strict=True):
            blobs[place] = blob
    return blobs


def _alike(shapes: Sequence[_Shape]) -> Iterator[tuple[_Shape, list[int]]]:
    """Where each shape is found, as often as `_AT_ONCE` allows."""
    places = defaultdict[_Shape, list[int]](list)
    for place, shape in enumerate(shapes):
        places[shape].append(place)
    for shape, found in places.items():
        most = max(1, _AT_ONCE // (shape.height * max(1, shape.width)))
        for begin in range(0, len(found), most):
            yield shape, found[begin : begin + most]


def _fill_with_samples(table: Int64, samples: Samples) -> None:
    table[0], table[1], table[2] = samples.at_ms, samples.run, samples.sequence
    table[_KEYS:] = samples.values.T


def _fill_with_buckets(table: Int64, rollup: Rollup) -> None:
    least, known = rollup.least.T, rollup.known.T.astype(np.int64)
    lowest = np.where(known, least, 0)
    table[0], table[1] = rollup.start_ms, rollup.count
    parts = table[_BUCKETS:].reshape(_PARTS, len(known), len(rollup))
    parts[0] = rollup.count - known
    parts[1] = least
    parts[2] = np.where(known, rollup.greatest.T - lowest, 0)
    parts[3] = rollup.total.T - known * lowest


def _blobs(shape: _Shape, tables: Int64) -> Iterator[bytes]:
    """[table, row, column] The chunks of tables of this shape."""
    times_ms = tables[:, 0]
    if not shape.width or np.any(times_ms[:, 1:] < times_ms[:, :-1]):
        raise ValueError("a chunk holds at least one row, in order of time")
    packed = pack(tables, shape.relations)
    ends = zip(times_ms[:, 0].tolist(), times_ms[:, -1].tolist(), strict=True)
    for table, (first_ms, last_ms) in zip(packed, ends, strict=True):
        header = _HEADER.pack(
            VERSION, shape.columns, shape.width, shape.bucket_ms, first_ms, last_ms
        )
        body = header + table
        yield body + _CHECKSUM.pack(zlib.crc32(body))


def _decoded(blob: bytes, header: Header, wanted: list[int]) -> Int64:
    shape = _Shape(header.bucket_ms, header.columns, header.count)
    packed = blob[_HEADER.size : -_CHECKSUM.size]
    try:
        table = Table(packed, shape.height, shape.width, shape.relations)
        return table.rows(wanted)
    except (zlib.error, ValueError) as error:
        raise ChunkError(f"a chunk that cannot be read: {error}") from error
