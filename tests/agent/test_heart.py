"""The heart: an absolute grid, honest promises, and numbers that go on across links."""

import random
from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest
import trio
import trio.testing

from agent.heart import LEAST_PROMISE, Heart
from shared import messages as m
from shared.metrics import Core

Beats = list[tuple[float, m.Beat]]


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
    return Heart(vitals, period_s, random.Random(seed), lambda: 1_795_000_000_000), vitals


async def beats_during(
    heart: Heart, seconds: float, meanwhile: Callable[[], object] = lambda: None
) -> Beats:
    """What goes out in so many seconds; `meanwhile` is called half-way."""
    beats: Beats = []

    def send(beat: m.Beat) -> None:
        beats.append((trio.current_time(), beat))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(heart.run, send)
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


async def test_numbers_go_on_across_links(autojump_clock: trio.testing.MockClock) -> None:
    heart, _ = heart_of()
    beats = await beats_during(heart, 30) + await beats_during(heart, 30)
    assert [beat.sequence for _, beat in beats] == list(range(1, len(beats) + 1))


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
    due = [round(at_s, 3) for at_s in vitals.aligned[: len(beats) - 1]]
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
