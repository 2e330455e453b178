"""Roll-ups: what is kept of samples once they are too many; exact, and rolled up again exactly.

A bucket holds, per metric, how many samples knew it, the least and the greatest value and the sum;
the mean follows from these. A span in which nothing was sampled has no bucket.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from master.history.samples import ABSENT, Int32, Int64, Samples, widened

SUM_LIMIT: Final = 2**62
"""Sums are exact up to here in either direction, and stop here: a thousand times 2**52, which no
honest metric comes near."""

_GREATEST: Final = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, eq=False)
class Rollup:
    """Some buckets of one node, in order of time. All arrays have as many rows."""

    bucket_ms: int
    """The length of each bucket."""
    start_ms: Int64
    """Where each begins: Unix milliseconds, a multiple of `bucket_ms`, strictly increasing."""
    count: Int32
    """Samples in the bucket, at least one."""
    known: Int32
    """[bucket, metric] How many of these knew the metric."""
    least: Int64
    """[bucket, metric] `ABSENT` where `known` is 0, and so the next."""
    greatest: Int64
    total: Int64
    """[bucket, metric] The sum of all values known; 0 where there are none."""

    def __len__(self) -> int:
        return len(self.start_ms)

    def __repr__(self) -> str:
        return f"<{len(self)} buckets of {self.bucket_ms} ms>"

    def mean(self) -> NDArray[np.float64]:
        """[bucket, metric] NaN where not known."""
        known = np.where(self.known, self.known, 1)
        return np.where(self.known, self.total / known, np.nan)


def roll_up(samples: Samples, bucket_ms: int) -> Rollup:
    """The buckets that these samples fall into. The samples are in order of time."""
    values = samples.values
    known = values != ABSENT
    each = Rollup(
        bucket_ms=1,
        start_ms=samples.at_ms,
        count=np.ones(len(samples), np.int32),
        known=known.astype(np.int32),
        least=values,
        greatest=values,
        total=np.where(known, values, 0),
    )
    return _grouped(each, bucket_ms)


def merge(rollups: Sequence[Rollup], bucket_ms: int) -> Rollup:
    """Buckets of `bucket_ms` from shorter or equal ones, whatever their order; as wide as the
    widest. What two of them say of the same bucket is added up.

    Raises:
        ValueError: `bucket_ms` is not a whole number of a roll-up's buckets.
    """
    if odd := [each.bucket_ms for each in rollups if bucket_ms % each.bucket_ms]:
        raise ValueError(f"buckets of {bucket_ms} ms cannot be made from buckets of {odd[0]} ms")
    width = max([each.known.shape[1] for each in rollups], default=0)
    start_ms = np.concatenate([np.empty(0, np.int64), *[each.start_ms for each in rollups]])
    count = np.concatenate([np.empty(0, np.int32), *[each.count for each in rollups]])
    order = np.argsort(start_ms, kind="stable")

    def column(arrays: list[Int64], missing: int) -> Int64:
        wide = [widened(each, width, missing) for each in arrays]
        return np.concatenate([np.empty((0, width), np.int64), *wide])[order]

    each = Rollup(
        bucket_ms=bucket_ms,
        start_ms=start_ms[order],
        count=count[order],
        known=column([each.known.astype(np.int64) for each in rollups], 0).astype(np.int32),
        least=column([each.least for each in rollups], ABSENT),
        greatest=column([each.greatest for each in rollups], ABSENT),
        total=column([each.total for each in rollups], 0),
    )
    return _grouped(each, bucket_ms)


def _grouped(each: Rollup, bucket_ms: int) -> Rollup:
    """Rows that are in order of time, brought together by the bucket they fall into."""
    starts = each.start_ms - each.start_ms % bucket_ms
    if not len(starts):
        return replace(each, bucket_ms=bucket_ms)
    first = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1))
    known = np.add.reduceat(each.known, first, axis=0, dtype=np.int32)
    least = np.minimum.reduceat(np.where(each.known, each.least, _GREATEST), first, axis=0)
    return Rollup(
        bucket_ms=bucket_ms,
        start_ms=starts[first],
        count=np.add.reduceat(each.count, first, dtype=np.int32),
        known=known,
        least=np.where(known, least, ABSENT),
        greatest=np.maximum.reduceat(each.greatest, first, axis=0),  # ABSENT is less than any
        total=_sums(each.total, first),
    )


def _sums(values: Int64, first: NDArray[np.intp]) -> Int64:
    exact = np.add.reduceat(values, first, axis=0)
    # Floats do not wrap around, and tell where integers may have.
    rough = np.add.reduceat(values.astype(np.float64), first, axis=0)
    limited = np.where(rough > 0, SUM_LIMIT, -SUM_LIMIT)
    return np.where(np.abs(rough) < SUM_LIMIT, exact, limited)
