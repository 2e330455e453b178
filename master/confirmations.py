"""Up to which beat of one link everything is in durable history: what `Ack.stored` says."""

from typing import Final

RANGES_LIMIT: Final = 64
"""Ranges of refused beats that are told apart. Beyond it the last one covers what was taken in
between too, which is then confirmed when its agent has sent it again."""


class Confirmations:
    """Of one link. Beats come in the order in which they were sent, and are stored in the order in
    which they were taken.

    Both queues are short lists of ranges: every link has them, and an empty deque is 760 bytes.
    """

    __slots__ = ("_durable", "_refused", "_taken", "last")

    def __init__(self) -> None:
        self._taken: list[tuple[int, int]] = []
        self._durable = 0
        self.last = 0
        """The number of the last beat; 0: there was none."""
        self._refused: list[_Refused] = []

    def __repr__(self) -> str:
        return f"<Confirmations up to {self.upto}, {self._taken} under way>"

    @property
    def upto(self) -> int:
        """The samples of all beats on this link up to this number are stored; 0: of none yet."""
        if not self._refused:
            return self._durable
        return min(self._durable, self._refused[0].before)

    def taken(self, sequence: int) -> None:
        """A beat's sample is on its way to the disk."""
        taken = self._taken
        if taken and taken[-1][1] == sequence - 1:
            taken[-1] = taken[-1][0], sequence
        else:
            taken.append((sequence, sequence))
        self.last = sequence

    def refused(self, sequence: int) -> None:
        """A beat's sample is not: until it has come again, nothing behind it is confirmed."""
        ranges = self._refused
        if ranges and (ranges[-1].last == self.last or len(ranges) >= RANGES_LIMIT):
            ranges[-1].last = sequence
        else:
            ranges.append(_Refused(self.last, sequence))
        self.last = sequence

    def stored_next(self) -> int:
        """The oldest of those that were taken is on disk; returns `upto`."""
        self._durable, last = self._taken[0]
        if self._durable == last:
            self._taken.pop(0)
        else:
            self._taken[0] = self._durable + 1, last
        return self.upto if self._refused else self._durable

    def came_again(self, first: int, last: int) -> None:
        """Samples from `first` to `last` are on disk that were sent again, in order."""
        ranges = self._refused
        while ranges and first <= ranges[0].first <= last:
            if last < ranges[0].last:
                ranges[0].first, ranges[0].before = last + 1, last
                return
            ranges.pop(0)


class _Refused:
    """Beats that follow each other and are not stored."""

    __slots__ = ("before", "first", "last")

    def __init__(self, before: int, sequence: int) -> None:
        self.before = before
        self.first = sequence
        self.last = sequence
