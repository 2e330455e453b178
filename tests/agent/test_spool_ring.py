"""The ring on disk: torn tails, flipped bytes, power cuts, full disks."""

import os
import resource
import shutil
import signal
from collections.abc import Generator
from itertools import pairwise
from pathlib import Path
from unittest import mock

import pytest
from msgspec.structs import replace

from agent.spool_records import Damage, Loss, RunKey, Sample, pack, parse
from agent.spool_ring import Ring, segment_files
from agent.spool_segments import Found
from tests.agent.spool_samples import PERIOD_MS, RUN, WALL_MS, numbers_of, sample, samples
from tests.power_cut import every_power_cut

LATER = RunKey("boot-1", 9_000_000)
LOSS = Loss(*RUN, 1, 2, 3, 4, 5, 6)
RECORD_BYTES = len(pack(sample(1)))
ROOMY_BYTES = 1024 * 1024


@pytest.fixture(autouse=True)
def no_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", mock.Mock())


def opened(folder: Path, limit_bytes: int = ROOMY_BYTES, hours: float = 24) -> tuple[Ring, Found]:
    ring = Ring(folder, limit_bytes, hours)
    return ring, ring.open()


def held(folder: Path) -> list[Sample]:
    """What a new process finds."""
    ring, _ = opened(folder)
    ring.close()
    found: list[Sample] = []
    for run in dict.fromkeys(run for segment in ring.segments for run in segment.spans):
        numbers = numbers_of([])
        for segment in ring.segments:
            if run in segment.spans:
                numbers.add_all(segment.spans[run].numbers)
        there, missing = ring.read(run, numbers)
        assert not missing
        found += there
    return found


def filled(folder: Path, *taken: Sample | Loss, limit_bytes: int = ROOMY_BYTES) -> Path:
    """A ring that some process has left; returns its last file."""
    ring, _ = opened(folder, limit_bytes)
    for each in taken:
        ring.append([each])
    ring.close()
    return segment_files(folder)[-1]


def test_what_was_appended_is_there_for_the_next_process(tmp_path: Path) -> None:
    taken = [*samples(1, 50), *samples(1, 50, LATER)]
    filled(tmp_path, *taken)
    assert held(tmp_path) == taken
    # … which appends behind it.
    filled(tmp_path, sample(51, LATER))
    assert held(tmp_path) == [*taken, sample(51, LATER)]
    assert len(segment_files(tmp_path)) == 1


def test_losses_are_kept_with_the_samples(tmp_path: Path) -> None:
    filled(tmp_path, sample(3), LOSS, sample(4))
    ring, found = opened(tmp_path)
    ring.close()
    assert found == Found([LOSS], 0)
    assert held(tmp_path) == samples(3, 4)


@pytest.mark.parametrize("torn_bytes", range(1, RECORD_BYTES + 1))
def test_torn_tail_is_cut_wherever_it_tears(tmp_path: Path, torn_bytes: int) -> None:
    last = filled(tmp_path, *samples(1, 3))
    os.truncate(last, last.stat().st_size - torn_bytes)
    assert held(tmp_path) == samples(1, 2)
    _, found = opened(tmp_path)
    assert found == Found([], 0)
    # What comes next stands behind what was whole.
    filled(tmp_path, *samples(4, 5))
    assert held(tmp_path) == [*samples(1, 2), *samples(4, 5)]
    assert opened(tmp_path)[1].damaged_bytes == 0


@pytest.mark.parametrize("at", range(RECORD_BYTES))
@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_flipped_byte_costs_the_record_it_hits_and_that_is_told(
    tmp_path: Path, at: int, mask: int
) -> None:
    last = filled(tmp_path, *samples(1, 5))
    content = bytearray(last.read_bytes())
    content[2 * RECORD_BYTES + at] ^= mask
    last.write_bytes(content)
    assert held(tmp_path) == [*samples(1, 2), *samples(4, 5)]
    _, found = opened(tmp_path)
    assert found.damaged_bytes == RECORD_BYTES
    lost = sample(3).sequence
    (loss,) = found.losses
    assert (loss.run, loss.first, loss.last) == (RUN, lost, lost)
    assert loss.first_boot_ms == sample(3).boot_ms


@pytest.mark.parametrize(
    "wrong",
    [
        {"started_mono_ms": -1},
        {"sequence": 2**53 + 1},
        {"period_ms": -5},
        {"wall_ms": 2**60},
        {"core": bytes(1025)},
    ],
)
def test_record_that_no_message_could_carry_is_damage(
    tmp_path: Path, wrong: dict[str, object]
) -> None:
    filled(tmp_path, sample(1), replace(sample(2), **wrong), sample(3))
    assert held(tmp_path) == [sample(1), sample(3)]
    assert opened(tmp_path)[1].damaged_bytes > 0


def test_file_of_anything_else_is_no_reason_to_fail(tmp_path: Path) -> None:
    filled(tmp_path, *samples(1, 2))
    segment_files(tmp_path)[0].with_name("00000002.ring").write_bytes(os.urandom(100_000))
    filled(tmp_path, *samples(3, 4))
    assert held(tmp_path) == samples(1, 4)


@pytest.mark.parametrize("cut", range(0, 3 * RECORD_BYTES, 7))
def test_every_byte_of_a_file_is_a_record_or_damage(cut: int) -> None:
    content = b"".join(map(pack, samples(1, 3)))[cut:] + b"HS1S\0\0\0\x05"
    found = list(parse(content))
    sizes = [each.size_bytes if isinstance(each, Damage) else len(pack(each)) for each in found]
    assert sum(sizes) == len(content)
    assert not any(isinstance(a, Damage) and isinstance(b, Damage) for a, b in pairwise(found))


def test_oldest_segment_goes_when_there_is_no_room(tmp_path: Path) -> None:
    limit_bytes = 64 * 4 * RECORD_BYTES
    ring, _ = opened(tmp_path, limit_bytes)
    gone: list[int] = []
    for each in samples(1, 2_000):
        ring.append([each])
        while (excess := ring.excess()) is not None:
            gone += excess.spans[RUN].numbers
            ring.remove([excess], [])
        assert sum(path.stat().st_size for path in segment_files(tmp_path)) <= limit_bytes
    ring.close()
    left = [each.sequence for each in held(tmp_path)]
    assert gone + left == [each.sequence for each in samples(1, 2_000)]
    assert len(left) * RECORD_BYTES >= 0.9 * limit_bytes


def test_as_many_hours_are_kept_as_asked_for_whatever_the_clocks_say(tmp_path: Path) -> None:
    hours = 1
    ring, _ = opened(tmp_path, 64 * 10 * RECORD_BYTES, hours)
    for number in range(1, 2_000):
        # The wall clock jumps by years; nobody goes by it.
        each = sample(number)
        jumpy = Sample(*each.run, each.sequence, each.boot_ms, WALL_MS * (number % 2), 5_000, b"")
        ring.append([jumpy])
        while (excess := ring.excess()) is not None:
            ring.remove([excess], [])
    ring.close()
    kept_s = len(held(tmp_path)) * PERIOD_MS / 1000
    assert 3600 <= kept_s <= 1.1 * 3600


def test_samples_dropped_have_their_times(tmp_path: Path) -> None:
    ring, _ = opened(tmp_path)
    ring.append(samples(10, 20))
    loss = ring.segments[0].spans[RUN].loss(sample(12).sequence, sample(15).sequence)
    ring.close()
    assert loss == Loss(
        *RUN,
        sample(12).sequence,
        sample(15).sequence,
        sample(12).boot_ms,
        sample(12).wall_ms,
        sample(15).boot_ms,
        sample(15).wall_ms,
    )


def test_sample_that_has_vanished_from_the_disk_is_named(tmp_path: Path) -> None:
    last = filled(tmp_path, *samples(1, 4))
    ring, _ = opened(tmp_path)
    content = last.read_bytes()
    last.write_bytes(content[:RECORD_BYTES] + bytes(RECORD_BYTES) + content[2 * RECORD_BYTES :])
    found, losses = ring.read(RUN, numbers_of(samples(1, 4)))
    assert found == [sample(1), *samples(3, 4)]
    assert [(loss.first, loss.last) for loss in losses] == [(sample(2).sequence,) * 2]
    last.unlink()
    found, losses = ring.read(RUN, numbers_of(samples(1, 4)))
    assert not found
    assert [(each.first, each.last) for each in losses] == [
        (sample(1).sequence, sample(4).sequence)
    ]
    # And the next sample has a file again.
    ring.append([sample(5)])
    ring.close()
    assert held(tmp_path) == [sample(5)]


def test_power_cut_at_any_step_leaves_the_samples_or_the_word_that_they_are_lost(
    tmp_path: Path,
) -> None:
    template, folder = tmp_path / "template", tmp_path / "spool"
    limit_bytes = 64 * 2 * RECORD_BYTES
    filled(template, *samples(1, 20), limit_bytes=limit_bytes)
    loss = Loss(*RUN, sample(1).sequence, sample(2).sequence, 0, 0, 0, 0)

    def drop_the_oldest() -> None:
        ring, _ = opened(folder, limit_bytes)
        ring.append([sample(21)])
        ring.remove([ring.segments[0]], [loss])
        ring.append([sample(22)])
        ring.close()

    shutil.copytree(template, folder)
    steps = 0
    for _ in every_power_cut(drop_the_oldest):
        steps += 1
        kept = held(folder)
        _, found = opened(folder)
        assert kept[:2] == samples(1, 2) or found.losses == [loss]
        assert set(samples(3, 20)) <= set(kept)
        shutil.rmtree(folder)
        shutil.copytree(template, folder)
    assert steps >= 4
    assert held(folder) == samples(3, 22)


@pytest.fixture
def file_limit() -> Generator[int]:
    """No file of this process may grow any longer, as if the disk were full."""
    limit_bytes = 20 * RECORD_BYTES + 50
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    yield limit_bytes
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


def test_write_that_was_cut_short_by_a_full_disk_is_as_if_it_had_not_been(
    tmp_path: Path, file_limit: int
) -> None:
    ring, _ = opened(tmp_path)
    ring.append(samples(1, 15))
    for _ in range(3):
        with pytest.raises(OSError, match="File too large"):
            ring.append(samples(16, 25))
    ring.append(samples(16, 18))
    ring.close()
    assert held(tmp_path) == samples(1, 18)
    assert opened(tmp_path)[1].damaged_bytes == 0


def test_disk_that_is_full_gets_room_before_a_loss_is_written(tmp_path: Path) -> None:
    ring, _ = opened(tmp_path, 64 * 2 * RECORD_BYTES)
    for each in samples(1, 20):
        ring.append([each])
    oldest = segment_files(tmp_path)[0]

    def full_until_oldest_is_gone(descriptor: int, content: bytes) -> int:
        if oldest.exists():
            raise OSError(28, "No space left on device")
        return os.pwrite(descriptor, content, os.lseek(descriptor, 0, os.SEEK_CUR))

    with mock.patch.object(os, "write", full_until_oldest_is_gone):
        ring.remove([ring.segments[0]], [LOSS])
    ring.close()
    ring, found = opened(tmp_path)
    ring.close()
    assert found.losses == [LOSS]
    assert held(tmp_path) == samples(3, 20)
