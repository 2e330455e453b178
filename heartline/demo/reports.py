"""What a simulated host's agent has to say, in place of the real one's sampler."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import trio

from heartline.demo import hardware
from heartline.demo.core_sample import core
from heartline.demo.family_samples import family
from heartline.demo.hosts import Host
from heartline.demo.noise import unit
from heartline.demo.plan import Fault, Kind
from heartline.demo.signs import signs
from heartline.demo.stage import Stage
from shared import messages as m
from shared.metrics import FAMILIES, Core, Family


class Reports:
    """What a simulated host's agent has to say: the real sampler's part."""

    def __init__(self, host: Host, stage: Stage) -> None:
        self._host = host
        self._stage = stage
        self._faults: Sequence[Fault] = stage.plan.of(host)

    def core(self) -> Core:
        """See `agent.heart.Vitals`."""
        return core(self._host, signs(self._host, self._faults, self._stage.now_s()))

    def troubles(self) -> tuple[m.Trouble, ...]:
        """See `agent.heart.Vitals`."""
        now_s = self._stage.now_s()
        return tuple(
            m.Trouble("filesystems", "stuck", round(now_s - fault.at_s), self._no_answer())
            for fault in self._faults
            if fault.kind is Kind.STUCK and fault.is_on(now_s)
        )

    def align(self, next_beat_s: float, period_s: float) -> None:
        """See `agent.heart.Vitals`; what is asked for is computed then."""

    def everything(self) -> Iterator[m.FromAgent]:
        """What a master that has just been linked to does not know yet."""
        wall_s = self._stage.began_wall_s
        yield m.InventoryReport(m.raw(hardware.inventory(self._host, self.booted_s(), wall_s)))
        for name in FAMILIES:
            yield self.sample(name)

    def booted_s(self) -> float:
        """When the host was booted last."""
        return signs(self._host, self._faults, self._stage.now_s()).booted_s

    def sample(self, name: Family, hastened_s: float = math.inf) -> m.FamilySample:
        """One family in full, as it is now, which is sent at least every `hastened_s`."""
        stage = self._stage
        now_s = stage.now_s()
        data = family(
            name,
            self._host,
            self._faults,
            now_s,
            stage.began_wall_s,
            is_watched=hastened_s < math.inf,
        )
        return m.FamilySample(
            family=name,
            mono_ms=round(trio.current_time() * 1000),
            wall_ms=round((stage.began_wall_s + now_s) * 1000),
            period_ms=round(min(hardware.detail_s(name), hastened_s) * 1000),
            data=m.raw(data),
        )

    def _no_answer(self) -> str:
        points = [mount.point for mount in self._host.role.mounts if mount.is_remote]
        return f"no answer from {', '.join(points)}"


class FamilySender:
    """Sends every family in full, each on its own period and at its own moment of it."""

    def __init__(self, host: Host, stage: Stage, reports: Reports) -> None:
        self._host = host
        self._stage = stage
        self._reports = reports
        self._hastened: Mapping[Family, float] = {}
        self._changed = trio.Event()

    def hasten(self, periods_s: Mapping[Family, float]) -> None:
        """See `agent.attention.Measuring`."""
        self._hastened = periods_s
        self._changed.set()

    async def run(self, post: Callable[[m.FamilySample], None]) -> None:
        """Sends, until cancelled."""
        while True:
            due_s = {name: self._next_due_s(name) for name in FAMILIES}
            name = min(FAMILIES, key=lambda each: due_s[each])
            self._changed = trio.Event()
            with trio.move_on_at(self._stage.began_s + due_s[name]):
                await self._changed.wait()
                continue
            post(self._reports.sample(name, self._hastened_s(name)))

    def _hastened_s(self, name: Family) -> float:
        return self._hastened.get(name, math.inf)

    def _next_due_s(self, name: Family) -> float:
        period_s = min(hardware.detail_s(name), self._hastened_s(name))
        phase_s = unit(self._host.key, 200, FAMILIES.index(name)) * period_s
        return (math.floor((self._stage.now_s() - phase_s) / period_s) + 1) * period_s + phase_s
