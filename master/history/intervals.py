"""A set of whole numbers, kept as the intervals that it consists of.

Which samples of a run there are is such a set: mostly one interval that grows at its end, with a
hole for each sample that is missing. Adding the next number touches the last interval alone; any
other takes a binary search, and moves what lies behind it in an array of machine words.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from heapq import merge
from typing import Final

_MORE: Final = 0x80
_BITS: Final = 7

LARGEST_NUMBER: Final = 2**62
"""Nothing beyond is taken: what is added to it still fits into a machine word."""


class Intervals:
    """Numbers from 0 to `LARGEST_NUMBER`. No two of its intervals overlap or touch."""

    __slots__ = ("_count", "_firsts", "_lasts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts = array("q")
        self._lasts = array("q")
        self._count = 0
        for first, last in ranges:
            self.add_range(first, last)

    def __repr__(self) -> str:
        shown = ", ".join(f"{first}-{last}" for first, last in self.ranges())
        return f"<Intervals {shown if len(shown) <= 80 else shown[:77] + '...'}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Intervals):
            return NotImplemented
        return self._firsts == other._firsts and self._lasts == other._lasts

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        """How many numbers there are, not how many intervals."""
        return self._count

    def __contains__(self, number: int) -> bool:
        lasts = self._lasts
        if not lasts or number > lasts[-1]:
            return False
        return self._firsts[bisect_left(lasts, number)] <= number

    def ranges(self) -> Iterator[tuple[int, int]]:
        """The intervals, ascending: the first number and the last of each."""
        return zip(self._firsts, self._lasts, strict=True)

    def add(self, number: int) -> bool:
        """Adds a number; whether it is new.

        Raises:
            ValueError: it is not one that can be in here.
        """
        lasts = self._lasts
        if lasts and number == lasts[-1] + 1 and number <= LARGEST_NUMBER:
            lasts[-1] = number
            self._count += 1
            return True
        return self.add_range(number, number) == 1

    def add_range(self, first: int, last: int) -> int:
        """Adds every number from `first` to `last`; how many of them are new.

        Raises:
            ValueError: these are not numbers that can be in here, or not in this order.
        """
        if not 0 <= first <= last <= LARGEST_NUMBER:
            raise ValueError(f"{first}-{last}: expected numbers from 0 to {LARGEST_NUMBER}")
        firsts, lasts = self._firsts, self._lasts
        # Those from `begin` up to, without, `end` overlap the new one or touch it.
        begin, end = bisect_left(lasts, first - 1), bisect_right(firsts, last + 1)
        known = 0
        if begin < end:
            known = sum(lasts[at] - firsts[at] + 1 for at in range(begin, end))
            first, last = min(first, firsts[begin]), max(last, lasts[end - 1])
        firsts[begin:end] = array("q", (first,))
        lasts[begin:end] = array("q", (last,))
        new = last - first + 1 - known
        self._count += new
        return new

    def merged(self, other: "Intervals") -> "Intervals":
        """The numbers that are in either, in time that grows with the number of intervals."""
        return Intervals(merge(self.ranges(), other.ranges()))

    def to_bytes(self) -> bytes:
        """As few bytes as the holes and lengths need; `from_bytes` reads them."""
        packed = bytearray()
        free = 0  # the least number at which the next interval can begin
        for first, last in self.ranges():
            _append(packed, first - free)
            _append(packed, last - first)
            free = last + 2
        return bytes(packed)

    @classmethod
    def from_bytes(cls, packed: bytes) -> "Intervals":
        """What `to_bytes` has written.

        Raises:
            ValueError: these are other bytes.
        """
        intervals = cls()
        numbers = _numbers(packed)
        free = 0
        for gap in numbers:
            length = next(numbers, None)
            if length is None:
                raise ValueError("an interval without an end")
            first = free + gap
            intervals.add_range(first, first + length)
            free = first + length + 2
        return intervals


def _append(packed: bytearray, number: int) -> None:
    # Seven bits a byte, the lowest first.
    while number >= _MORE:
        packed.append(number & (_MORE - 1) | _MORE)
        number >>= _BITS
    packed.append(number)


def _numbers(packed: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in packed:
        number |= (byte & (_MORE - 1)) << shift
        shift += _BITS
        if byte < _MORE:
            yield number
            number = shift = 0
    if shift:
        raise ValueError("a number that has no end")
