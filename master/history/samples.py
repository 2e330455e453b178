"""Samples of one node as arrays: one row per sample, one column per metric of the core sample."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, starmap
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Int64: TypeAlias = NDArray[np.int64]
Int32: TypeAlias = NDArray[np.int32]

ABSENT: Final = int(np.iinfo(np.int64).min)
"""Stands for None in an array of values. No metric can have this value: they end at ±2**53."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Some samples of one node, in order of time. All arrays have as many rows."""

    at_ms: Int64
    """Unix milliseconds by the master's clock, strictly increasing."""
    run: Int32
    """Number of the agent's run within the node's history; with `sequence` a sample's key."""
    sequence: Int64
    """Number of the sample within its run."""
    values: Int64
    """[sample, metric] in the order of `shared.metrics.Core`; `ABSENT` where not known."""

    def __len__(self) -> int:
        return len(self.at_ms)

    def __repr__(self) -> str:
        if not len(self):
            return "<no samples>"
        return f"<{len(self)} samples from {self.at_ms[0]} to {self.at_ms[-1]}>"

    def take(self, chosen: Int64 | NDArray[np.bool_] | slice) -> "Samples":
        """Those at these indices, or where a mask is true."""
        return Samples(
            self.at_ms[chosen], self.run[chosen], self.sequence[chosen], self.values[chosen]
        )


def samples_of(
    at_ms: Sequence[int],
    run: Sequence[int],
    sequence: Sequence[int],
    rows: Sequence[Sequence[int | None]],
) -> Samples:
    """Samples from lists, in the order given; each row the fields of a `Core`, all as long."""
    width = len(rows[0]) if rows else 0
    flat = [ABSENT if value is None else value for row in rows for value in row]
    return Samples(
        np.array(at_ms, dtype=np.int64),
        np.array(run, dtype=np.int32),
        np.array(sequence, dtype=np.int64),
        np.array(flat, dtype=np.int64).reshape(len(rows), width),
    )


def joined(parts: Iterable[Samples]) -> Samples:
    """All of these in order of time, as wide as the widest; missing columns are `ABSENT`.

    Of two samples at the same instant the earlier part's comes first.
    """
    present = list(parts)
    width = max([part.values.shape[1] for part in present], default=0)
    values = [widened(part.values, width) for part in present]
    none = np.empty(0, np.int64)
    everything = Samples(
        np.concatenate([none, *[part.at_ms for part in present]]),
        np.concatenate([np.empty(0, np.int32), *[part.run for part in present]]),
        np.concatenate([none, *[part.sequence for part in present]]),
        np.concatenate([np.empty((0, width), np.int64), *values]),
    )
    return everything.take(np.argsort(everything.at_ms, kind="stable"))


def alike(keys: NDArray[np.generic]) -> Iterator[slice]:
    """Where neighbours are equal: one after another, all of them. At least one key."""
    bounds = (np.flatnonzero(keys[1:] != keys[:-1]) + 1).tolist()
    return starmap(slice, pairwise([0, *bounds, len(keys)]))


def widened(values: Int64, width: int, missing: int = ABSENT) -> Int64:
    """[row, column] with columns added at the end, if need be, that hold `missing`."""
    more = width - values.shape[1]
    return values if more <= 0 else np.pad(values, ((0, 0), (0, more)), constant_values=missing)
