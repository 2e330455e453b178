"""A sampler on a virtual clock: collectors that count, and tasks in place of threads."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import msgspec
import trio
from outcome import Error, Value

from agent.batch import Batch
from agent.collectors.reading import Facts, Reading
from agent.sampler import Sampler
from shared.families import FamilyData, Users
from shared.families_settings import FamiliesSettings, FamilySettings
from shared.inventory import Inventory
from shared.messages import FamilySample
from shared.metrics import Family

ALL = FamiliesSettings()
HOST = Inventory("host", "os", "kernel", "arch", "3.11", "0.1", "boot", 0)


class FakeCollector:
    """Counts its readings; `fail` is raised when set, `stuck` is what it says does not answer."""

    def __init__(self, family: Family, core: Mapping[str, int | None]) -> None:
        self.family: Family = family
        self.core = core
        self.data: FamilyData = Users()
        self.facts: Facts = {}
        self.times_s: list[float] = []
        self.fail: Exception | None = None
        self.stuck = ""

    def collect(self, now_s: float) -> Reading:
        self.times_s.append(now_s)
        if self.fail is not None:
            raise self.fail
        return Reading(self.data, self.core, self.facts, self.stuck)


class Recorder:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.samples: list[FamilySample] = []
        self.inventories: list[Inventory] = []

    def on_family(self, sample: FamilySample) -> None:
        self.samples.append(sample)

    def on_inventory(self, inventory: Inventory) -> None:
        self.inventories.append(inventory)


class Rig:
    """A sampler whose threads are tasks: `takes_s` is how long a family's reading takes."""

    def __init__(self, settings: FamiliesSettings, *collectors: FakeCollector) -> None:
        self.takes_s: dict[Family, float] = {}
        self.batches: list[tuple[Family, ...]] = []
        self.sink = Recorder()
        self.collectors = collectors
        self.nursery: trio.Nursery | None = None
        self.sampler = Sampler(
            collectors,
            settings,
            HOST,
            self.sink,
            clock=trio.current_time,
            wall_ms=lambda: 1_000_000 + round(trio.current_time() * 1000),
            start=self._start,
        )

    async def run(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        await nursery.start(self.sampler.run)

    def _start(self, batch: Batch) -> None:
        assert self.nursery is not None
        self.batches.append(tuple(collector.family for collector in batch.collectors))
        self.nursery.start_soon(self._thread, batch)

    async def _thread(self, batch: Batch) -> None:
        try:
            for collector in batch.steps():
                await trio.sleep(self.takes_s.get(collector.family, 0.0))
        except TypeError as bug:
            batch.returned(Error(bug))
        else:
            batch.returned(Value(None))


@asynccontextmanager
async def running(rig: Rig) -> AsyncGenerator[Rig, None]:
    async with trio.open_nursery() as nursery:
        await rig.run(nursery)
        yield rig
        nursery.cancel_scope.cancel()


def only(**families: FamilySettings) -> FamiliesSettings:
    """Settings in which every other family is switched off."""
    off = {family: msgspec.structs.replace(each, enabled=False) for family, each in ALL.each()}
    return msgspec.structs.replace(ALL, **(off | families))
