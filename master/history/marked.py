"""Samples with their marks: what the journal holds, and what a chunk of samples is made of."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from master.history.codec import decode_chunk, encode_chunk
from master.history.journal import Entry
from master.history.marks import Marks, pack_marks, unpack_marks
from master.history.samples import Int64, Samples, samples_of, widened
from shared.metrics import Core

_CORE: Final = msgspec.msgpack.Decoder(Core | None)
_NOTHING: Final = msgspec.structs.astuple(Core())

_SLICE: Final = 512
"""Samples that become arrays at once: numpy keeps every other thread waiting while it reads a
list, and the beats are in one of them."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Marked:
    """Some samples of one node, and as many marks."""

    samples: Samples
    marks: Marks

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, chosen: Int64 | slice) -> "Marked":
        """Those at these indices."""
        marks = Marks(self.marks.period_ms[chosen], self.marks.is_late[chosen])
        return Marked(self.samples.take(chosen), marks)

    def windows(self, window_ms: int) -> Iterator[tuple[int, "Marked"]]:
        """Those of each window of this length with where it begins. In order of time, as these."""
        starts = self.samples.at_ms - self.samples.at_ms % window_ms
        bounds = np.flatnonzero(np.diff(starts, prepend=starts[:1] - 1, append=starts[-1:] + 1))
        for first, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            yield int(starts[first]), self.take(slice(first, end))

    def pack(self) -> tuple[bytes, bytes]:
        """The columns `marks` and `body` of a chunk.

        Raises:
            ValueError: there are none, or they are not in order of time.
        """
        return pack_marks(self.marks), encode_chunk(self.samples)


def unpack(marks: bytes, body: bytes) -> Marked:
    """The samples of a chunk.

    Raises:
        ChunkError: it is damaged.
    """
    samples = decode_chunk(body)
    return Marked(samples, unpack_marks(marks, len(samples)))


def joined(parts: Iterable[Marked]) -> Marked:
    """All of these in order of time, as wide as the widest, and each sample once."""
    everything = _concatenated(list(parts))
    names = np.stack([everything.samples.run, everything.samples.sequence])
    _, once = np.unique(names, axis=1, return_index=True)
    order = np.sort(once)
    return everything.take(order[np.argsort(everything.samples.at_ms[order], kind="stable")])


def by_node(entries: Sequence[Entry]) -> Iterator[tuple[int, Marked]]:
    """The samples of each node in some rows of the journal, in order of time. At least one."""
    slices = [_arrays(entries[begin : begin + _SLICE]) for begin in range(0, len(entries), _SLICE)]
    node = np.concatenate([node for node, _ in slices])
    everything = _concatenated([part for _, part in slices])
    order = np.lexsort((everything.samples.at_ms, node))
    bounds = np.flatnonzero(np.diff(node[order], prepend=-1, append=-1))
    for first, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        yield int(node[order[first]]), everything.take(order[first:end])


def _arrays(entries: Sequence[Entry]) -> tuple[Int64, Marked]:
    nodes, run, sequence, at_ms, period_ms, is_late, cores = zip(*entries, strict=True)
    samples = samples_of(at_ms, run, sequence, [_values(core) for core in cores])
    marks = Marks(np.array(period_ms, np.int64), np.array(is_late, np.bool_))
    return np.array(nodes, np.int64), Marked(samples, marks)


def _concatenated(parts: Sequence[Marked]) -> Marked:
    """All of these one after another, as wide as the widest."""
    width = max(part.samples.values.shape[1] for part in parts)
    samples = Samples(
        np.concatenate([part.samples.at_ms for part in parts]),
        np.concatenate([part.samples.run for part in parts]),
        np.concatenate([part.samples.sequence for part in parts]),
        np.concatenate([widened(part.samples.values, width) for part in parts]),
    )
    marks = Marks(
        np.concatenate([part.marks.period_ms for part in parts]),
        np.concatenate([part.marks.is_late for part in parts]),
    )
    return Marked(samples, marks)


def _values(core: bytes) -> tuple[int | None, ...]:
    try:
        decoded = _CORE.decode(core)
    except msgspec.DecodeError as error:
        # Checked when it came in: the sample counts as taken, with nothing measured.
        _log.error("a sample in the journal has unreadable values", extra={"error": str(error)})
        return _NOTHING
    return _NOTHING if decoded is None else msgspec.structs.astuple(decoded)
