"""Delays, counted in classes that are 4 % wide: millions of them in a few kilobytes, and the counts
of several processes can be added up."""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

_CLASSES_PER_E: Final = 25
"""Per factor e: each class is 4 % wider than the one before it."""

_LEAST_S: Final = 1e-6


class Histogram:
    """How often which delay was seen."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: Final[defaultdict[int, int]] = defaultdict(int, counts or {})

    def add(self, delay_s: float) -> None:
        """One more."""
        wider = math.log(delay_s / _LEAST_S) if delay_s > _LEAST_S else 0.0
        self.counts[int(wider * _CLASSES_PER_E + 0.5)] += 1

    def merge(self, other: "Histogram") -> None:
        """All that the other has counted, too."""
        for place, count in other.counts.items():
            self.counts[place] += count

    @property
    def total(self) -> int:
        """How many were counted."""
        return sum(self.counts.values())

    def at(self, part: float) -> float | None:
        """The delay in seconds that this part of all was not above; None when there was none."""
        left = math.ceil(self.total * part)
        for place in sorted(self.counts):
            left -= self.counts[place]
            if left <= 0:
                return _LEAST_S * math.exp(place / _CLASSES_PER_E)
        return None
