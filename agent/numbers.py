"""A set of whole numbers, kept as the stretches that it consists of.

The samples that a run of the agent has taken are numbered one after another, so what is still to
be confirmed is a stretch or two, however many samples that is.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Numbers:
    """Stretches of numbers, ascending; no two of them overlap or touch."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, first: int | None = None, last: int | None = None) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        if first is not None:
            self.add(first, last)

    def __repr__(self) -> str:
        return f"<Numbers {', '.join(f'{first}-{last}' for first, last in self.stretches())}>"

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __len__(self) -> int:
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def __contains__(self, number: int) -> bool:
        at = bisect_left(self._lasts, number)
        return at < len(self._lasts) and self._firsts[at] <= number

    def __iter__(self) -> Iterator[int]:
        for first, last in self.stretches():
            yield from range(first, last + 1)

    def stretches(self) -> Iterator[tuple[int, int]]:
        """The first and the last number of each, ascending."""
        return zip(self._firsts, self._lasts, strict=True)

    def add(self, first: int, last: int | None = None) -> None:
        """Adds a number, or all from `first` to `last`."""
        last = first if last is None else last
        firsts, lasts = self._firsts, self._lasts
        # Those from `begin` up to, without, `end` overlap the new one or touch it.
        begin, end = bisect_left(lasts, first - 1), bisect_right(firsts, last + 1)
        if begin < end:
            first, last = min(first, firsts[begin]), max(last, lasts[end - 1])
        firsts[begin:end], lasts[begin:end] = [first], [last]

    def discard(self, first: int, last: int | None = None) -> None:
        """Takes a number, or all from `first` to `last`, out, as far as they are in."""
        last = first if last is None else last
        firsts, lasts = self._firsts, self._lasts
        begin, end = bisect_left(lasts, first), bisect_right(firsts, last)
        if begin >= end:
            return
        left: list[tuple[int, int]] = []
        if firsts[begin] < first:
            left.append((firsts[begin], first - 1))
        if lasts[end - 1] > last:
            left.append((last + 1, lasts[end - 1]))
        firsts[begin:end] = [each for each, _ in left]
        lasts[begin:end] = [each for _, each in left]

    def between(self, first: int, last: int) -> "Numbers":
        """Those from `first` to `last`; none where that is the wrong way round."""
        found = Numbers()
        if first > last:
            return found
        begin, end = bisect_left(self._lasts, first), bisect_right(self._firsts, last)
        for at in range(begin, end):
            found.add(max(first, self._firsts[at]), min(last, self._lasts[at]))
        return found

    def common(self, other: "Numbers") -> "Numbers":
        """Those that are in both."""
        found = Numbers()
        for first, last in other.stretches():
            found.add_all(self.between(first, last))
        return found

    def add_all(self, other: "Numbers") -> None:
        """Adds all of another set."""
        for first, last in other.stretches():
            self.add(first, last)

    def discard_all(self, other: "Numbers") -> None:
        """Takes out all of another set."""
        for first, last in other.stretches():
            self.discard(first, last)

    def least(self, count: int) -> "Numbers":
        """The first so many of them."""
        found = Numbers()
        for first, last in self.stretches():
            if count <= 0:
                break
            found.add(first, min(last, first + count - 1))
            count -= last - first + 1
        return found

    def copy(self) -> "Numbers":
        """Another set of the same numbers."""
        copied = Numbers()
        copied.add_all(self)
        return copied
