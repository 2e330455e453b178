"""The one owner of deadlines: silence, deafness and liveness of every link and node.

A cancel scope around every read is the most expensive thing in a server with ten thousand links;
here a deadline that moves later (as every beat makes it) costs nothing at all. An item is looked at
when the earliest deadline it ever had comes due, says what its deadline is by then, and is put
back.
"""

import heapq
import math
from itertools import count
from typing import Final, Protocol

import trio

GRANULARITY_S: Final = 0.05
"""Sweeps are at least this far apart, so that many deadlines share one wake-up."""

NOT_SCHEDULED: Final = math.inf


class Timed(Protocol):
    """Something with a deadline that moves."""

    scheduled_s: float
    """The sweeper's own mark; start it as NOT_SCHEDULED."""

    def deadline_s(self) -> float | None:
        """When `expire` is due, on trio's clock; None for never."""
        ...

    def expire(self, now_s: float) -> None:
        """The deadline has come. Must move it or make it None."""
        ...


class Sweeper:
    """A heap of items by the time at which to look at them next."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timed]] = []
        self._order = count()
        self._wake = trio.Event()

    def __repr__(self) -> str:
        return f"<Sweeper of {len(self._heap)} deadlines>"

    def schedule(self, item: Timed) -> None:
        """Call when an item is new or its deadline may have moved earlier. Later moves need no
        call."""
        at_s = item.deadline_s()
        if at_s is None or at_s >= item.scheduled_s:
            return
        if not self._heap or at_s < self._heap[0][0]:
            self._wake.set()
        item.scheduled_s = at_s
        heapq.heappush(self._heap, (at_s, next(self._order), item))

    def sweep(self, now_s: float) -> float:
        """Expires everything due by `now_s`; returns when the next look is due (inf: never)."""
        heap = self._heap
        while heap and heap[0][0] <= now_s:
            at_s, _, item = heapq.heappop(heap)
            if at_s != item.scheduled_s:
                continue  # it was scheduled anew, earlier
            item.scheduled_s = NOT_SCHEDULED
            due_s = item.deadline_s()
            if due_s is not None and due_s <= now_s:
                item.expire(now_s)
            self.schedule(item)
        return heap[0][0] if heap else NOT_SCHEDULED

    async def run(self) -> None:
        """Sweeps for ever."""
        while True:
            now_s = trio.current_time()
            next_s = self.sweep(now_s)
            await trio.sleep(GRANULARITY_S)
            self._wake = trio.Event()
            if self._heap and self._heap[0][0] < next_s:
                continue
            with trio.move_on_at(next_s):
                await self._wake.wait()
