"""The fleet at any instant: of many nodes, the last sample of every minute, side by side.

Chunks hold one node over time, and to read one instant of ten thousand nodes out of them would take
half a minute. So compaction also writes, for all nodes of a shard, the last sample of each step.
One row holds it for hundreds of nodes, and says in a few milliseconds what all of them were like.

    version 1 B · columns 2 B · nodes 4 B · steps 2 B · step 4 B · from 8 B · each node's number 4 B
    · deflated · CRC-32 4 B

Big-endian. Deflated: which values are known, the first value of each series (column by column, node
by node) and the changes from step to step; in bytes of equal weight, the lowest first.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from master.history.bits import Uint64
from master.history.codec import ChunkError
from master.history.matrix import folded, unfolded
from master.history.samples import ABSENT, Int64, Samples, alike, widened

STEP_MS: Final = 60_000
"""How far apart the instants are at which a large fleet is known."""

VERSION: Final = 1

_HEADER: Final = struct.Struct(">BHIHIq")
_CHECKSUM: Final = struct.Struct(">I")

_KEYS: Final = 2
"""Columns before the metrics: when in the step the sample was taken, and its period."""

_AS_WRITTEN: Final = (1, 2, 0)
"""From step, column, node, in which they are put together, to column, node, step."""

_RAW_DEFLATE: Final = -15
_EFFORT: Final = 5
_LONGEST_BYTES: Final = 256 * 1024 * 1024
"""Nothing that was written here inflates to more."""


@dataclass(frozen=True, eq=False)
class Instant:
    """Some nodes at one instant. All arrays have as many rows."""

    node: Int64
    at_ms: Int64
    """When each one's sample was taken: Unix milliseconds by the master's clock."""
    period_ms: Int64
    values: Int64
    """[node, metric] in the order of `shared.metrics.Core`; `ABSENT` where not known."""

    def __len__(self) -> int:
        return len(self.node)

    def __repr__(self) -> str:
        return f"<{len(self)} nodes at an instant>"

    def take(self, chosen: NDArray[np.intp]) -> "Instant":
        """The nodes at these indices."""
        return Instant(
            self.node[chosen], self.at_ms[chosen], self.period_ms[chosen], self.values[chosen]
        )


class Steps:
    """The last samples of so many steps, node by node."""

    def __init__(self, from_ms: int, count: int, step_ms: int = STEP_MS) -> None:
        self._from_ms = from_ms
        self._step_ms = step_ms
        self._count = count
        self._nodes: list[int] = []
        self._samples: list[Samples] = []
        self._periods_ms: list[Int64] = []

    def __repr__(self) -> str:
        return f"<{self._count} steps of {len(self._nodes)} nodes>"

    def add(self, node: int, samples: Samples, period_ms: Int64) -> None:
        """The samples of a node, in order of time; those outside of the steps are left out.

        `period_ms` is how soon after each sample the next one was due.
        """
        self._nodes.append(node)
        self._samples.append(samples)
        self._periods_ms.append(period_ms)

    def encode(self) -> bytes:
        """All that was added, as the row's body. At least one sample."""
        nodes, table = self._table()
        known = table != ABSENT
        _fill(table, known)
        deflate = zlib.compressobj(_EFFORT, zlib.DEFLATED, _RAW_DEFLATE, 9, zlib.Z_FILTERED)
        told = [
            np.packbits(known.transpose(_AS_WRITTEN)).tobytes(),
            _planes(folded(table[:1])),
            _planes(folded(table[1:] - table[:-1])),
        ]
        header = _HEADER.pack(
            VERSION,
            table.shape[1] - _KEYS,
            len(nodes),
            self._count,
            self._step_ms,
            self._from_ms,
        )
        body = header + nodes.astype(">u4").tobytes()
        body += deflate.compress(b"".join(told)) + deflate.flush()
        return body + _CHECKSUM.pack(zlib.crc32(body))

    def _table(self) -> tuple[Int64, Int64]:
        """The nodes that have a sample in a step, and [step, column, node]."""
        counts = np.array([len(each) for each in self._samples])
        place = np.repeat(np.arange(len(counts)), counts)
        since_ms = np.concatenate([each.at_ms for each in self._samples]) - self._from_ms
        step = since_ms // self._step_ms
        is_last = np.append((step[1:] != step[:-1]) | (place[1:] != place[:-1]), True)
        chosen = np.flatnonzero(is_last & (step >= 0) & (step < self._count))
        place, step = place[chosen], step[chosen]
        within = chosen - (counts.cumsum() - counts)[place]
        metrics = [self._samples[place[part.start]].values[within[part]] for part in alike(place)]
        width = max(each.shape[1] for each in metrics)
        rows = np.concatenate([widened(each, width) for each in metrics])
        in_step_ms = since_ms[chosen] - step * self._step_ms
        period_ms = np.concatenate(self._periods_ms)[chosen]
        listed, node = np.unique(place, return_inverse=True)
        table = np.full((self._count, _KEYS + width, len(listed)), ABSENT)
        for number, columns in enumerate(table):
            here = np.flatnonzero(step == number)
            columns[0, node[here]] = in_step_ms[here]
            columns[1, node[here]] = period_ms[here]
            columns[_KEYS:, node[here]] = rows[here].T
        return np.array(self._nodes)[listed], table


def read_nodes(body: bytes) -> Int64:
    """The numbers of the nodes in a row, without unpacking it.

    Raises:
        ChunkError: the row is torn or changed, or of a version that is not known here.
    """
    header = _header(body)
    return np.frombuffer(body, ">u4", header.nodes, _HEADER.size).astype(np.int64)


def read_instant(body: bytes, at_ms: int) -> Instant:
    """Of each node in the row the last sample at or before an instant; nodes without one are left
    out.

    Raises:
        ChunkError: the row is torn or changed, or of a version that is not known here.
    """
    header = _header(body)
    wanted = (at_ms - header.from_ms) // header.step_ms + 1
    wanted = max(1, min(wanted, header.steps))  # nothing in later steps can fit
    known, values = _decoded(body, header, wanted)
    steps = np.arange(wanted, dtype=np.int64)
    taken_ms = values[0] + header.from_ms + steps * header.step_ms
    fits = known[0] & (taken_ms <= at_ms)
    has = np.flatnonzero(fits.any(axis=1))
    # The last step that fits: the first one from behind.
    step = wanted - 1 - fits[has, ::-1].argmax(axis=1)
    metrics = np.where(known[_KEYS:, has, step], values[_KEYS:, has, step], ABSENT)
    return Instant(read_nodes(body)[has], taken_ms[has, step], values[1, has, step], metrics.T)


class _Header(NamedTuple):
    version: int
    columns: int
    nodes: int
    steps: int
    step_ms: int
    from_ms: int


def _header(body: bytes) -> _Header:
    if len(body) < _HEADER.size + _CHECKSUM.size:
        raise ChunkError(f"a row of {len(body)} bytes is torn")
    if _CHECKSUM.unpack(body[-_CHECKSUM.size :])[0] != zlib.crc32(body[: -_CHECKSUM.size]):
        raise ChunkError(f"a row of {len(body)} bytes does not match its checksum")
    header = _Header._make(_HEADER.unpack_from(body))
    if header.version != VERSION:
        raise ChunkError(f"a row of version {header.version}; known here is {VERSION}")
    return header


def _decoded(body: bytes, header: _Header, wanted: int) -> tuple[NDArray[np.bool_], Int64]:
    """[column, node, step] which values are known, and the values, of the first steps."""
    _, columns, nodes, steps, *_ = header
    shape = (columns + _KEYS, nodes, steps)
    size = shape[0] * nodes * steps
    inflate = zlib.decompressobj(_RAW_DEFLATE)
    begin = _HEADER.size + 4 * nodes
    try:
        told = inflate.decompress(body[begin : -_CHECKSUM.size], _LONGEST_BYTES)
        bits = np.frombuffer(told, np.uint8, -(-size // 8))
        first, end = _read_planes(told, len(bits), shape[0] * nodes)
        changes, _ = _read_planes(told, end, shape[0] * nodes * (steps - 1))
    except (zlib.error, ValueError, IndexError) as error:
        raise ChunkError(f"a row that cannot be read: {error}") from error
    series = np.empty((*shape[:2], wanted), np.int64)
    series[:, :, 0] = unfolded(first).reshape(shape[:2])
    some = changes.reshape(*shape[:2], steps - 1)[:, :, : wanted - 1]
    series[:, :, 1:] = unfolded(some)
    known = np.unpackbits(bits, count=size).view(np.bool_).reshape(shape)[:, :, :wanted]
    return known, np.cumsum(series, axis=2)


def _fill(table: Int64, known: NDArray[np.bool_]) -> None:
    """[step, …] Makes what is not known the same as the step before, or as the first one known; 0
    where none is."""
    before = np.zeros_like(table[0])
    for values, there in zip(table[::-1], known[::-1], strict=True):
        np.copyto(before, values, where=there)
    for values, there in zip(table, known, strict=True):
        np.copyto(values, before, where=~there)
        before = values


def _planes(values: Uint64) -> bytes:
    """How many bytes the largest value takes, then the lowest byte of each, the second, …"""
    largest = int(values.max()) if values.size else 0
    height = (largest.bit_length() + 7) // 8
    octets = values.astype("<u8", copy=False).view(np.uint8).reshape(*values.shape, 8)
    planes = [octets[..., plane].transpose(_AS_WRITTEN).tobytes() for plane in range(height)]
    return bytes([height]) + b"".join(planes)


def _read_planes(told: bytes, begin: int, size: int) -> tuple[Uint64, int]:
    height = told[begin]
    octets = np.zeros((size, 8), np.uint8)
    planes = np.frombuffer(told, np.uint8, height * size, begin + 1)
    octets[:, :height] = planes.reshape(height, size).T
    return octets.view("<u8")[:, 0].astype(np.uint64), begin + 1 + height * size
