"""The sampler: reads every family on its own period and holds what was read last.

Collectors run in worker threads with a deadline each (`agent.batch`), never in trio's. One that
fails or hangs is reported by name with its age, and is not called again before it has returned: at
most one thread per family can hang, and those behind it wait for it once. What was read too long
ago is not known any more; it leaves the core sample instead of standing there as if it were true.

All families are read on one grid, so that the host is woken once for what falls due together.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import trio
from msgspec import structs

from agent.batch import Batch, Clock, Finished, run_in_thread
from agent.collectors.reading import Attentive, Collector, Facts
from agent.watched import READINGS_FOR_RATES, Watched
from shared.families import FamilyData
from shared.families_settings import FamiliesSettings
from shared.inventory import Inventory
from shared.messages import FamilySample, Trouble
from shared.metrics import Core, Family

COUNTERS: Final[frozenset[Family]] = frozenset(
    {"cpu", "memory", "swap", "disks", "network", "system"}
)
"""What the kernel has at hand and beats tell first: read for every beat, in a thread of their own,
so that nothing else can delay them. All other families share a second thread."""

FIRST_INTERVAL_S: Final = 1.0
"""The second reading follows the first so soon, for rates need two."""

LEAD_S: Final = 0.05
"""The grid is this far ahead of the heart's: a beat carries what was read just before it."""

ALIGNED_S: Final = 0.001

Start: TypeAlias = Callable[[Batch], None]
"""Runs a batch aside, and calls its `returned` in trio's thread when it is through."""


class Sink(Protocol):
    """Where finished work goes. Called in trio's thread; must not block."""

    def on_family(self, sample: FamilySample) -> None:
        """A family in full, on its `detail_s`."""
        ...

    def on_inventory(self, inventory: Inventory) -> None:
        """The inventory: once every family has been tried, and whenever it changes."""
        ...


class Sampler:
    """Owns the collectors, their schedule and their latest readings.

    `clock` is monotonic and read from threads too; the times given to `core` and `troubles` are on
    it. `wall_ms` is a record. The schedule is on trio's own clock.
    """

    def __init__(
        self,
        collectors: Iterable[Collector],
        settings: FamiliesSettings,
        host: Inventory,
        sink: Sink,
        *,
        clock: Clock,
        wall_ms: Callable[[], int],
        start: Start = run_in_thread,
    ) -> None:
        by_family = dict(settings.each())
        enabled = [c for c in collectors if by_family[c.family].enabled]
        self._clock = clock
        self._wall_ms = wall_ms
        self._start = start
        self._sink = sink
        self._host = host
        self._families: dict[Family, Watched] = {
            c.family: Watched(c, by_family[c.family], since_s=clock()) for c in enabled
        }
        self._inventory: Inventory | None = None
        self._origin_s = 0.0
        self._beat_s = math.inf
        self._hastened: Mapping[Family, float] = {}
        self._realigned = trio.Event()
        self.ready = trio.Event()
        """Set once the counters have been tried: the first beat need not be empty."""

    def __repr__(self) -> str:
        tried = sum([each.tried for each in self._families.values()])
        return f"<Sampler of {len(self._families)} families, {tried} tried>"

    def core(self, now_s: float) -> Core:
        """The core sample of what is known now; never blocks."""
        values: dict[str, int | None] = {}
        for each in self._families.values():
            values.update(each.core(now_s))
        return Core(**values)

    def troubles(self, now_s: float) -> tuple[Trouble, ...]:
        """The families that are not measured as they should be; never blocks."""
        found = [each.trouble(now_s) for each in self._families.values()]
        return tuple([trouble for trouble in found if trouble is not None])

    def inventory(self) -> Inventory | None:
        """The inventory as it was last given to the sink; None before every family was tried."""
        return self._inventory

    def samples(self) -> tuple[FamilySample, ...]:
        """The latest of every family in full, for a master that has just been linked to."""
        found = [each.sample() for each in self._families.values()]
        return tuple([sample for sample in found if sample is not None])

    def families(self) -> dict[Family, FamilyData]:
        """The same, not encoded."""
        families = self._families.items()
        return {family: each.data for family, each in families if each.data is not None}

    def align(self, next_beat_s: float, period_s: float) -> None:
        """The heart beats at `next_beat_s` on trio's clock and every `period_s` from then on.

        The grid moves ahead of it, and counters are read at least that often. Where it is there
        already, nothing happens.
        """
        origin_s = next_beat_s - LEAD_S
        off_s = math.remainder(origin_s - self._origin_s, period_s)
        if period_s == self._beat_s and abs(off_s) < ALIGNED_S:
            return
        self._origin_s, self._beat_s = origin_s, period_s
        now_s = trio.current_time()
        for each in self._families.values():
            self._set_pace(each)
            # A family with a period of its own waits for its turn, and then for the next beat.
            waits = each.collector.family not in COUNTERS
            each.anchor_s = next_on_grid(origin_s, period_s, each.wanted_s) if waits else origin_s
            due_s = each.anchor_s if waits else self._next_due_s(each, now_s)
            each.due_s = min(each.due_s, due_s) if each.readings < READINGS_FOR_RATES else due_s
        self._realigned.set()
        self._realigned = trio.Event()

    def hasten(self, periods_s: Mapping[Family, float]) -> None:
        """From now on these families are read, and sent in full, at least so often (in seconds).

        All others go back to their settings, and those that are hastened are read more closely,
        where a collector has more to tell. However often this changes, a period in force goes by
        between two readings of a family; if it has gone by already, the next one is now.
        """
        self._hastened = periods_s
        now_s = trio.current_time()
        for each in self._families.values():
            before_s = each.period_s
            self._set_pace(each)
            if isinstance(each.collector, Attentive):
                each.collector.look_closely(each.collector.family in periods_s)
            if each.period_s == before_s or each.readings < READINGS_FOR_RATES:
                continue
            due_s = max(now_s, each.begun_s + each.period_s)
            if each.period_s > before_s:
                due_s = self._next_due_s(each, due_s - ALIGNED_S)
            each.due_s = each.wanted_s = due_s
        self._realigned.set()
        self._realigned = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Reads families as they fall due, until cancelled. What hangs then is left behind."""
        self._origin_s = trio.current_time()
        for each in self._families.values():
            each.anchor_s = each.due_s = each.wanted_s = self._origin_s
        async with trio.open_nursery() as nursery:
            for lane in self._lanes():
                nursery.start_soon(self._keep, lane)
            self._take_stock()  # with every family switched off there is nothing to wait for
            task_status.started()

    async def read_all(self) -> None:
        """Reads every family once, now."""
        async with trio.open_nursery() as nursery:
            for lane in self._lanes():
                nursery.start_soon(self._read, lane)

    def _lanes(self) -> list[list[Watched]]:
        """What is read one after another in one thread: the counters, and all else."""
        families = self._families.items()
        counters = [each for family, each in families if family in COUNTERS]
        others = [each for family, each in families if family not in COUNTERS]
        return [lane for lane in (counters, others) if lane]

    async def _keep(self, lane: list[Watched]) -> None:
        while True:
            with trio.move_on_at(min([each.due_s for each in lane])):
                await self._realigned.wait()
            now_s = trio.current_time()
            due = [each for each in lane if each.due_s <= now_s]
            for each in due:
                each.begun_s = each.due_s
            await self._read(due)
            now_s = trio.current_time()
            for each in due:
                each.due_s = each.wanted_s = self._next_due_s(each, now_s)

    def _next_due_s(self, each: Watched, now_s: float) -> float:
        if each.collector.family in self._hastened:  # its first reading was not on the grid
            now_s = max(now_s, each.begun_s + each.period_s - ALIGNED_S)
        due_s = next_on_grid(each.anchor_s, each.period_s, now_s)
        if each.readings == 1:
            return min(due_s, now_s + FIRST_INTERVAL_S)
        return due_s

    def _set_pace(self, each: Watched) -> None:
        family, settings = each.collector.family, each.settings
        hastened_s = self._hastened.get(family, math.inf)
        each.detail_s = min(settings.detail_s, hastened_s)
        each.period_s = min(settings.period_s, hastened_s)
        if family in COUNTERS:
            each.period_s = min(each.period_s, self._beat_s)

    async def _read(self, due: list[Watched]) -> None:
        """Reads what is due, one after another, each within its deadline."""
        waiting: Sequence[Collector] = [each.collector for each in due if each.has_returned()]
        while waiting:
            batch = Batch(waiting, self._clock)
            self._start(batch)
            await self._wait(batch)
            if batch.done.is_set():
                finished, waiting = batch.results(), ()
            else:
                finished, hanging, waiting = batch.abandon()
                if hanging is not None:
                    self._families[hanging.family].hangs_in(batch)
            for each in finished:
                self._take(each)
        self._take_stock()

    async def _wait(self, batch: Batch) -> None:
        """Until the batch is done, or the collector that it is at has had its time."""
        while not batch.done.is_set():
            collector, since_s = batch.current()
            deadline_s = self._families[collector.family].settings.deadline_s
            left_s = since_s + deadline_s - self._clock()
            if left_s <= 0:
                return
            with trio.move_on_after(left_s):
                await batch.done.wait()

    def _take(self, finished: Finished) -> None:
        each = self._families[finished.collector.family]
        if each.take(finished, self._wall_ms()) and (sample := each.sample()):
            self._sink.on_family(sample)

    def _take_stock(self) -> None:
        """Tells who waits for it that the counters, or all families, have been tried."""
        untried = {family for family, each in self._families.items() if not each.tried}
        if not untried & COUNTERS:
            self.ready.set()
        if untried:
            return
        facts: Facts = {}
        for each in self._families.values():
            facts.update(each.facts)
        inventory = structs.replace(self._host, **facts)
        if inventory != self._inventory:
            self._inventory = inventory
            self._sink.on_inventory(inventory)


def next_on_grid(origin_s: float, period_s: float, after_s: float) -> float:
    """The first instant after `after_s` that is a whole number of periods from `origin_s`."""
    steps = math.floor((after_s - origin_s) / period_s) + 1
    due_s = origin_s + steps * period_s
    return due_s if due_s > after_s else due_s + period_s
