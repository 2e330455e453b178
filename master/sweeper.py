"""The one owner of deadlines: silence, deafness and liveness of every link and node.

A cancel scope around every read is the most expensive thing in a server with ten thousand links;
here a deadline that moves later (as every beat makes it) costs nothing at all. An item is looked at
when the earliest deadline it ever had comes due, says what its deadline is by then, and is put
back.

Items wait in slots of time, as in a timing wheel (Varghese and Lauck, "Hashed and Hierarchical
Timing Wheels", 1987), so that putting one back is an append; a heap orders the slots, of which
there are few, instead of the items. Within a slot they are looked at in the order of their times.
"""

import heapq
from math import inf
from operator import attrgetter
from typing import Final, Protocol

import trio

GRANULARITY_S: Final = 0.05
"""Sweeps are at least this far apart, so that many deadlines share one wake-up; and so long is a
slot."""

NOT_SCHEDULED: Final = inf

_scheduled_s: Final = attrgetter("scheduled_s")


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
    """Items by the time at which to look at them next."""

    def __init__(self) -> None:
        self._slots: dict[float, list[Timed]] = {}
        self._order: list[float] = []
        self._soonest_s = NOT_SCHEDULED
        self._wake = trio.Event()

    def __repr__(self) -> str:
        return f"<Sweeper of {sum(map(len, self._slots.values()))} deadlines>"

    def schedule(self, item: Timed) -> None:
        """Call when an item is new or its deadline may have moved earlier. Later moves need no
        call."""
        at_s = item.deadline_s()
        if at_s is not None and at_s < item.scheduled_s:
            self._put(item, at_s)

    def _put(self, item: Timed, at_s: float) -> None:
        before_s, item.scheduled_s = item.scheduled_s, at_s
        slot = at_s // GRANULARITY_S
        if slot != before_s // GRANULARITY_S:  # else it is there; infinity is in no slot
            items = self._slots.get(slot)
            if items is None:
                self._slots[slot] = [item]
                heapq.heappush(self._order, slot)
            else:
                items.append(item)
        if at_s < self._soonest_s:
            self._soonest_s = at_s
            self._wake.set()

    def sweep(self, now_s: float) -> float:
        """Expires everything due by `now_s`; returns when the next look is due (inf: never)."""
        order, present = self._order, now_s // GRANULARITY_S
        while order and order[0] <= present:
            slot = heapq.heappop(order)
            self._sweep_slot(slot, now_s)
            if slot == present and not self._has_due(slot, now_s):
                break
        self._soonest_s = self._first_s()
        return self._soonest_s

    async def run(self) -> None:
        """Sweeps for ever."""
        while True:
            now_s = trio.current_time()
            next_s = self.sweep(now_s)
            await trio.sleep(GRANULARITY_S)
            self._wake = trio.Event()
            if self._soonest_s < next_s:
                continue
            with trio.move_on_at(next_s):
                await self._wake.wait()

    def _sweep_slot(self, slot: float, now_s: float) -> None:
        # The slot is on no list meanwhile: what is put into it begins another one.
        for item in sorted(self._slots.pop(slot), key=_scheduled_s):
            at_s = item.scheduled_s
            if at_s // GRANULARITY_S != slot:
                continue  # it was scheduled anew, earlier
            item.scheduled_s = NOT_SCHEDULED
            due_s = item.deadline_s()
            if due_s is not None and due_s <= now_s:
                item.expire(now_s)
                self.schedule(item)
            elif due_s is not None and due_s < NOT_SCHEDULED:
                self._put(item, due_s)

    def _has_due(self, slot: float, now_s: float) -> bool:
        return any(item.scheduled_s <= now_s for item in self._slots.get(slot, ()))

    def _first_s(self) -> float:
        if not self._order:
            return NOT_SCHEDULED
        slot = self._order[0]
        there = (item.scheduled_s for item in self._slots[slot])
        return min(
            (at_s for at_s in there if at_s // GRANULARITY_S == slot), default=slot * GRANULARITY_S
        )
