"""The last words on disk: whatever is done to the file, the latest whole word is read, or none."""

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import lastwords
from agent.clocks import Instant
from agent.lastwords import SLOT_BYTES, LastWord, LastWords, Run, Stretch, pack, parse
from agent.oom_kills import OomKills
from agent.recollection import RUNS_KEPT, Recollection
from shared.errors import LinkBrokenError
from shared.messages import EndedRun
from tests.power_cut import every_power_cut

RUN = Run("boot", 4100, 1_000, Instant(1_795_000_000_000, 50_000, 40_000))


def word(number: int, ended: str = "") -> LastWord:
    """A word that no other number gives."""
    alive = Instant(1_795_000_000_000 + number, 50_000 + number, 40_000 + number)
    return LastWord(RUN, alive, ended, stretch=Stretch(samples=number), kills=OomKills(3, None))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lastwords"


@pytest.fixture
def words(path: Path) -> Iterator[LastWords]:
    words = LastWords(path)
    yield words
    words.close()


def read(path: Path) -> LastWord | None:
    """What another process finds there."""
    return LastWords(path).read()


# --- what is written is read ----------------------------------------------------------------------


def test_latest_word_is_read_however_many_there_were(words: LastWords, path: Path) -> None:
    assert read(path) is None
    for number in range(1, 6):
        words.write(word(number))
        assert read(path) == word(number)
    assert path.stat().st_size == 2 * SLOT_BYTES


def test_file_is_for_its_owner_alone(words: LastWords, path: Path) -> None:
    words.write(word(1))
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("before", [1, 2, 3])
def test_next_run_goes_on_after_the_word_it_found(path: Path, before: int) -> None:
    first = LastWords(path)
    for number in range(before):
        first.write(word(number))
    first.close()
    second = LastWords(path)
    assert second.read() == word(before - 1)
    second.write(word(100))
    second.close()
    assert read(path) == word(100)


def test_words_that_no_kernel_has_pwrite_for_are_written_all_the_same(
    words: LastWords, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pwrite")
    for number in range(1, 4):
        words.write(word(number))
        assert read(path) == word(number)


def test_longest_words_fit_into_a_slot() -> None:
    """What an agent says after many runs, each of which ended with the longest of errors."""
    previous: LastWord | None = None
    instant, error = Instant(2**52, 2**52, 2**52), LinkBrokenError("\U0001f493" * 1000)
    for _ in range(RUNS_KEPT + 2):
        run = Run("\U0001f493" * 36, 2**22, 2**52, Instant(0, 0, 0))
        recollection = Recollection(run, 5_000, 20_000, previous=previous, oom="named")
        recollection.dialling(instant)
        recollection.link_ended(instant, "\U0001f493" * 1000, str(error), 2**52)
        previous = recollection.word(instant, "\U0001f493" * 1000)
    assert previous is not None
    assert len(previous.runs) == RUNS_KEPT
    assert len(pack(previous, 2**63)) == SLOT_BYTES


# --- torn, damaged and foreign files --------------------------------------------------------------


def test_write_that_is_cut_short_anywhere_leaves_the_word_before(path: Path) -> None:
    newest = pack(word(3), 3)
    for length in range(len(newest.rstrip(b"\0")) + 1):
        torn = newest[:length] + pack(word(1), 1)[length:]
        path.write_bytes(pack(word(2), 2) + torn)
        is_whole = torn[:SLOT_BYTES] == newest
        assert read(path) == (word(3) if is_whole else word(2))


def test_word_after_a_torn_one_takes_the_torn_ones_place(path: Path) -> None:
    path.write_bytes(pack(word(2), 2) + pack(word(3), 3)[:40].ljust(SLOT_BYTES, b"\0"))
    second = LastWords(path)
    assert second.read() == word(2)
    second.write(word(4))
    second.close()
    content = path.read_bytes()
    assert parse(content) == (2, word(2))
    assert parse(content[SLOT_BYTES:]) == (3, word(4))


@pytest.mark.parametrize("length", [0, 1, 19, 20, 21, SLOT_BYTES - 1, SLOT_BYTES])
def test_file_that_was_cut_off_has_what_is_left_whole(path: Path, length: int) -> None:
    path.write_bytes((pack(word(2), 2) + pack(word(3), 3))[:length])
    whole = length >= len(pack(word(2), 2).rstrip(b"\0"))
    assert read(path) == (word(2) if whole else None)


def test_flipped_bit_anywhere_in_a_word_is_noticed() -> None:
    slot = pack(word(7), 7)
    used = len(slot.rstrip(b"\0"))
    for place in range(used):
        for bit in range(8):
            flipped = bytearray(slot)
            flipped[place] ^= 1 << bit
            assert parse(bytes(flipped)) is None


@given(st.binary(max_size=200))
def test_garbage_is_no_word(garbage: bytes) -> None:
    assert parse(garbage) is None
    assert parse(pack(word(1), 1)[:8] + garbage) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode([]),
        msgspec.msgpack.encode({"run": 1}),
        msgspec.msgpack.encode(["not", "a", "word"]),
        b"\xa2\xff\xfe",
    ],
)
def test_whole_slot_that_holds_something_else_is_no_word(
    monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    class Foreign:
        def encode(self, _: object) -> bytes:
            return body

    monkeypatch.setattr(lastwords, "_ENCODER", Foreign())
    assert parse(pack(word(1), 1)) is None


def test_words_of_a_run_with_impossible_numbers_are_none() -> None:
    run = EndedRun("boot", 0, 1, "", 0, -5, 0, 0, 0, 0, None)
    assert parse(pack(LastWord(RUN, RUN.began, runs=(run,)), 1)) is None


def test_power_cut_at_any_step_leaves_a_word(path: Path) -> None:
    before = pack(word(1), 1)

    def one_more() -> None:
        words = LastWords(path)
        words.read()
        words.write(word(2), sync=True)
        words.close()

    path.write_bytes(bytes(SLOT_BYTES) + before)
    steps = 0
    for steps in every_power_cut(one_more):  # noqa: B007 - counted
        assert read(path) in (word(1), word(2))
        path.write_bytes(bytes(SLOT_BYTES) + before)
    assert steps >= 1
    assert read(path) == word(2)


# --- a disk that does not take them ---------------------------------------------------------------


def refusing(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", pwrite)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_disk_that_refuses_keeps_the_word_before_and_is_told_of_once(
    words: LastWords,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    words.write(word(1))
    with monkeypatch.context() as refused:
        refusing(refused, number)
        for later in range(2, 6):
            words.write(word(later))
        assert read(path) == word(1)
    assert [vars(record)["error"] for record in caplog.records] == [os.strerror(number)]
    words.write(word(9))
    assert read(path) == word(9)
    with monkeypatch.context() as refused:
        refusing(refused, number)
        words.write(word(10))
    assert len(caplog.records) == 2  # it had been well in between


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_device_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    words = LastWords(Path("/dev/full"))
    words.write(word(1), sync=True)
    words.end(word(2, "SIGTERM"))
    words.close()
    assert {vars(record)["error"] for record in caplog.records} == {os.strerror(errno.ENOSPC)}


def test_write_that_the_disk_takes_half_of_leaves_the_word_before(
    words: LastWords, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite = os.pwrite

    def half(descriptor: int, data: bytes, offset: int) -> int:
        return pwrite(descriptor, data[:30], offset)

    words.write(word(1))
    with monkeypatch.context() as short:
        short.setattr(os, "pwrite", half)
        words.write(word(2))
    assert read(path) == word(1)
    words.write(word(3))
    assert read(path) == word(3)


def fill_with_a_folder(path: Path) -> None:
    path.mkdir()


def point_into_nowhere(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere" / "at all")


@pytest.mark.parametrize("spoil", [fill_with_a_folder, point_into_nowhere])
def test_place_that_cannot_be_written_to_costs_the_memory_alone(
    words: LastWords, path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None]
) -> None:
    spoil(path)
    caplog.set_level(logging.WARNING)
    assert words.read() is None
    words.write(word(1))
    words.end(word(2, "SIGTERM"))
    assert len(caplog.records) == 1


# --- the end --------------------------------------------------------------------------------------


def test_last_word_of_all_is_the_last(words: LastWords, path: Path) -> None:
    words.write(word(1))
    words.end(word(2, "SIGTERM"))
    words.write(word(3))
    words.end(word(4, "SIGINT"))
    assert read(path) == word(2, "SIGTERM")


def test_disk_that_hangs_keeps_no_agent_from_ending(
    words: LastWords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lastwords, "END_WAIT_S", 0.05)
    hangs, go_on = threading.Event(), threading.Event()

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        hangs.set()
        go_on.wait()
        return len(data)

    def end() -> None:
        words.end(word(2, "watchdog"))
        words.close()

    monkeypatch.setattr(os, "pwrite", pwrite)
    writer = threading.Thread(target=words.write, args=(word(1),))
    writer.start()
    try:
        assert hangs.wait(10)
        ending = threading.Thread(target=end, daemon=True)
        ending.start()
        ending.join(10)
        assert not ending.is_alive()
    finally:
        go_on.set()
        writer.join()
