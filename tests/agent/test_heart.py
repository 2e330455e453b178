"""The heart: an absolute grid, honest promises, and numbers that go on across links."""

import random
from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest
import trio
import trio.testing

from agent.heart import LEAST_PROMISE, Heart
from agent.spool_records import RunKey, Sample
from shared import messages as m
from shared.metrics import Core
from tests.scenarios.simulation import virtual_clocks

RUN = RunKey("boot", 7_000)
Beats = list[tuple[float, m.Beat]]


def nothing_kept(sample: Sample) -> None:
    """No spool."""


class Vitals:
    """What a beat reports, and when it was told that the next one is due."""

    def __init__(self) -> None:
        self.aligned: list[float] = []

    def core(self) -> Core:
        return Core(cpu_count=4)

    def troubles(self) -> tuple[m.Trouble, ...]:
        return (m.Trouble("disks", "stuck", 12, "no answer"),)

    def align(self, next_beat_s: float, period_s: float) -> None:
        self.aligned.append(next_beat_s)


def heart_of(seed: int = 1, period_s: float = 5.0) -> tuple[Heart, Vitals]:
    vitals = Vitals()
    return Heart(vitals, period_s, random.Random(seed), virtual_clocks), vitals


async def beats_during(
    heart: Heart, seconds: float, meanwhile: Callable[[], object] = lambda: None
) -> Beats:
    """What goes out in so many seconds of a link; `meanwhile` is called half-way."""
    beats: Beats = []

    def send(beat: m.Beat) -> None:
        beats.append((trio.current_time(), beat))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(heart.run, RUN, nothing_kept)
        with heart.linked(send):
            await trio.sleep(seconds / 2)
            meanwhile()
            await trio.sleep(seconds / 2)
        nursery.cancel_scope.cancel()
    return beats


@pytest.mark.parametrize("seed", range(20))
async def test_each_beat_keeps_the_promise_of_the_one_before(
    autojump_clock: trio.testing.MockClock, seed: int
) -> None:
    heart, _ = heart_of(seed)
    beats = await beats_during(heart, 60)
    for (sent_s, beat), (next_s, _) in pairwise(beats):
        assert next_s - sent_s <= beat.next_in_ms / 1000 <= next_s - sent_s + 0.002


@pytest.mark.parametrize("seed", range(20))
async def test_beats_are_a_period_apart_after_the_first(
    autojump_clock: trio.testing.MockClock, seed: int
) -> None:
    heart, _ = heart_of(seed)
    (first_s, _), *rest = await beats_during(heart, 600)
    assert {round(later - sooner, 3) for (sooner, _), (later, _) in pairwise(rest)} == {5.0}
    assert LEAST_PROMISE * 5.0 <= rest[0][0] - first_s <= 1.5 * 5.0


async def test_fleet_does_not_beat_in_unison(autojump_clock: trio.testing.MockClock) -> None:
    phases = set[float]()
    for seed in range(20):
        beats = await beats_during(heart_of(seed)[0], 12)
        phases.add(round((beats[1][0] - beats[0][0]) % 5.0, 1))
    assert len(phases) > 10


async def test_samples_are_taken_and_numbered_whether_there_is_a_link_or_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    heart, _ = heart_of()
    kept: list[tuple[float, Sample]] = []
    sent: list[m.Beat] = []

    def keep(sample: Sample) -> None:
        kept.append((trio.current_time(), sample))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(heart.run, RUN, keep)
        for _ in range(3):
            await trio.sleep(31.7)
            with heart.linked(sent.append):
                await trio.sleep(0.001)
                assert sent[-1].sequence == kept[-1][1].sequence  # at once
                await trio.sleep(30)
        nursery.cancel_scope.cancel()
    samples = [sample for _, sample in kept]
    first = RUN.started_mono_ms + 1
    assert [each.sequence for each in samples] == list(range(first, first + len(samples)))
    assert [each.sequence for each in samples if each.sequence in {b.sequence for b in sent}] == [
        beat.sequence for beat in sent
    ]
    assert 3 * 6 <= len(sent) < len(samples) - 3 * 5
    # Each says how long it speaks for, and there is none that comes later than the last one said.
    for (at_s, sample), (next_s, _) in pairwise(kept):
        assert next_s <= at_s + sample.period_ms / 1000 + 0.002
        assert sample.boot_ms == round(at_s * 1000)


async def test_grid_is_the_same_whatever_links_come_and_go(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def times_s(links: int) -> list[float]:
        heart, _ = heart_of()
        taken_s: list[float] = []

        def keep(sample: Sample) -> None:
            taken_s.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            began_s = trio.current_time()
            nursery.start_soon(heart.run, RUN, keep)
            for _ in range(links):
                await trio.sleep(12.3)
                with heart.linked(lambda _: None):
                    await trio.sleep(12.3)
            await trio.sleep_until(began_s + 100)
            nursery.cancel_scope.cancel()
        return [round(at_s - began_s, 3) for at_s in taken_s]

    alone = await times_s(0)
    off_the_grid = set(await times_s(3)) - set(alone)
    assert off_the_grid == {12.3, 36.9, 61.5}


async def test_beat_carries_the_latest_that_is_known(
    autojump_clock: trio.testing.MockClock,
) -> None:
    heart, _ = heart_of()
    ((sent_s, beat), *_) = await beats_during(heart, 1)
    assert msgspec.msgpack.decode(beat.core, type=Core) == Core(cpu_count=4)
    assert [trouble.family for trouble in beat.troubles] == ["disks"]
    assert beat.mono_ms == int(sent_s * 1000)


async def test_whoever_reads_is_told_when_the_next_beat_is_due(
    autojump_clock: trio.testing.MockClock,
) -> None:
    heart, vitals = heart_of()
    beats = await beats_during(heart, 60)
    due = [round(at_s, 3) for at_s in vitals.aligned[1 : len(beats)]]
    assert [round(sent_s, 3) for sent_s, _ in beats[1:]] == due


async def test_other_cadence_holds_at_once_and_is_promised(
    autojump_clock: trio.testing.MockClock,
) -> None:
    heart, _ = heart_of(period_s=60.0)
    began_s = trio.current_time()
    beats = await beats_during(heart, 40, lambda: heart.set_period(1.0))
    after = [(sent_s, beat) for sent_s, beat in beats if sent_s >= began_s + 20]
    assert round(after[0][0] - began_s, 3) == 20
    assert len(after) >= 19
    assert all(beat.next_in_ms <= 1500 for _, beat in after)


async def test_same_cadence_again_changes_nothing(autojump_clock: trio.testing.MockClock) -> None:
    def times(beats: Beats) -> list[float]:
        return [round(sent_s - beats[0][0], 3) for sent_s, _ in beats]

    heart, again = heart_of()[0], heart_of()[0]
    undisturbed = await beats_during(heart, 40)
    disturbed = await beats_during(again, 40, lambda: again.set_period(5.0))
    assert times(disturbed) == times(undisturbed)
