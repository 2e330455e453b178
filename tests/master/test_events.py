"""The event log: numbers that go on, a bounded past, and those who follow."""

from collections.abc import Generator

import pytest

from master.events import PRUNE_EVERY, EventLog
from master.store import Store
from shared.messages import EVENT_NODES_LIMIT, Event
from tests.master.assembled import memory_store


@pytest.fixture
def store() -> Generator[Store]:
    store = memory_store()
    yield store
    store.close()


def log_on(store: Store, kept: int = 100_000) -> EventLog:
    return EventLog(store, lambda: 1_234, kept)


def numbers(events: tuple[Event, ...]) -> list[int]:
    return [event.number for event in events]


async def test_what_was_recorded_is_read_back_whole(store: Store) -> None:
    log = log_on(store)
    log.record("state", node_id="aa11", name="web", before="up", after="down", text="why")
    log.record("master-started")
    assert await log.latest(10) == (
        Event(1, 1_234, "state", "aa11", "web", "up", "down", "why"),
        Event(2, 1_234, "master-started"),
    )


async def test_nodes_that_an_event_befell_together_are_named_the_first_of_many(
    store: Store,
) -> None:
    log = log_on(store)
    ids = tuple(f"{number:016x}" for number in range(EVENT_NODES_LIMIT + 1))
    log.record("mass", nodes=ids)
    (event,) = await log.latest(1)
    assert event.nodes == ids[:-1]


async def test_latest_are_the_newest_oldest_first_of_all_nodes_or_of_one(store: Store) -> None:
    log = log_on(store)
    for number in range(10):
        log.record("state", node_id="ab"[number % 2])
    assert numbers(await log.latest(3)) == [8, 9, 10]
    assert numbers(await log.latest(3, "a")) == [5, 7, 9]
    assert await log.latest(3, "nobody") == ()
    assert await log.latest(0) == ()


async def test_numbers_go_on_over_a_restart(store: Store) -> None:
    first = log_on(store)
    first.record("one")
    first.record("two")
    await store.flush()
    second = log_on(store)
    second.record("three")
    assert numbers(await second.latest(10)) == [1, 2, 3]


async def test_oldest_events_go_once_there_are_more_than_are_kept(store: Store) -> None:
    log = log_on(store, kept=500)
    for _ in range(PRUNE_EVERY - 1):
        log.record("state")
    assert len(await log.latest(10_000)) == PRUNE_EVERY - 1
    log.record("state")
    kept = numbers(await log.latest(10_000))
    assert kept == list(range(PRUNE_EVERY - 499, PRUNE_EVERY + 1))


async def test_numbers_go_on_even_where_all_events_are_gone_but_the_last(store: Store) -> None:
    log = log_on(store, kept=1)
    for _ in range(PRUNE_EVERY):
        log.record("state")
    await store.flush()
    again = log_on(store)
    again.record("state")
    assert numbers(await again.latest(10))[-1] == PRUNE_EVERY + 1


async def test_followers_are_told_at_once_until_they_have_had_enough(store: Store) -> None:
    log, seen = log_on(store), list[int]()

    def follower(event: Event) -> None:
        seen.append(event.number)
        if event.number == 2:
            log.unfollow(follower)

    log.follow(follower)
    for _ in range(4):
        log.record("state")
    assert seen == [1, 2]
    log.unfollow(follower)
