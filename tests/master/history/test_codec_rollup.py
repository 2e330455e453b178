"""Roll-ups: the same as counted by hand, holes and all, and their chunks."""

from collections import defaultdict
from math import isclose

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.history import codec
from master.history.codec import ChunkError
from master.history.rollup import SUM_LIMIT, Rollup, merge, roll_up
from master.history.samples import ABSENT, Samples, samples_of
from shared.metrics import LARGEST

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


@st.composite
def some_samples(draw: st.DrawFn) -> Samples:
    """Minutes to days apart, so that some buckets are full and many are missing."""
    count = draw(st.integers(1, 20))
    width = draw(st.integers(0, 4))
    value = st.one_of(st.none(), st.integers(-LARGEST, LARGEST), st.integers(0, 9))
    row = st.lists(value, min_size=width, max_size=width)
    step_ms = st.one_of(st.integers(1, 5_000), st.integers(1, 5 * HOUR_MS))
    steps_ms = draw(st.lists(step_ms, min_size=count, max_size=count))
    rows = draw(st.lists(row, min_size=count, max_size=count))
    return samples_of(np.cumsum(steps_ms).tolist(), [1] * count, range(count), rows)


def counted(samples: Samples, bucket_ms: int) -> dict[int, list[list[int]]]:
    """By bucket, the values known of each metric, in plain Python."""
    buckets: dict[int, list[list[int]]] = defaultdict(
        lambda: [[] for _ in range(samples.values.shape[1])]
    )
    for at_ms, row in zip(samples.at_ms.tolist(), samples.values.tolist(), strict=True):
        metrics = buckets[at_ms // bucket_ms * bucket_ms]
        for values, value in zip(metrics, row, strict=True):
            if value != ABSENT:
                values.append(value)
    return buckets


def assert_same(one: Rollup, other: Rollup) -> None:
    assert one.bucket_ms == other.bucket_ms
    for field in ("start_ms", "count", "known", "least", "greatest", "total"):
        left, right = getattr(one, field), getattr(other, field)
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right, err_msg=field)


@given(some_samples(), st.sampled_from([MINUTE_MS, 15 * MINUTE_MS, 2 * HOUR_MS]))
def test_roll_up_says_what_counting_by_hand_says(samples: Samples, bucket_ms: int) -> None:
    rollup = roll_up(samples, bucket_ms)
    buckets = counted(samples, bucket_ms)
    assert rollup.start_ms.tolist() == sorted(buckets)
    assert sum(rollup.count.tolist()) == len(samples)
    for place, start_ms in enumerate(sorted(buckets)):
        for metric, values in enumerate(buckets[start_ms]):
            assert rollup.known[place, metric] == len(values)
            assert rollup.least[place, metric] == min(values, default=ABSENT)
            assert rollup.greatest[place, metric] == max(values, default=ABSENT)
            assert rollup.total[place, metric] == sum(values)
            mean = rollup.mean()[place, metric]
            assert np.isnan(mean) if not values else isclose(mean, sum(values) / len(values))


@given(some_samples())
def test_roll_ups_of_roll_ups_are_exact(samples: Samples) -> None:
    minutes = roll_up(samples, MINUTE_MS)
    quarters = merge([minutes], 15 * MINUTE_MS)
    assert_same(quarters, roll_up(samples, 15 * MINUTE_MS))
    assert_same(merge([quarters], 2 * HOUR_MS), roll_up(samples, 2 * HOUR_MS))


@given(some_samples(), st.data())
def test_late_samples_rolled_up_apart_add_up(samples: Samples, data: st.DataObject) -> None:
    some = st.lists(st.booleans(), min_size=len(samples), max_size=len(samples))
    late = np.array(data.draw(some))
    parts = [roll_up(samples.take(late), MINUTE_MS), roll_up(samples.take(~late), MINUTE_MS)]
    assert_same(merge(parts, MINUTE_MS), roll_up(samples, MINUTE_MS))


def test_what_an_older_chunk_did_not_measure_is_not_known_in_the_merger() -> None:
    old = roll_up(samples_of([0], [1], [1], [[5]]), MINUTE_MS)
    new = roll_up(samples_of([1], [1], [2], [[6, 7]]), MINUTE_MS)
    both = merge([new, old], MINUTE_MS)
    assert both.count.tolist() == [2]
    assert both.known.tolist() == [[2, 1]]
    assert both.least.tolist() == [[5, 7]]
    assert both.total.tolist() == [[11, 7]]


def test_buckets_that_do_not_divide_the_wanted_ones_are_refused() -> None:
    quarter = roll_up(samples_of([0], [1], [1], [[5]]), 15 * MINUTE_MS)
    with pytest.raises(ValueError, match="cannot be made"):
        merge([quarter], MINUTE_MS)


def test_sum_that_would_overflow_stops_at_the_limit() -> None:
    count = 1_440
    rows = [[LARGEST, -LARGEST, 1]] * count
    samples = samples_of(range(count), [1] * count, range(count), rows)
    rollup = roll_up(samples, MINUTE_MS)
    assert rollup.total.tolist() == [[SUM_LIMIT, -SUM_LIMIT, count]]
    assert rollup.greatest.tolist() == [[LARGEST, -LARGEST, 1]]
    twice = merge([rollup, rollup], MINUTE_MS)
    assert twice.total.tolist() == [[SUM_LIMIT, -SUM_LIMIT, 2 * count]]


def test_nothing_rolls_up_to_nothing() -> None:
    nothing = roll_up(samples_of([], [], [], []), MINUTE_MS)
    assert len(nothing) == 0
    assert len(merge([], MINUTE_MS)) == 0
    assert len(merge([nothing], HOUR_MS)) == 0


@given(some_samples(), st.lists(st.integers(0, 6), max_size=6))
def test_roll_ups_come_back_as_they_went_in(samples: Samples, columns: list[int]) -> None:
    rollup = roll_up(samples, MINUTE_MS)
    blob = codec.encode_rollup(rollup)
    assert_same(codec.decode_rollup(blob), rollup)
    chosen = codec.decode_rollup_columns(blob, columns)
    width = rollup.known.shape[1]
    for place, column in enumerate(columns):
        there = column < width
        known = rollup.known[:, column] if there else np.zeros(len(rollup))
        least = rollup.least[:, column] if there else np.full(len(rollup), ABSENT)
        total = rollup.total[:, column] if there else np.zeros(len(rollup))
        np.testing.assert_array_equal(chosen.known[:, place], known)
        np.testing.assert_array_equal(chosen.least[:, place], least)
        np.testing.assert_array_equal(chosen.total[:, place], total)


def test_header_of_a_roll_up_tells_its_buckets() -> None:
    rollup = roll_up(samples_of([61_000, 190_000], [1, 1], [1, 2], [[1], [2]]), MINUTE_MS)
    header = codec.read_header(codec.encode_rollup(rollup))
    assert (header.bucket_ms, header.count) == (MINUTE_MS, 2)
    assert (header.first_ms, header.last_ms) == (60_000, 180_000)


def test_chunk_of_the_other_kind_is_an_error() -> None:
    samples = samples_of([1], [1], [1], [[1]])
    with pytest.raises(ChunkError, match="roll-ups are wanted"):
        codec.decode_rollup(codec.encode_chunk(samples))
    with pytest.raises(ChunkError, match="samples are wanted"):
        codec.decode_chunk(codec.encode_rollup(roll_up(samples, MINUTE_MS)))
