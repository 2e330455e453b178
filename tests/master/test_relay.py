"""What hub and worker say to each other: frames come out as they went in, however they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master import relay as r
from master.relay import RelayError, Unpacker, frame

Frame = tuple[int, int, bytes]

kinds = st.integers(0, 255)
numbers = st.integers(0, 2**32 - 1)
frames = st.lists(st.tuples(kinds, numbers, st.binary(max_size=40)), max_size=8)


def unpacked(pieces: list[bytes]) -> list[Frame]:
    unpacker = Unpacker()
    return [each for piece in pieces for each in unpacker.feed(piece)]


@given(frames)
def test_frames_come_out_whole_wherever_they_are_cut_in_two(sent: list[Frame]) -> None:
    data = b"".join(frame(*each) for each in sent)
    for at in range(len(data) + 1):
        assert unpacked([data[:at], data[at:]]) == sent


@given(frames, st.lists(st.integers(1, 30), min_size=1))
def test_frames_come_out_whole_in_pieces_of_any_sizes(sent: list[Frame], sizes: list[int]) -> None:
    data, pieces = b"".join(frame(*each) for each in sent), list[bytes]()
    while data:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[:size])
        data = data[size:]
    assert unpacked(pieces) == sent


def test_frame_is_given_with_its_last_byte_and_not_before() -> None:
    data = frame(r.DATA, 7, b"beat")
    unpacker = Unpacker()
    for byte in data[:-1]:
        assert list(unpacker.feed(bytes([byte]))) == []
        assert unpacker.holds_part
    assert list(unpacker.feed(data[-1:])) == [(r.DATA, 7, b"beat")]
    assert not unpacker.holds_part


def test_length_beyond_the_limit_is_not_waited_for() -> None:
    head = r.HEAD.pack(r.DATA, 1, r.PAYLOAD_LIMIT_BYTES + 1)
    with pytest.raises(RelayError, match="4194305 bytes"):
        list(Unpacker().feed(head))


def test_longest_payload_passes() -> None:
    payload = bytes(r.PAYLOAD_LIMIT_BYTES)
    assert unpacked([frame(r.MEMBERS, 0, payload)]) == [(r.MEMBERS, 0, payload)]


def test_messages_come_out_as_they_went_in() -> None:
    opened = r.Opened("10.0.0.1", "10.0.0.1:5123", b"der")
    assert r.decode_opened(r.encode(opened)) == opened
    hit = r.LimitHit("connections", "10.0.0.1", 3)
    assert r.decode_limit(r.encode(hit)) == hit
    leaf = r.Leaf(b"ca", b"key", b"certificate")
    assert r.decode_leaf(r.encode(leaf)) == leaf
    limits = r.Limits(10, 2, 0.5, 5.0, 15.0)
    assert r.decode_limits(r.encode(limits)) == limits
    assert r.decode_members(r.encode({"10.0.0.1": 3})) == {"10.0.0.1": 3}
