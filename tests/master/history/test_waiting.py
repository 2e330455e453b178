"""What waits for the disk: in order, bounded, and nobody is told too early."""

from functools import partial

import pytest
import trio

from master.history import waiting as waiting_module
from master.history.taken import Sample, size_bytes
from master.history.waiting import TOLD_AT_ONCE, Waiting
from tests.master.history.histories import sample


def numbers(waiting: Waiting) -> list[int]:
    return [each.sequence for each in waiting.next_batch().taken if isinstance(each, Sample)]


async def test_batch_that_could_not_be_stored_stays_ahead_of_what_came_meanwhile() -> None:
    waiting, told = Waiting(), list[int]()
    for sequence in (1, 2):
        waiting.add(sample(sequence), partial(told.append, sequence))
    batch = waiting.next_batch()
    waiting.add(sample(3), lambda: told.append(3))
    waiting.put_back(batch)
    assert waiting.size_bytes == 3 * size_bytes(sample(1))
    whole = waiting.next_batch()
    assert [each.sequence for each in whole.taken if isinstance(each, Sample)] == [1, 2, 3]
    assert told == []
    await whole.tell()
    assert told == [1, 2, 3]
    assert waiting.size_bytes == 0
    assert not waiting


def test_batches_are_bounded_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_module, "BATCH_BYTES", 2 * size_bytes(sample(1)))
    waiting = Waiting()
    for sequence in range(5):
        waiting.add(sample(sequence), None)
    assert [numbers(waiting) for _ in range(3)] == [[0, 1], [2, 3], [4]]


def test_room_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_module, "LIMIT_BYTES", 3 * size_bytes(sample(1)))
    waiting = Waiting()
    for sequence in range(3):
        assert not waiting.is_full
        waiting.add(sample(sequence), None)
    assert waiting.is_full
    waiting.next_batch()
    assert not waiting.is_full


async def test_samples_of_a_forgotten_node_go_and_nobody_is_told_that_they_are_stored() -> None:
    waiting, told = Waiting(), list[str]()
    waiting.add(sample(1, "aa11"), lambda: told.append("aa11"))
    waiting.add(sample(2, "bb22"), lambda: told.append("bb22"))
    waiting.drop_node("aa11")
    assert waiting.size_bytes == size_bytes(sample(2))
    batch = waiting.next_batch()
    await batch.tell()
    assert [each.node_id for each in batch.taken] == ["bb22"]
    assert told == ["bb22"]


async def test_many_are_told_in_order_and_others_get_their_turn_in_between() -> None:
    waiting, told, turns = Waiting(), list[int](), list[int]()
    sequences = range(4 * TOLD_AT_ONCE + 1)
    for sequence in sequences:
        waiting.add(sample(sequence), partial(told.append, sequence))

    async def others() -> None:
        while len(told) < len(sequences):
            turns.append(len(told))
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await waiting.next_batch().tell()
    assert told == list(sequences)
    assert {count % TOLD_AT_ONCE for count in turns} == {0}
    assert len(turns) >= 3  # the fourth may come when all are told


async def test_cancellation_waits_until_all_are_told() -> None:
    waiting, told = Waiting(), list[int]()
    sequences = range(2 * TOLD_AT_ONCE + 1)
    for sequence in sequences:
        waiting.add(sample(sequence), partial(told.append, sequence))
    with trio.CancelScope() as scope:
        scope.cancel()
        await waiting.next_batch().tell()
    assert told == list(sequences)
