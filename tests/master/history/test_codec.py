"""Chunks: what goes in comes out, whatever it is; what was changed is an error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.history_samples import Recording, recordings
from master.history import codec
from master.history.codec import ChunkError, Header
from master.history.samples import ABSENT, Samples, joined, samples_of
from shared.metrics import LARGEST, metrics

WINDOW = 120
"""Samples: ten minutes at 5 s, the shortest window that is written as it should be."""

ALLOWED_BYTES_PER_VALUE = 1.3
"""The recordings are of a host under load throughout: little of what they hold stands still."""

VALUES = st.one_of(
    st.none(),
    st.integers(0, 3),
    st.integers(-LARGEST, LARGEST),
    st.sampled_from([LARGEST, -LARGEST, LARGEST - 1, 1 - LARGEST, 2**52, 2**31]),
)


@st.composite
def some_samples(draw: st.DrawFn) -> Samples:
    count = draw(st.integers(1, 12))
    width = draw(st.integers(0, 6))
    row = st.lists(VALUES, min_size=width, max_size=width)
    steps_ms = draw(st.lists(st.integers(1, 2**40), min_size=count, max_size=count))
    return samples_of(
        np.cumsum(steps_ms).tolist(),
        draw(st.lists(st.integers(0, 2**31 - 1), min_size=count, max_size=count)),
        draw(st.lists(st.integers(0, LARGEST), min_size=count, max_size=count)),
        draw(st.lists(row, min_size=count, max_size=count)),
    )


def assert_same(one: Samples, other: Samples) -> None:
    for field in ("at_ms", "run", "sequence", "values"):
        left, right = getattr(one, field), getattr(other, field)
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right, err_msg=field)


def chunk_of(recording: Recording, begin: int = 0) -> Samples:
    rows = list(zip(*[recording.column(metric.name) for metric in metrics()], strict=True))
    count = len(rows[begin : begin + WINDOW])
    return samples_of(
        recording.at_ms[begin : begin + WINDOW],
        [3] * count,
        range(begin, begin + count),
        rows[begin : begin + WINDOW],
    )


@given(some_samples())
@settings(max_examples=300)
def test_samples_come_back_as_they_went_in(samples: Samples) -> None:
    assert_same(codec.decode_chunk(codec.encode_chunk(samples)), samples)


@given(st.data())
def test_any_integers_survive_even_those_that_overflow(data: st.DataObject) -> None:
    extremes = st.one_of(
        st.integers(ABSENT, -ABSENT - 1), st.sampled_from([ABSENT, ABSENT + 1, -ABSENT - 1, 0])
    )
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 5)))
    size = shape[0] * shape[1]
    flat = data.draw(st.lists(extremes, min_size=size, max_size=size))
    count = np.arange(shape[0])
    values = np.array(flat, dtype=np.int64).reshape(shape)
    samples = Samples(count, count.astype(np.int32), count, values)
    assert_same(codec.decode_chunk(codec.encode_chunk(samples)), samples)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_metrics_that_tell_of_one_another_may_say_anything(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    width = len(metrics())
    extremes = np.array([ABSENT, ABSENT + 1, -ABSENT - 1, LARGEST, -LARGEST, -1, 0, 1])
    values = rng.choice(extremes, (count, width))
    alike = rng.integers(0, 2**40, (count, 1)) + rng.integers(0, 9, (count, width))
    values = np.where(rng.random(width) < rng.random(), alike, values)
    numbers = np.arange(count)
    samples = Samples(numbers, numbers.astype(np.int32), numbers, values)
    assert_same(codec.decode_chunk(codec.encode_chunk(samples)), samples)


@given(st.lists(some_samples(), max_size=9))
def test_chunks_made_together_are_those_made_one_by_one(parts: list[Samples]) -> None:
    assert codec.encode_chunks(parts) == [codec.encode_chunk(part) for part in parts]


def test_more_chunks_than_are_made_at_once_are_those_made_one_by_one() -> None:
    recording = recordings()[0]
    parts = [
        chunk_of(recording, begin).take(slice(0, length))
        for begin in range(0, 20 * WINDOW, WINDOW)
        for length in (1, 7, 30, 31, 60)
    ]
    assert codec.encode_chunks(parts) == [codec.encode_chunk(part) for part in parts]


@given(some_samples(), st.lists(st.integers(0, 9), max_size=8))
def test_some_columns_are_the_same_as_those_of_the_whole(
    samples: Samples, columns: list[int]
) -> None:
    chosen = codec.decode_columns(codec.encode_chunk(samples), columns)
    absent = np.full(len(samples), ABSENT)
    width = samples.values.shape[1]
    assert chosen.values.shape == (len(samples), len(columns))
    np.testing.assert_array_equal(chosen.at_ms, samples.at_ms)
    for place, column in enumerate(columns):
        expected = samples.values[:, column] if column < width else absent
        np.testing.assert_array_equal(chosen.values[:, place], expected)


@pytest.mark.parametrize("recording", recordings(), ids=lambda recording: recording.name)
def test_real_samples_come_back(recording: Recording) -> None:
    for begin in range(0, len(recording), WINDOW):
        samples = chunk_of(recording, begin)
        assert_same(codec.decode_chunk(codec.encode_chunk(samples)), samples)


@pytest.mark.parametrize("recording", recordings(), ids=lambda recording: recording.name)
def test_real_samples_cost_half_of_what_is_allowed(recording: Recording) -> None:
    size_bytes = known = 0
    for begin in range(0, len(recording), WINDOW):
        samples = chunk_of(recording, begin)
        size_bytes += len(codec.encode_chunk(samples))
        known += int((samples.values != ABSENT).sum())
    assert size_bytes / known <= ALLOWED_BYTES_PER_VALUE / 2


def test_header_tells_what_the_chunk_holds() -> None:
    samples = samples_of([7_000, 12_000], [1, 1], [5, 6], [[1, 2, 3], [4, None, 6]])
    blob = codec.encode_chunk(samples)
    assert codec.read_header(blob) == Header(
        columns=3, count=2, bucket_ms=0, first_ms=7_000, last_ms=12_000
    )


def test_what_never_changes_costs_next_to_nothing() -> None:
    count = 720
    still = [[17, None, 24_684_092, 0] * 16] * count
    at_ms = [1_795_000_000_000 + 5_000 * place for place in range(count)]
    samples = samples_of(at_ms, [4] * count, range(9_000, 9_000 + count), still)
    assert len(codec.encode_chunk(samples)) < 200


def test_any_changed_byte_is_an_error() -> None:
    blob = codec.encode_chunk(chunk_of(recordings()[0]))
    for place in range(len(blob)):
        changed = bytearray(blob)
        changed[place] ^= 1 << place % 8
        with pytest.raises(ChunkError):
            codec.decode_chunk(bytes(changed))


def test_any_torn_chunk_is_an_error() -> None:
    blob = codec.encode_chunk(chunk_of(recordings()[0]))
    for length in range(len(blob)):
        with pytest.raises(ChunkError):
            codec.decode_columns(blob[:length], [0])


@given(some_samples(), st.data())
def test_any_bytes_in_place_of_some_are_an_error(samples: Samples, data: st.DataObject) -> None:
    blob = codec.encode_chunk(samples)
    begin = data.draw(st.integers(0, len(blob) - 1))
    other = data.draw(st.binary(min_size=1, max_size=4))
    changed = blob[:begin] + other + blob[begin + len(other) :]
    if changed != blob:
        with pytest.raises(ChunkError):
            codec.read_header(changed)


def test_samples_out_of_order_and_none_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="in order of time"):
        codec.encode_chunk(samples_of([2, 1], [1, 1], [1, 2], [[1], [1]]))
    with pytest.raises(ValueError, match="at least one"):
        codec.encode_chunk(samples_of([], [], [], []))


def test_joined_parts_are_in_order_and_as_wide_as_the_widest() -> None:
    narrow = samples_of([1, 5], [1, 1], [1, 2], [[10], [50]])
    wide = samples_of([3], [2], [1], [[30, 31]])
    assert_same(
        joined([narrow, wide]),
        samples_of([1, 3, 5], [1, 2, 1], [1, 1, 2], [[10, None], [30, 31], [50, None]]),
    )
    assert len(joined([])) == 0
