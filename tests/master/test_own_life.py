"""When the master itself was not there: between its lives, and while it stood still."""

from collections.abc import Iterator

import pytest

from master import own_life
from master.own_life import BREAKING_STALL_S, MARK_EVERY_S, OwnLife
from master.store import Store
from shared.absence import FOUND_S
from shared.liveness import AWAITED_S
from tests.master.assembled import memory_store

BEGAN_MS = 1_795_000_000_000


@pytest.fixture
def store() -> Iterator[Store]:
    store = memory_store()
    yield store
    store.close()


class Clocks:
    """A master's: the wall's, its own, and how long it has stood still."""

    def __init__(self, store: Store) -> None:
        self.wall_ms = BEGAN_MS
        self.now_s = 0.0
        self.missed_s = 0.0
        self._store = store

    def passes(self, seconds: float) -> None:
        self.wall_ms += round(seconds * 1000)
        self.now_s += seconds

    async def begins(self) -> OwnLife:
        """A new life, on disk."""
        life = OwnLife(self._store, lambda: self.wall_ms, lambda: self.missed_s)
        await self._store.flush()
        return life

    async def lives(self, life: OwnLife, seconds: float) -> None:
        """Marks itself twice a second, as it does while it runs."""
        for _ in range(round(seconds * 2)):
            self.passes(0.5)
            life.mark(self.now_s)
        await self._store.flush()


@pytest.fixture
def clocks(store: Store) -> Clocks:
    return Clocks(store)


async def test_first_life_has_no_end_before_it(clocks: Clocks) -> None:
    life = await clocks.begins()
    assert life.last_end_wall_ms is None
    await clocks.lives(life, 60)
    assert life.missing(BEGAN_MS, clocks.wall_ms, None, clocks.now_s) == (0.0, 0.0, 0.0)


async def test_gap_after_an_end_in_order_is_known_to_the_instant(
    clocks: Clocks, store: Store
) -> None:
    life = await clocks.begins()
    await clocks.lives(life, 33)
    life.stopped()
    await store.flush()
    ended_ms = clocks.wall_ms
    clocks.passes(100)
    after = await clocks.begins()
    assert after.last_end_wall_ms == ended_ms
    clocks.passes(20)
    away_s, finding_s, stalled_s = after.missing(ended_ms - 5_000, clocks.wall_ms, None, 20.0)
    assert (away_s, stalled_s) == (100.0, 0.0)
    assert finding_s == 20.0  # agents look for it for as long as they have missed it


async def test_crash_seems_to_have_come_a_little_early_and_never_late(clocks: Clocks) -> None:
    life = await clocks.begins()
    await clocks.lives(life, 47)
    crashed_ms = clocks.wall_ms
    clocks.passes(100)
    after = await clocks.begins()
    assert after.last_end_wall_ms is not None
    assert crashed_ms - 1000 * (MARK_EVERY_S + 0.5) <= after.last_end_wall_ms <= crashed_ms


async def test_only_the_part_of_a_gap_within_the_absence_counts(
    clocks: Clocks, store: Store
) -> None:
    life = await clocks.begins()
    life.stopped()
    await store.flush()
    ended_ms = clocks.wall_ms
    clocks.passes(100)
    after = await clocks.begins()
    clocks.passes(500)
    missing = after.missing(ended_ms + 40_000, clocks.wall_ms, None, clocks.now_s)
    assert missing.away_s == 60.0
    assert missing.finding_s == AWAITED_S  # by then every agent that lives has dialled
    before = after.missing(ended_ms - 9_000, ended_ms - 1_000, None, 0.0)
    assert before == (0.0, 0.0, 0.0)


async def test_stalls_count_by_its_own_clock_and_long_ones_cost_links(clocks: Clocks) -> None:
    life = await clocks.begins()
    await clocks.lives(life, 10)
    clocks.missed_s += 3
    await clocks.lives(life, 10)
    short = life.missing(BEGAN_MS, clocks.wall_ms, 5.0, 20.0)
    assert short == (3.0, 0.0, 3.0)
    clocks.missed_s += BREAKING_STALL_S
    await clocks.lives(life, 30)
    both = life.missing(BEGAN_MS, clocks.wall_ms, 5.0, 50.0)
    assert (both.away_s, both.stalled_s) == (3 + BREAKING_STALL_S, 3 + BREAKING_STALL_S)
    assert 0 < both.finding_s <= BREAKING_STALL_S + FOUND_S
    # Not those of before the absence, nor of after it.
    assert life.missing(BEGAN_MS, clocks.wall_ms, 45.0, 50.0).stalled_s == 0
    assert life.missing(BEGAN_MS, clocks.wall_ms, 1.0, 5.0).stalled_s == 0


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
async def test_wall_clock_that_is_set_between_lives_makes_no_gap_negative(
    clocks: Clocks, jump_s: float
) -> None:
    life = await clocks.begins()
    await clocks.lives(life, 20)
    clocks.wall_ms += round(jump_s * 1000)
    after = await clocks.begins()
    clocks.passes(10)
    missing = after.missing(BEGAN_MS, clocks.wall_ms, None, clocks.now_s)
    assert min(missing) >= 0
    assert (missing.away_s > 86_000) == (jump_s > 0)


async def test_lives_of_long_ago_are_forgotten(
    clocks: Clocks, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_life, "LIVES_KEPT", 3)
    for _ in range(8):
        await clocks.begins()
    rows = store.load("SELECT number FROM master_lives ORDER BY number")
    assert [row["number"] for row in rows] == [6, 7, 8]
