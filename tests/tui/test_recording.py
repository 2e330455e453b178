"""A recording holds what was heard, however it ends; what is in a file is believed no more than a
peer."""

import gzip
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import messages as m
from shared.connection import PIECE_BYTES
from shared.frames import encode_frame
from shared.liveness import State
from tests.tui.fleets import MONO_MS, info, snapshot, vitals
from tui import recording
from tui.link import Link, LinkState
from tui.recording import (
    FORMAT,
    MAGIC,
    Ended,
    Entry,
    Header,
    Heard,
    LinkWas,
    Recorder,
    RecordingError,
    read,
)
from tui.replay import Played, played

LIMIT_BYTES = 1024 * 1024
BEGAN_S = 500.0
WALL_MS = 1_795_000_000_000

FLEET = snapshot({"web-1": State.UP, "db-1": State.DOWN})
DELTA = m.Delta(MONO_MS + 250, vitals=(vitals("web-1", State.LATE),))


def recorder(path: Path, limit_bytes: int = LIMIT_BYTES) -> Recorder:
    return Recorder.create(path, limit_bytes=limit_bytes, began_s=BEGAN_S, began_wall_ms=WALL_MS)


def written(path: Path, *messages: m.FromMaster) -> Path:
    """A recording in which a message comes each second."""
    writer = recorder(path)
    for second, message in enumerate(messages, 1):
        writer.heard(message, BEGAN_S + second)
    writer.close(BEGAN_S + len(messages))
    return path


def heard_or_refused(path: Path) -> tuple[list[Played], str]:
    """What can be played, and why it ends where it does not end by itself."""
    found: list[Played] = []
    try:
        found.extend(entry for entry in played(path) if isinstance(entry, Played))
    except RecordingError as error:
        return found, str(error)
    return found, ""


def packed(path: Path, *entries: Entry) -> Path:
    """A file with any records."""
    frames = [encode_frame(entry.kind, m.encode_body(entry)) for entry in entries]
    path.write_bytes(gzip.compress(b"".join(frames)))
    return path


def heard(path: Path) -> list[Played]:
    return [entry for entry in played(path) if isinstance(entry, Played)]


HEADER = Header(MAGIC, FORMAT, "0.1.0", WALL_MS)


def test_what_was_heard_is_played_in_its_time(tmp_path: Path) -> None:
    path = written(tmp_path / "feed", FLEET, DELTA)
    assert next(played(path)) == Header(MAGIC, FORMAT, "0.1.0", WALL_MS)
    assert heard(path) == [(1.0, FLEET), (2.0, DELTA)]


def test_recording_ends_with_the_reason(tmp_path: Path) -> None:
    path = written(tmp_path / "feed", FLEET)
    assert list(read(path))[-1] == Ended(1000, "the recording was ended")


def test_long_message_is_recorded_in_parts_and_played_whole(tmp_path: Path) -> None:
    names = {f"web-{number}": State.UP for number in range(200)}
    fleet = snapshot(names)
    assert len(m.encode_body(fleet)) > 2 * PIECE_BYTES
    assert heard(written(tmp_path / "feed", fleet, DELTA)) == [(1.0, fleet), (2.0, DELTA)]


def test_token_is_never_recorded(tmp_path: Path) -> None:
    secret = m.TokenCreated(1, "hl1-secret", "a1", WALL_MS)
    path = written(tmp_path / "feed", FLEET, secret, DELTA)
    assert [each.what for each in heard(path)] == [FLEET, DELTA]
    assert b"hl1-secret" not in gzip.decompress(path.read_bytes())


def test_only_its_owner_can_read_a_recording(tmp_path: Path) -> None:
    path = written(tmp_path / "feed", FLEET)
    assert path.stat().st_mode & 0o777 == 0o600


def test_existing_file_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "feed"
    path.write_text("precious")
    with pytest.raises(RecordingError, match="exists already"):
        recorder(path)
    assert path.read_text() == "precious"


def test_file_that_cannot_be_made_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file or directory"):
        recorder(tmp_path / "no-folder" / "feed")


def test_recording_keeps_to_its_limit_and_says_that_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "feed"
    writer = recorder(path, limit_bytes=10_000)
    number = 0
    while writer.stopped is None:
        number += 1
        writer.heard(snapshot({f"web-{number}-{n}": State.UP for n in range(50)}), BEGAN_S + number)
    assert path.stat().st_size == writer.written_bytes < 20_000
    assert "limit of 10000 bytes" in writer.stopped
    last = list(read(path))[-1]
    assert isinstance(last, Ended)
    assert last.reason == writer.stopped
    assert len(heard(path)) == number
    writer.heard(FLEET, BEGAN_S + number)
    writer.close(BEGAN_S + number)
    assert path.stat().st_size == writer.written_bytes


class FullDisk:
    """A file whose disk is full after so many writes."""

    def __init__(self, writes: int) -> None:
        self.left = writes
        self.is_closed = False

    def write(self, data: bytes) -> int:
        if not self.left:
            raise OSError(28, "No space left on device")
        self.left -= 1
        return len(data)

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_full_disk_ends_the_recording_and_nothing_else(writes: int) -> None:
    disk = FullDisk(writes)
    writer = Recorder(
        disk,  # type: ignore[arg-type]
        limit_bytes=LIMIT_BYTES,
        began_s=BEGAN_S,
        began_wall_ms=WALL_MS,
    )
    for second in range(4):
        writer.heard(FLEET, BEGAN_S + second)
    writer.close(BEGAN_S + 4)
    assert writer.stopped == "it cannot be written: No space left on device"
    assert disk.is_closed


def test_recording_cut_short_anywhere_can_be_played_to_where_it_ends(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole", FLEET, DELTA, DELTA).read_bytes()
    all_of_it = heard(tmp_path / "whole")
    torn = tmp_path / "torn"
    lengths: set[int] = set()
    for length in range(len(whole)):
        torn.write_bytes(whole[:length])
        found, refusal = heard_or_refused(torn)
        assert found == all_of_it[: len(found)]
        assert not refusal or ("no recording" in refusal and not found)
        lengths.add(len(found))
    assert lengths >= {0, 1, 2}


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_damaged_recording_is_refused_or_played_and_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, place: int, change: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    content = bytearray(written(folder / "whole", FLEET, DELTA).read_bytes())
    content[place % len(content)] ^= change
    damaged = folder / "damaged"
    damaged.write_bytes(content)
    _, refusal = heard_or_refused(damaged)
    assert not refusal or str(damaged) in refusal


@given(st.binary(max_size=200))
def test_whatever_stands_in_a_record_is_refused_or_played(
    tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    path = tmp_path_factory.mktemp("hostile") / "feed"
    for record in (Heard(5, body), Heard(5, encode_frame(m.Delta.kind, body))):
        packed(path, HEADER, record)
        _, refusal = heard_or_refused(path)
        assert not refusal or "damaged" in refusal


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"just some text\n",
        gzip.compress(b""),
        gzip.compress(b"just some text, compressed\n"),
        gzip.compress(encode_frame(Heard.kind, m.encode_body(Heard(1, b"")))),
        gzip.compress(encode_frame(99, b"")),
        gzip.compress(encode_frame(1, m.encode_body(Header("another", FORMAT, "1", 0)))),
    ],
    ids=["empty", "text", "nothing", "packed text", "no header", "unknown", "another's header"],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "feed"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="no recording of heartline's"):
        list(read(path))


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        list(read(tmp_path / "absent"))


def test_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    path = packed(tmp_path / "feed", msgspec.structs.replace(HEADER, format=FORMAT + 1))
    with pytest.raises(RecordingError, match=f"has format {FORMAT + 1}"):
        list(read(path))


def test_record_of_unknown_kind_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "feed"
    unknown = encode_frame(200, b"whatever")
    known = [encode_frame(each.kind, m.encode_body(each)) for each in (HEADER, Heard(1, b""))]
    path.write_bytes(gzip.compress(known[0] + unknown + known[1]))
    assert list(read(path)) == [HEADER, Heard(1, b"")]


def test_message_that_no_master_says_to_a_viewer_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "feed", HEADER, Heard(2_000, m.encode(m.Ack(1))))
    with pytest.raises(RecordingError, match="2 s into it, Ack is not allowed"):
        heard(path)


def test_record_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "feed", HEADER, Heard(1, bytes(recording.RECORD_LIMIT_BYTES)))
    with pytest.raises(RecordingError, match="limit"):
        list(read(path))


def test_small_file_that_holds_far_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "EXPANDED_LIMIT_BYTES", 10 * 1024 * 1024)
    path = tmp_path / "bomb"
    frames = encode_frame(HEADER.kind, m.encode_body(HEADER)) + bytes(5)
    path.write_bytes(zlib.compress(frames, wbits=31))
    with pytest.raises(RecordingError):  # a frame of length 0
        list(read(path))
    many = encode_frame(99, bytes(100_000)) * 200
    path.write_bytes(zlib.compress(encode_frame(1, m.encode_body(HEADER)) + many, wbits=31))
    assert path.stat().st_size < 100_000
    with pytest.raises(RecordingError, match="holds more than"):
        list(read(path))


def test_link_is_recorded_and_its_words_are_cleaned_when_it_is_played(tmp_path: Path) -> None:
    was = LinkWas(1_500, "live", 1_000, "lab\x1b[2J", "why\x07", 2_500, "lab", "0.1.0", 12_345)
    (only,) = heard(packed(tmp_path / "feed", HEADER, was))
    assert only == (
        1.5,
        Link(
            LinkState.LIVE,
            1.0,
            "lab[2J",
            reason="why",
            retry_at_s=2.5,
            cluster="lab",
            master_version="0.1.0",
            delay_s=0.012345,
        ),
    )


def test_link_in_a_state_of_a_newer_program_is_taken_for_lost(tmp_path: Path) -> None:
    was = LinkWas(0, "entangled", 0, "lab", "", None, "", "", None)
    (only,) = heard(packed(tmp_path / "feed", HEADER, was))
    assert isinstance(only.what, Link)
    assert only.what.state is LinkState.LOST


def test_time_never_goes_back(tmp_path: Path) -> None:
    frame = m.encode(DELTA)
    path = packed(tmp_path / "feed", HEADER, Heard(9_000, frame), Heard(3_000, frame))
    assert [each.at_s for each in heard(path)] == [9.0, 9.0]


def test_name_of_a_node_is_in_the_recording_as_it_is(tmp_path: Path) -> None:
    fleet = m.Snapshot(MONO_MS, (info("payroll-7"),), (vitals("payroll-7"),), last=True)
    path = written(tmp_path / "feed", fleet)
    assert b"payroll-7" in gzip.decompress(path.read_bytes())
