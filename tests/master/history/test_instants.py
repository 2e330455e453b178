"""The fleet at an instant out of rows that hold many nodes: the last sample that fits of each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.history.codec import ChunkError
from master.history.instants import STEP_MS, Steps, read_instant
from master.history.samples import ABSENT, Samples

BEGAN_MS = 1_795_132_800_000
LARGEST = 2**53


def samples(times: list[int], rows: list[list[int]]) -> Samples:
    count = len(times)
    return Samples(
        np.array(times, np.int64),
        np.zeros(count, np.int32),
        np.arange(count, dtype=np.int64),
        np.array(rows, np.int64).reshape(count, len(rows[0]) if rows else 3),
    )


def periods(count: int, period_ms: int = 5_000) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.full(count, period_ms, np.int64)


value = st.one_of(st.just(ABSENT), st.integers(-LARGEST, LARGEST))
node = st.lists(
    st.tuples(st.integers(-STEP_MS, 6 * STEP_MS), st.lists(value, min_size=3, max_size=3)),
    unique_by=lambda taken: taken[0],
)


@given(st.lists(node, min_size=1, max_size=5), st.integers(-STEP_MS, 7 * STEP_MS))
def test_each_node_is_the_last_of_a_step_that_is_not_later(
    nodes: list[list[tuple[int, list[int]]]], at_ms: int
) -> None:
    steps = Steps(BEGAN_MS, 5)
    expected: dict[int, tuple[int, list[int]]] = {}
    something = False
    for number, taken in enumerate(nodes, 1):
        in_order = sorted(taken)
        times = [BEGAN_MS + time_ms for time_ms, _ in in_order]
        steps.add(number, samples(times, [row for _, row in in_order]), periods(len(taken)))
        last = {each[0] // STEP_MS: each for each in in_order if 0 <= each[0] < 5 * STEP_MS}
        something = something or bool(last)
        fitting = [each for each in last.values() if each[0] <= at_ms]
        if fitting:
            expected[number] = max(fitting)
    if not something:
        return
    found = read_instant(steps.encode(), BEGAN_MS + at_ms)
    assert {
        int(number): (int(time_ms) - BEGAN_MS, row)
        for number, time_ms, row in zip(found.node, found.at_ms, found.values.tolist(), strict=True)
    } == expected


def test_period_of_each_is_told_and_older_nodes_may_know_fewer_metrics() -> None:
    steps = Steps(BEGAN_MS, 1)
    steps.add(7, samples([BEGAN_MS], [[1, 2]]), periods(1, 1_000))
    steps.add(9, samples([BEGAN_MS + 5], [[1, 2, 3]]), periods(1, 60_000))
    found = read_instant(steps.encode(), BEGAN_MS + 10)
    assert found.node.tolist() == [7, 9]
    assert found.period_ms.tolist() == [1_000, 60_000]
    assert found.values.tolist() == [[1, 2, ABSENT], [1, 2, 3]]


@pytest.mark.parametrize("place", [0, 1, 12, 30, -1])
def test_row_that_was_changed_is_an_error_and_no_wrong_value(place: int) -> None:
    steps = Steps(BEGAN_MS, 3)
    steps.add(1, samples([BEGAN_MS, BEGAN_MS + STEP_MS], [[1], [2]]), periods(2))
    body = bytearray(steps.encode())
    body[place] ^= 0x10
    with pytest.raises(ChunkError):
        read_instant(bytes(body), BEGAN_MS)
    with pytest.raises(ChunkError):
        read_instant(steps.encode()[:place], BEGAN_MS)
