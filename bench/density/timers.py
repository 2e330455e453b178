"""What is due when, in slots of a few milliseconds: thousands of beats a second then cost a list's
`append` each, only the slots are kept in order, and a process that wakes finds several to send."""

import math
import time
from heapq import heappop, heappush
from typing import Final, Generic, TypeVar

_SLOTS_PER_S: Final = 250
"""Waking up costs as much as a beat."""

Item = TypeVar("Item")


class Timers(Generic[Item]):
    """Items by the time that each is due; times are `time.monotonic`'s."""

    def __init__(self) -> None:
        # Counted from now, so that the processes of one load do not all wake at once.
        self._origin_s = time.monotonic() % (1 / _SLOTS_PER_S)
        self._slots: dict[int, list[Item]] = {}
        self._order: list[int] = []
        """The slots' numbers, as a heap."""
        self.next_s = math.inf
        """When something is due; infinite: nothing is."""

    def __repr__(self) -> str:
        return f"<Timers {len(self._slots)} slots, the next at {self.next_s:.3f} s>"

    def add(self, due_s: float, item: Item) -> None:
        """It comes at `due_s`, or up to 4 ms later."""
        slot = math.ceil((due_s - self._origin_s) * _SLOTS_PER_S)
        items = self._slots.get(slot)
        if items is None:
            self._slots[slot] = [item]
            heappush(self._order, slot)
            self._look()
        else:
            items.append(item)

    def take(self, now_s: float, at_most: int) -> list[Item]:
        """Items of the earliest slot that is due, each once; empty: none is."""
        if now_s < self.next_s:
            return []
        slot = self._order[0]
        items = self._slots[slot]
        if len(items) > at_most:
            taken = items[:at_most]
            del items[:at_most]
            return taken
        heappop(self._order)
        self._look()
        return self._slots.pop(slot)

    def _look(self) -> None:
        earliest = self._order[0] if self._order else math.inf
        self.next_s = earliest / _SLOTS_PER_S + self._origin_s
