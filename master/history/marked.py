"""Samples with their marks: what the journal holds, and what a chunk of samples is made of."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from master.history.codec import decode_chunk, encode_chunks
from master.history.cores import values_of
from master.history.journal import Columns
from master.history.marks import Marks, pack_marks, unpack_marks
from master.history.samples import Int64, Samples, alike, widened

_SLICE: Final = 2048
"""Samples that become arrays at once: numpy keeps every other thread waiting while it reads a
list, and the beats are in one of them."""


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
        at_ms = self.samples.at_ms
        from_ms = int(at_ms[0]) // window_ms * window_ms
        if at_ms[-1] < from_ms + window_ms:
            yield from_ms, self
            return
        starts = at_ms - at_ms % window_ms
        for part in alike(starts):
            yield int(starts[part.start]), self.take(part)


class Part(NamedTuple):
    """What a chunk is made of."""

    node: int
    from_ms: int
    """Where its window begins."""
    marked: Marked

    def span_ms(self) -> tuple[int, int]:
        """When the first of its samples was taken, and the last."""
        at_ms = self.marked.samples.at_ms
        return int(at_ms[0]), int(at_ms[-1])


def pack(parts: Sequence[Marked]) -> list[tuple[bytes, bytes]]:
    """The columns `marks` and `body` of a chunk of each of these: many at a time, which costs a
    fraction of one by one.

    Raises:
        ValueError: one is of no samples.
    """
    bodies = encode_chunks([part.samples for part in parts])
    return [(pack_marks(part.marks), body) for part, body in zip(parts, bodies, strict=True)]


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
    run, sequence = everything.samples.run, everything.samples.sequence
    by_name: NDArray[np.intp] = np.lexsort((sequence, run))
    is_first = np.ones(len(by_name), np.bool_)
    run, sequence = run[by_name], sequence[by_name]
    is_first[1:] = (run[1:] != run[:-1]) | (sequence[1:] != sequence[:-1])
    order = np.sort(by_name[is_first])
    return everything.take(order[np.argsort(everything.samples.at_ms[order], kind="stable")])


def by_node(rows: Sequence[Columns]) -> Iterator[tuple[int, Marked]]:
    """The samples of each node in some rows of the journal, in order of time. At least one."""
    node, at_ms = _numbers(each.node for each in rows), _numbers(each.at_ms for each in rows)
    order: NDArray[np.intp] = np.lexsort((at_ms, node))
    node = node[order]
    cores = [core for each in rows for core in each.core]
    places: list[int] = order.tolist()
    samples = Samples(
        at_ms[order],
        _numbers(each.run for each in rows)[order].astype(np.int32),
        _numbers(each.sequence for each in rows)[order],
        values_of([cores[place] for place in places]),
    )
    marks = Marks(
        _numbers(each.period_ms for each in rows)[order],
        _numbers(each.is_late for each in rows)[order].astype(np.bool_),
    )
    everything = Marked(samples, marks)
    for part in alike(node):
        yield int(node[part.start]), everything.take(part)


def _numbers(columns: Iterable[Sequence[int]]) -> Int64:
    """All of these one after another."""
    return np.concatenate(
        [
            np.array(column[begin : begin + _SLICE], np.int64)
            for column in columns
            for begin in range(0, len(column), _SLICE)
        ]
    )


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
