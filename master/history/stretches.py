"""Stretches: what is kept of many samples, so that what is missing can be told for years.

A stretch is that samples of one run follow each other in number and in time. A node that is never
away has one for as long as its agent runs; every accident begins another. They are made when
samples are compacted, are tiny, and stay when the samples themselves have been rolled up.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from master.history.samples import Int32, Int64

HOLE_PERIODS: Final = 1.5
"""Two samples further apart than so many periods have room for another between them."""

ALIKE_PART: Final = 0.1
"""Periods that differ by no more than this part of them are one: the first beat of a link goes out
off the grid by some milliseconds."""


class Stretch(Struct, frozen=True, array_like=True, gc=False):
    """Stored samples of one run whose numbers follow each other, at even intervals."""

    run: int
    """As `Samples.run`."""
    first: int
    last: int
    """Sequence numbers, both included."""
    first_wall_ms: int
    last_wall_ms: int
    period_ms: int
    """How soon after the last of them the next one was due."""
    is_late: bool
    """Stored after an absence: they came by `Replay`."""

    @property
    def samples(self) -> int:
        """How many they are."""
        return self.last - self.first + 1


class Loss(Struct, frozen=True, array_like=True, gc=False):
    """Samples of one run that its agent took, dropped and told of."""

    run: int
    first: int
    last: int
    first_wall_ms: int
    last_wall_ms: int


class Seen(NamedTuple):
    """Samples, as far as stretches tell of them. All arrays are as long."""

    node: Int64
    run: Int32
    sequence: Int64
    at_ms: Int64
    period_ms: Int64
    is_late: NDArray[np.bool_]


def stretches_of(seen: Seen) -> dict[int, list[Stretch]]:
    """The stretches of some samples, which are in any order: by node, in order of time."""
    if not len(seen.node):
        return {}
    order = np.lexsort((seen.sequence, seen.run, seen.node))
    node, run, sequence, at_ms, period_ms, is_late = (column[order] for column in seen)
    ends = (
        (node[1:] != node[:-1])
        | (run[1:] != run[:-1])
        | (sequence[1:] - sequence[:-1] != 1)
        | (at_ms[1:] - at_ms[:-1] > HOLE_PERIODS * period_ms[:-1])
        | (np.abs(period_ms[1:] - period_ms[:-1]) > ALIKE_PART * period_ms[:-1])
        | (is_late[1:] != is_late[:-1])
    )
    last = np.append(np.flatnonzero(ends), len(run) - 1)
    first = np.append(0, last[:-1] + 1)
    columns = (
        run[first], sequence[first], sequence[last], at_ms[first], at_ms[last], period_ms[last],
        is_late[first],
    )  # fmt: skip
    rows = zip(*(column.tolist() for column in columns), strict=True)
    found = defaultdict[int, list[Stretch]](list)
    for number, row in zip(node[first].tolist(), rows, strict=True):
        found[number].append(Stretch(*row))
    for stretches in found.values():
        stretches.sort(key=lambda stretch: stretch.first_wall_ms)
    return found


def joined(stretches: Iterable[Stretch]) -> list[Stretch]:
    """The same with those made one that go on where another ends; in order of run and number."""
    ordered = sorted(stretches, key=lambda stretch: (stretch.run, stretch.first))
    result: list[Stretch] = []
    for each in ordered:
        if result and _goes_on(result[-1], each):
            before = result.pop()
            result.append(
                Stretch(
                    each.run,
                    before.first,
                    each.last,
                    before.first_wall_ms,
                    each.last_wall_ms,
                    each.period_ms,
                    each.is_late,
                )
            )
        else:
            result.append(each)
    return result


def _goes_on(before: Stretch, after: Stretch) -> bool:
    return (
        before.run == after.run
        and before.last + 1 == after.first
        and before.is_late == after.is_late
        and after.first_wall_ms - before.last_wall_ms <= HOLE_PERIODS * before.period_ms
        and abs(before.period_ms - after.period_ms) <= ALIKE_PART * before.period_ms
    )
