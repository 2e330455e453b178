"""The frame decoder: right at every byte boundary, bounded, and typed in its errors."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import RemoteProtocolError, Violation
from shared.frames import LENGTH_BYTES, Frame, FrameDecoder, encode_frame

LIMIT_BYTES = 64
FRAMES = (
    Frame(0, b""),
    Frame(255, b"\x00"),
    Frame(16, b"a beat"),
    Frame(7, bytes(range(LIMIT_BYTES - 1))),
    Frame(1, b""),
)
STREAM = b"".join(encode_frame(frame.kind, frame.body) for frame in FRAMES)

frames = st.builds(Frame, st.integers(0, 255), st.binary(max_size=LIMIT_BYTES - 1))


def drain(decoder: FrameDecoder) -> list[Frame]:
    drained: list[Frame] = []
    while frame := decoder.next_frame():
        drained.append(frame)
    return drained


def decode_in_portions(stream: bytes, cuts: tuple[int, ...]) -> list[Frame]:
    decoder = FrameDecoder(LIMIT_BYTES)
    decoded: list[Frame] = []
    for start, end in pairwise((0, *cuts, len(stream))):
        decoder.receive_data(stream[start:end])
        decoded += drain(decoder)
    assert decoder.buffered_bytes == 0
    return decoded


def test_layout_is_length_kind_body() -> None:
    assert encode_frame(0x10, b"abc") == bytes.fromhex("00000004 10 616263")


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_stream_cut_at_any_byte_gives_the_same_frames(cut: int) -> None:
    assert decode_in_portions(STREAM, (cut,)) == list(FRAMES)


def test_stream_cut_at_any_two_bytes_gives_the_same_frames() -> None:
    for cuts in combinations(range(len(STREAM) + 1), 2):
        assert decode_in_portions(STREAM, cuts) == list(FRAMES), cuts


def test_stream_byte_by_byte_gives_the_same_frames() -> None:
    assert decode_in_portions(STREAM, tuple(range(len(STREAM)))) == list(FRAMES)


@given(st.lists(frames), st.data())
def test_any_frames_in_any_portions_come_back_whole_and_in_order(
    sent: list[Frame], data: st.DataObject
) -> None:
    stream = b"".join(encode_frame(frame.kind, frame.body) for frame in sent)
    cuts = data.draw(st.lists(st.integers(0, len(stream))).map(sorted).map(tuple))
    assert decode_in_portions(stream, cuts) == sent


@given(st.lists(st.binary(max_size=3 * LIMIT_BYTES)))
def test_no_bytes_make_the_decoder_hold_more_than_one_frame_of_the_limit(
    portions: list[bytes],
) -> None:
    decoder = FrameDecoder(LIMIT_BYTES)
    for portion in portions:
        decoder.receive_data(portion)
        try:
            drained = drain(decoder)
        except RemoteProtocolError:
            return
        assert all(1 + len(frame.body) <= LIMIT_BYTES for frame in drained)
        assert decoder.buffered_bytes < LENGTH_BYTES + LIMIT_BYTES


def test_frame_of_just_the_limit_is_taken() -> None:
    frame = encode_frame(1, bytes(LIMIT_BYTES - 1))
    assert decode_in_portions(frame, ()) == [Frame(1, bytes(LIMIT_BYTES - 1))]


@pytest.mark.parametrize("length", [LIMIT_BYTES + 1, 2**31, 2**32 - 1])
def test_overlong_frame_is_refused_as_soon_as_its_length_is_there(length: int) -> None:
    decoder = FrameDecoder(LIMIT_BYTES)
    announced = length.to_bytes(LENGTH_BYTES)
    decoder.receive_data(announced[:-1])
    assert decoder.next_frame() is None
    decoder.receive_data(announced[-1:])
    with pytest.raises(RemoteProtocolError) as caught:
        decoder.next_frame()
    assert caught.value.code == Violation.FRAME_TOO_LONG


def test_frame_without_a_kind_is_refused() -> None:
    decoder = FrameDecoder(LIMIT_BYTES)
    decoder.receive_data(bytes(LENGTH_BYTES))
    with pytest.raises(RemoteProtocolError) as caught:
        decoder.next_frame()
    assert caught.value.code == Violation.BAD_FRAME


def test_limit_raised_between_two_frames_holds_for_the_second() -> None:
    long = encode_frame(2, bytes(2 * LIMIT_BYTES))
    decoder = FrameDecoder(LIMIT_BYTES)
    decoder.receive_data(encode_frame(1, b"") + long)
    assert decoder.next_frame() == Frame(1, b"")
    decoder.limit_bytes = 4 * LIMIT_BYTES
    assert decoder.next_frame() == Frame(2, bytes(2 * LIMIT_BYTES))
