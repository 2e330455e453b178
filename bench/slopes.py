"""How fast a quantity grows, and how sure that is: what a soak says of memory, descriptors, tasks.

What is sampled every few seconds is not independent: a cache fills and empties, a table is written
down once a minute. So samples are first averaged over blocks as long as the work that repeats, and
a line is fitted to the blocks. Where blocks still follow each other (what is left after the line is
correlated with its neighbour), fewer of them count, and the uncertainty grows accordingly.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from statistics import NormalDist, fmean
from typing import Final, NamedTuple

HOUR_S: Final = 3600.0

LEAST_BLOCKS: Final = 4
"""With fewer there is nothing to judge a line by."""

_Z: Final = NormalDist().inv_cdf(0.975)


class Slope(NamedTuple):
    """A line through blocks of samples. `plus_minus` is half of the 95 % interval."""

    per_h: float
    plus_minus: float
    blocks: int


class Verdict(StrEnum):
    """What a slope says of a limit, at 95 %."""

    FLAT = "flat"
    """Growing faster than the limit is ruled out."""
    GROWS = "grows"
    """Growing more slowly than the limit is ruled out."""
    UNDECIDED = "undecided"
    """Neither: it was not looked at for long enough."""


def slope(at_s: Sequence[float], values: Sequence[float], block_s: float) -> Slope:
    """The growth per hour of what had `values` at the times `at_s`, ascending.

    With fewer than `LEAST_BLOCKS` blocks the uncertainty is infinite.
    """
    blocks = averaged(at_s, values, block_s)
    count = len(blocks)
    if count < 2:
        return Slope(0.0, math.inf, count)
    mean_s, mean = fmean(each_s for each_s, _ in blocks), fmean(value for _, value in blocks)
    spread = sum((each_s - mean_s) ** 2 for each_s, _ in blocks)
    rate = sum((each_s - mean_s) * (value - mean) for each_s, value in blocks) / spread
    if count < LEAST_BLOCKS:
        return Slope(rate * HOUR_S, math.inf, count)
    rest = [value - mean - rate * (each_s - mean_s) for each_s, value in blocks]
    counted = count * _independent(rest)
    freedom = max(1.0, counted - 2)
    error = math.sqrt(sum(each**2 for each in rest) / spread / freedom)
    return Slope(rate * HOUR_S, student_t(freedom) * error * HOUR_S, count)


def verdict(found: Slope, limit_per_h: float) -> Verdict:
    """Whether what was found is above a limit."""
    if found.per_h - found.plus_minus > limit_per_h:
        return Verdict.GROWS
    return Verdict.FLAT if found.per_h + found.plus_minus <= limit_per_h else Verdict.UNDECIDED


def averaged(
    at_s: Sequence[float], values: Sequence[float], block_s: float
) -> list[tuple[float, float]]:
    """Time and mean of each block, from the first sample on. A last block that is not half full is
    left out: it would count as much as a whole one."""
    blocks: dict[int, list[tuple[float, float]]] = {}
    for each_s, value in zip(at_s, values, strict=True):
        blocks.setdefault(int((each_s - at_s[0]) // block_s), []).append((each_s, value))
    kept = list(blocks.values())
    if len(kept) > 1 and len(kept[-1]) * 2 < len(kept[-2]):
        kept.pop()
    return [(fmean(s for s, _ in block), fmean(v for _, v in block)) for block in kept]


def ends(
    at_s: Sequence[float], values: Sequence[float], length_s: float = 60.0
) -> tuple[float, float]:
    """The means over the first and over the last `length_s`."""
    first = [
        value for each_s, value in zip(at_s, values, strict=True) if each_s < at_s[0] + length_s
    ]
    last = [
        value for each_s, value in zip(at_s, values, strict=True) if each_s > at_s[-1] - length_s
    ]
    return fmean(first), fmean(last)


def student_t(freedom: float) -> float:
    """The 97.5 % quantile of Student's distribution, by its expansion about the normal one, to a
    percent from three degrees of freedom on; for fewer, by the closed forms of one and two."""
    if freedom < 2:
        return math.tan(math.pi * 0.475)
    if freedom < 3:
        return 0.95 / math.sqrt(2 * 0.975 * 0.025)
    z, v = _Z, freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def _independent(rest: Sequence[float]) -> float:
    """Which part of the blocks counts, by the correlation of each with the next."""
    power = sum(each**2 for each in rest)
    if not power:
        return 1.0
    correlation = sum(one * other for one, other in pairwise(rest)) / power
    correlation = min(max(correlation, 0.0), 0.99)
    return (1 - correlation) / (1 + correlation)
