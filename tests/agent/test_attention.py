"""The cadence of an agent that somebody looks at: real heart and sampler, on a virtual clock."""

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from agent.attention import Attention
from agent.heart import Heart
from agent.spool_records import RunKey, Sample
from shared import messages as m
from shared.metrics import FAMILIES, Core, Family
from shared.settings import AgentSettings
from tests.agent.sampling_rig import ALL, FakeCollector, Rig, running

BASE_MS = 5_000
LOOK = m.Attend(1_000, 2_000, 10_000)
LOOK_AWAY = m.Attend(1_000, 2_000, 0)

JITTER_S = 0.001

RUN = RunKey("boot", 0)


def nothing_kept(sample: Sample) -> None:
    """No spool."""


class AttentiveCollector(FakeCollector):
    """Keeps when it was told to look closely, and when not to any more."""

    def __init__(self, family: Family) -> None:
        super().__init__(family, {})
        self.told: list[tuple[float, bool]] = []

    def look_closely(self, is_watched: bool, /) -> None:
        self.told.append((trio.current_time(), is_watched))


class Host:
    """One agent without its link: `beats` are those sent, with the instants at which they were."""

    def __init__(self, settings: AgentSettings) -> None:
        self.collectors = {family: FakeCollector(family, {}) for family in FAMILIES}
        self.processes = self.collectors["processes"] = AttentiveCollector("processes")
        self.rig = Rig(ALL, *self.collectors.values())
        self.heart = Heart(self, BASE_MS / 1000, random.Random(7), least_s=settings.period_min_s)
        self.attention = Attention(settings, self.heart, self.rig.sampler)
        self.beats: list[tuple[float, m.Beat]] = []

    def core(self) -> Core:
        return Core()

    def troubles(self) -> tuple[m.Trouble, ...]:
        return ()

    def align(self, next_beat_s: float, period_s: float) -> None:
        self.rig.sampler.align(next_beat_s, period_s)

    async def linked(self, nursery: trio.Nursery) -> Callable[[], None]:
        """As `agent.linker` does on a welcome; returns what ends the link."""
        self.attention.set_period(BASE_MS)
        link = await nursery.start(self._link)
        assert isinstance(link, trio.CancelScope)
        return link.cancel

    async def _link(self, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.attention.run)
            task_status.started(nursery.cancel_scope)
            with self.heart.linked(self._send):
                await trio.sleep_forever()

    def _send(self, beat: m.Beat) -> None:
        self.beats.append((trio.current_time(), beat))

    def beats_between(self, begin_s: float, end_s: float) -> list[float]:
        return [at_s for at_s, _ in self.beats if begin_s <= at_s < end_s]

    def samples_between(self, family: Family, begin_s: float, end_s: float) -> list[float]:
        """When a family was sent in full."""
        times_s = [each.mono_ms / 1000 for each in self.rig.sink.samples if each.family == family]
        return [at_s for at_s in times_s if begin_s <= at_s < end_s]


@asynccontextmanager
async def host(settings: AgentSettings | None = None) -> AsyncGenerator[Host]:
    """A linked agent whose families have been read for a while and that nobody looks at."""
    each = Host(settings or AgentSettings())
    async with running(each.rig), trio.open_nursery() as nursery:
        nursery.start_soon(each.heart.run, RUN, nothing_kept)
        await each.linked(nursery)
        await trio.sleep(100)
        yield each
        nursery.cancel_scope.cancel()
    assert_promises_kept(each)


def assert_promises_kept(host: Host) -> None:
    for (at_s, beat), (next_s, _) in pairwise(host.beats):
        assert next_s <= at_s + beat.next_in_ms / 1000 + JITTER_S


def gaps(times_s: list[float]) -> set[float]:
    assert len(times_s) > 1
    return {round(after_s - before_s, 3) for before_s, after_s in pairwise(times_s)}


async def look_for(host: Host, seconds: float) -> None:
    """As a master does while somebody looks."""
    with trio.move_on_after(seconds):
        while True:
            host.attention.attend(LOOK)
            await trio.sleep(4)


async def test_watched_node_beats_each_second_and_tells_its_processes_every_two(
    autojump_clock: MockClock,
) -> None:
    async with host() as watched:
        await look_for(watched, 40)
        assert gaps(watched.beats_between(102, 140)) == {1.0}
        assert gaps(watched.samples_between("processes", 102, 140)) == {2.0}
        assert gaps(watched.samples_between("cpu", 102, 140)) == {2.0}
        assert gaps(watched.collectors["cpu"].times_s[-20:]) == {1.0}
        assert gaps(watched.samples_between("connections", 102, 140)) == {10.0}
        assert len(watched.samples_between("filesystems", 100, 140)) <= 1


async def test_first_fine_beat_and_table_come_without_delay(autojump_clock: MockClock) -> None:
    async with host() as watched:
        await look_for(watched, 3.5)
        assert watched.beats_between(100, 101.001)
        assert watched.samples_between("processes", 100, 100.001)
        assert watched.samples_between("processes", 102, 103.001)


async def test_samples_say_how_often_they_come_meanwhile(autojump_clock: MockClock) -> None:
    async with host() as watched:
        await look_for(watched, 10)
        by_family = {each.family: each for each in watched.rig.sink.samples}
        assert by_family["processes"].period_ms == 2_000
        await trio.sleep(100)
        by_family = {each.family: each for each in watched.rig.sink.samples}
        assert by_family["processes"].period_ms == 60_000


async def test_processes_are_read_closely_for_as_long_as_somebody_looks(
    autojump_clock: MockClock,
) -> None:
    async with host() as watched:
        assert not watched.processes.told
        watched.attention.attend(LOOK)
        await trio.sleep(60)
        assert watched.processes.told == [(100.0, True), (110.0, False)]


async def test_lease_ends_by_itself_and_everything_is_as_before(autojump_clock: MockClock) -> None:
    async with host() as watched:
        watched.attention.attend(LOOK)
        await trio.sleep(320)
        assert gaps(watched.beats_between(102, 110)) == {1.0}
        assert gaps(watched.beats_between(120, 420)) == {5.0}
        assert gaps(watched.samples_between("processes", 112, 420)) == {60.0}
        assert gaps(watched.samples_between("cpu", 112, 420)) == {60.0}
        assert gaps(watched.collectors["processes"].times_s[-6:]) == {30.0}
        assert gaps(watched.collectors["cpu"].times_s[-20:]) == {5.0}


async def test_nobody_looking_any_more_ends_it_at_once(autojump_clock: MockClock) -> None:
    async with host() as watched:
        await look_for(watched, 6)
        watched.attention.attend(LOOK_AWAY)
        await trio.sleep(30)
        assert len(watched.beats_between(106, 112)) <= 2
        assert gaps(watched.beats_between(108, 136)) == {5.0}
        assert watched.samples_between("processes", 106, 130) == []


async def test_repeated_request_neither_adds_beats_nor_moves_them(
    autojump_clock: MockClock,
) -> None:
    async with host() as watched:
        for _ in range(300):
            watched.attention.attend(LOOK)
            await trio.sleep(0.1)
        assert gaps(watched.beats_between(102, 130)) == {1.0}
        assert gaps(watched.samples_between("processes", 102, 130)) == {2.0}


async def test_agent_that_refuses_goes_on_as_ever(autojump_clock: MockClock) -> None:
    async with host(AgentSettings(watching=False)) as refusing:
        await look_for(refusing, 60)
        assert gaps(refusing.beats_between(100, 160)) == {5.0}
        assert len(refusing.samples_between("processes", 100, 160)) == 1


@pytest.mark.parametrize(
    "settings",
    [
        AgentSettings(watching_period_min_s=2, watching_detail_min_s=6),
        AgentSettings(period_min_s=2, watching_detail_min_s=6),
    ],
)
async def test_own_settings_bound_what_is_granted(
    settings: AgentSettings, autojump_clock: MockClock
) -> None:
    async with host(settings) as bounded:
        await look_for(bounded, 60)
        assert gaps(bounded.beats_between(104, 160)) == {2.0}
        assert gaps(bounded.samples_between("processes", 104, 160)) == {6.0}


async def test_nobody_makes_a_node_slower_by_looking(autojump_clock: MockClock) -> None:
    async with host() as watched:
        watched.attention.attend(m.Attend(60_000, 600_000, 60_000))
        await trio.sleep(60)
        assert gaps(watched.beats_between(100, 160)) == {5.0}
        assert gaps(watched.collectors["processes"].times_s[-3:]) == {30.0}


async def test_other_ordinary_cadence_is_kept_for_when_nobody_looks(
    autojump_clock: MockClock,
) -> None:
    async with host() as watched:
        watched.attention.attend(LOOK)
        watched.attention.set_period(10_000)
        await trio.sleep(60)
        assert gaps(watched.beats_between(102, 110)) == {1.0}
        assert gaps(watched.beats_between(125, 160)) == {10.0}


async def test_end_of_the_link_ends_the_lease(autojump_clock: MockClock) -> None:
    watched = Host(AgentSettings())
    async with running(watched.rig), trio.open_nursery() as nursery:
        nursery.start_soon(watched.heart.run, RUN, nothing_kept)
        cut = await watched.linked(nursery)
        await trio.sleep(100)
        watched.attention.attend(m.Attend(1_000, 2_000, 60_000))
        await trio.sleep(5)
        cut()
        await trio.sleep(1)
        tables = len(watched.collectors["processes"].times_s)
        await trio.sleep(29)
        assert len(watched.collectors["processes"].times_s) <= tables + 1
        await watched.linked(nursery)
        await trio.sleep(60)
        assert gaps(watched.beats_between(140, 195)) == {5.0}
        nursery.cancel_scope.cancel()


async def torment(host: Host, rng: random.Random, until_s: float) -> None:
    """Whatever a hostile master can send, as fast as it likes."""
    wishes = [LOOK, LOOK_AWAY, m.Attend(1_000, 1_000, 60_000), m.Attend(1_300, 2_700, 1)]
    while trio.current_time() < until_s:
        wish = rng.choice(
            [*wishes, m.Attend(rng.randint(1_000, 9_000), rng.randint(1_000, 9_000), 9)]
        )
        host.attention.attend(wish)
        if rng.random() < 0.3:
            host.attention.set_period(rng.randint(1_000, 9_000))
        await trio.sleep(rng.expovariate(10))


@pytest.mark.parametrize("seed", range(5))
async def test_no_sequence_of_requests_exceeds_the_settings(
    seed: int, autojump_clock: MockClock
) -> None:
    settings = AgentSettings(watching_period_min_s=2, watching_detail_min_s=4)
    async with host(settings) as tormented:
        await torment(tormented, random.Random(seed), until_s=400)
        assert min(gaps(tormented.beats_between(100, 400))) >= 1
        tables_s = [at_s for at_s in tormented.collectors["processes"].times_s if at_s > 100]
        assert min(gaps(tables_s)) >= 4 - JITTER_S
        assert min(gaps(tormented.samples_between("cpu", 100, 400))) >= 2
