"""Which samples are sent, when and how often, by numbers alone."""

import math

from agent.numbers import Numbers
from agent.spool import (
    BATCH_SAMPLES,
    LOSSES_AT_ONCE,
    LOSSES_LIMIT,
    RESEND_S,
    WINDOW_BATCHES,
    Batch,
    Spool,
)
from agent.spool_records import Loss, RunKey
from tests.agent.spool_samples import RUN, WALL_MS

EARLIER = RunKey("boot-1", 500)
OTHER_BOOT = RunKey("boot-0", 2_000_000)
FIRST = RUN.started_mono_ms + 1


def spool_with(count: int) -> Spool:
    """A run that has taken so many samples before it had a link, and has one now."""
    spool = Spool(RUN)
    for sequence in range(FIRST, FIRST + count):
        spool.took(sequence)
    spool.link_began()
    return spool


def send(spool: Spool, now_s: float) -> list[Batch]:
    """All that may be on the way at once."""
    sent: list[Batch] = []
    while (batch := spool.next_batch(now_s)) is not None:
        spool.replayed(batch.run, batch.numbers, now_s)
        sent.append(batch)
    return sent


def confirm(spool: Spool, batch: Batch) -> None:
    stretches = list(batch.numbers.stretches())
    spool.stored(batch.run.boot_id, stretches[0][0], stretches[-1][1])


def loss(first: int, last: int, run: RunKey = RUN) -> Loss:
    return Loss(*run, first, last, first, WALL_MS + first, last, WALL_MS + last)


def test_oldest_run_comes_first_and_each_message_is_of_one_run() -> None:
    spool = Spool(RUN)
    spool.took(FIRST)
    spool.found(OTHER_BOOT, Numbers(2_000_001, 2_000_003))
    spool.found(EARLIER, Numbers(501, 501 + BATCH_SAMPLES))
    spool.link_began()
    order: list[tuple[RunKey, list[int]]] = []
    while (batch := spool.next_batch(0.0)) is not None:
        spool.replayed(batch.run, batch.numbers, 0.0)
        order.append((batch.run, list(batch.numbers)))
        confirm(spool, batch)
    assert order == [
        (OTHER_BOOT, [2_000_001, 2_000_002, 2_000_003]),
        (EARLIER, list(range(501, 501 + BATCH_SAMPLES))),
        (EARLIER, [501 + BATCH_SAMPLES]),
        (RUN, [FIRST]),
    ]
    assert len(spool) == 0


def test_window_opens_with_every_confirmation_and_closes_when_one_stays_away() -> None:
    spool = spool_with(100 * BATCH_SAMPLES)
    on_the_way = send(spool, 0.0)
    assert len(on_the_way) == 1
    for _ in range(2 * WINDOW_BATCHES):
        confirm(spool, on_the_way.pop(0))
        on_the_way += send(spool, 1.0)
    assert len(on_the_way) == WINDOW_BATCHES
    assert send(spool, 1.0 + RESEND_S - 0.1) == []
    again = send(spool, 1.0 + RESEND_S)
    assert [list(batch.numbers) for batch in again] == [list(on_the_way[0].numbers)]


def test_what_was_confirmed_in_part_is_sent_again_in_part() -> None:
    spool = spool_with(BATCH_SAMPLES)
    send(spool, 0.0)
    spool.stored("boot-1", FIRST + 10, FIRST + 19)
    # What is left is sent as two messages, each of numbers that follow each other.
    (again,) = send(spool, RESEND_S)
    assert list(again.numbers) == list(range(FIRST, FIRST + 10))
    confirm(spool, again)
    again = send(spool, RESEND_S)[0]
    assert list(again.numbers) == list(range(FIRST + 20, FIRST + BATCH_SAMPLES))


def test_beats_are_not_replayed_unless_their_confirmation_stays_away() -> None:
    spool = spool_with(0)
    for beat in range(20):
        spool.took(FIRST + beat)
        spool.beat_sent(FIRST + beat, 5.0 * beat)
        if beat < 10:
            spool.beats_stored(FIRST + beat)
    assert spool.next_batch(50.0 + RESEND_S - 0.1) is None
    assert spool.next_look_s() == 50.0 + RESEND_S
    batch = spool.next_batch(50.0 + RESEND_S)
    assert batch is not None
    assert list(batch.numbers) == [FIRST + 10]


def test_acknowledgement_confirms_beats_of_this_link_and_nothing_older() -> None:
    spool = spool_with(5)
    spool.took(FIRST + 5)
    spool.beat_sent(FIRST + 5, 0.0)
    assert list(spool.beats_stored(0)) == []
    assert list(spool.beats_stored(FIRST + 5)) == [FIRST + 5]
    assert list(spool.unconfirmed(RUN)) == list(range(FIRST, FIRST + 5))


def test_confirmation_of_what_was_never_sent_on_this_link_confirms_nothing() -> None:
    spool = spool_with(5)
    send(spool, 0.0)
    spool.link_began()
    assert spool.stored("boot-1", 0, 2**53) == {}
    assert not spool.beats_stored(2**53)
    assert len(spool) == 5
    send(spool, 0.0)
    assert spool.stored("another boot", 0, 2**53) == {}
    assert len(spool) == 5


def test_loss_is_told_again_until_it_is_confirmed() -> None:
    spool = spool_with(10)
    spool.lost(loss(FIRST, FIRST + 3))
    assert list(spool.unconfirmed(RUN)) == list(range(FIRST + 4, FIRST + 10))
    assert spool.losses_to_tell(0.0) == [loss(FIRST, FIRST + 3)]
    assert spool.losses_to_tell(RESEND_S - 0.1) == []
    spool.stored("boot-1", FIRST, FIRST + 2)  # not all of it
    assert spool.losses_to_tell(RESEND_S) == [loss(FIRST, FIRST + 3)]
    spool.stored("boot-1", FIRST, FIRST + 3)
    assert spool.losses_to_tell(10 * RESEND_S) == []
    assert spool.losses == []


def test_losses_one_after_another_are_told_as_one_until_they_are_told() -> None:
    spool = spool_with(10)
    spool.lost(loss(FIRST, FIRST))
    spool.lost(loss(FIRST + 1, FIRST + 1))
    assert spool.losses_to_tell(0.0) == [loss(FIRST, FIRST + 1)]
    spool.lost(loss(FIRST + 2, FIRST + 2))
    assert spool.losses == [loss(FIRST, FIRST + 1), loss(FIRST + 2, FIRST + 2)]


def test_batch_that_was_dropped_on_its_way_does_not_hold_up_the_next() -> None:
    spool = spool_with(2 * BATCH_SAMPLES)
    send(spool, 0.0)
    spool.lost(loss(FIRST, FIRST + BATCH_SAMPLES - 1))
    (batch,) = send(spool, 0.0)
    assert list(batch.numbers.least(1)) == [FIRST + BATCH_SAMPLES]


def test_samples_that_cannot_be_read_now_let_others_go_first() -> None:
    spool = spool_with(2 * BATCH_SAMPLES)
    first = spool.next_batch(0.0)
    assert first is not None
    spool.put_off(first, 0.0)
    second = spool.next_batch(0.0)
    assert second is not None
    assert FIRST not in second.numbers
    again = spool.next_batch(RESEND_S)
    assert again is not None
    assert FIRST in again.numbers


def test_losses_are_bounded_and_told_a_few_at_a_time() -> None:
    spool = spool_with(0)
    for number in range(LOSSES_LIMIT + 5):
        spool.lost(loss(FIRST + 2 * number, FIRST + 2 * number))
    assert len(spool.losses) == LOSSES_LIMIT
    assert spool.forgotten == 5
    told = spool.losses_to_tell(0.0)
    assert told == spool.losses[:LOSSES_AT_ONCE]
    assert spool.losses_to_tell(0.0) == spool.losses[LOSSES_AT_ONCE : 2 * LOSSES_AT_ONCE]


def test_nothing_is_to_be_done_while_nothing_is_unconfirmed() -> None:
    spool = spool_with(0)
    assert spool.next_batch(0.0) is None
    assert spool.next_look_s() == math.inf
