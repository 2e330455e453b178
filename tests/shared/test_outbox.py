"""What waits to be written: beats before bulk, a head that stays, bounds that hold."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.outbox import Outbox

URGENT_LIMIT_BYTES = 40
BULK_LIMIT_BYTES = 100

frame_bytes = st.binary(min_size=1, max_size=15)


def test_urgent_frame_overtakes_bulk_that_waits() -> None:
    outbox = Outbox()
    assert outbox.put_bulk([b"bulk 1", b"bulk 2"])
    assert outbox.put(b"beat")
    assert drain(outbox) == [b"beat", b"bulk 1", b"bulk 2"]


def test_head_once_taken_is_not_overtaken() -> None:
    outbox = Outbox()
    assert outbox.put_bulk([b"bulk 1", b"bulk 2"])
    assert outbox.head() == b"bulk 1"
    assert outbox.put(b"beat")
    assert drain(outbox) == [b"bulk 1", b"beat", b"bulk 2"]


def test_message_whose_pieces_do_not_all_fit_is_refused_whole() -> None:
    outbox = Outbox(bulk_limit_bytes=10)
    assert not outbox.put_bulk([b"123456", b"78901"])
    assert not outbox
    assert outbox.head() is None


def test_full_urgent_lane_refuses_and_recovers_when_written() -> None:
    outbox = Outbox(urgent_limit_bytes=10)
    assert outbox.put(b"12345")
    assert outbox.put(b"67890")
    assert not outbox.put(b"x")
    assert outbox.head() == b"12345"
    outbox.written()
    assert outbox.put(b"x")
    assert drain(outbox) == [b"67890", b"x"]


def test_full_bulk_lane_does_not_keep_a_beat_out() -> None:
    outbox = Outbox(bulk_limit_bytes=4)
    assert outbox.put_bulk([b"1234"])
    assert not outbox.put_bulk([b"5"])
    assert outbox.put(b"beat")


def test_written_without_a_head_is_a_bug() -> None:
    with pytest.raises(ValueError, match="nothing was taken"):
        Outbox().written()


def drain(outbox: Outbox) -> list[bytes]:
    drained: list[bytes] = []
    while (head := outbox.head()) is not None:
        drained.append(head)
        outbox.written()
    assert outbox.pending_bytes == 0
    return drained


class OutboxModel(RuleBasedStateMachine):
    """Any order of putting, looking and writing, against two plain lists."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(URGENT_LIMIT_BYTES, BULK_LIMIT_BYTES)
        self.urgent: list[bytes] = []
        self.bulk: list[bytes] = []
        self.head: bytes | None = None

    @rule(frame=frame_bytes)
    def put(self, frame: bytes) -> None:
        fits = size(self.urgent) + len(frame) <= URGENT_LIMIT_BYTES
        assert self.outbox.put(frame) == fits
        if fits:
            self.urgent.append(frame)

    @rule(pieces=st.lists(frame_bytes, max_size=6))
    def put_bulk(self, pieces: list[bytes]) -> None:
        fits = size(self.bulk) + size(pieces) <= BULK_LIMIT_BYTES
        assert self.outbox.put_bulk(pieces) == fits
        if fits:
            self.bulk += pieces

    @rule()
    def look(self) -> None:
        if self.head is None:
            lane = self.urgent or self.bulk
            self.head = lane.pop(0) if lane else None
        assert self.outbox.head() == self.head

    @precondition(lambda self: self.head is not None)
    @rule()
    def written(self) -> None:
        self.outbox.written()
        self.head = None

    @invariant()
    def every_byte_is_counted(self) -> None:
        pending = size(self.urgent) + size(self.bulk) + len(self.head or b"")
        assert self.outbox.pending_bytes == pending
        assert bool(self.outbox) == (pending > 0)


def size(frames: list[bytes]) -> int:
    return sum(map(len, frames))


TestOutboxModel = OutboxModel.TestCase
