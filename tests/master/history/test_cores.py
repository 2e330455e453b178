"""Core samples as an array: the same as decoding one after another says, whatever they are."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.history.cores import values_of
from master.history.samples import ABSENT
from shared.messages import encode_body
from shared.metrics import LARGEST, Core, metrics

WIDTH = len(metrics())

NUMBER = st.one_of(
    st.none(),
    st.integers(0, LARGEST),
    st.sampled_from([0, 127, 128, 255, 256, 2**16 - 1, 2**16, 2**32 - 1, 2**32, LARGEST]),
)
CORE = st.lists(NUMBER, min_size=WIDTH, max_size=WIDTH)


def expected(core: bytes) -> list[int]:
    """One sample, decoded as everything else is."""
    try:
        decoded = msgspec.msgpack.decode(core, type=Core | None) or Core()
    except msgspec.DecodeError:
        decoded = Core()
    return [ABSENT if value is None else value for value in msgspec.structs.astuple(decoded)]


@given(st.lists(CORE, min_size=1, max_size=5))
def test_numbers_are_those_that_were_encoded(rows: list[list[int | None]]) -> None:
    cores = [encode_body(Core(*row)) for row in rows]
    assert values_of(cores).tolist() == [
        [ABSENT if value is None else value for value in row] for row in rows
    ]


@pytest.mark.parametrize("count", [0, 1, 15, WIDTH - 1, WIDTH + 1])
def test_metrics_that_another_version_has_are_left_out_and_those_it_has_not_are_absent(
    count: int,
) -> None:
    values = values_of([encode_body([7] * count), encode_body(Core(users=3)), b"\xc0"])
    assert values[0].tolist() == [*[7] * count, *[ABSENT] * WIDTH][:WIDTH]
    assert values[1, values[1] != ABSENT].tolist() == [3]
    assert np.all(values[2] == ABSENT)


HARMED = st.tuples(CORE, st.integers(0, 2**16), st.binary(max_size=3), st.integers(0, 3))


@given(st.lists(HARMED, min_size=1, max_size=4))
def test_damaged_ones_are_what_a_decoder_makes_of_them_and_harm_no_other(
    harmed: list[tuple[list[int | None], int, bytes, int]],
) -> None:
    cores = list[bytes]()
    for row, place, other, gone in harmed:
        core = encode_body(Core(*row))
        at = place % len(core)
        cores += [core[:at] + other + core[at + gone :], core]
    assert values_of(cores).tolist() == [expected(core) for core in cores]


@pytest.mark.parametrize("core", [b"", b"\xdc", b"\xdc\x00\x40", bytes(70), b"\xcf" * 80])
def test_what_is_no_core_at_all_is_logged_and_counts_as_not_known(
    core: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert np.all(values_of([core]) == ABSENT)
    assert "unreadable values" in caplog.text


@pytest.mark.parametrize("number", [LARGEST + 1, 2**63, 2**64 - 1, -1, 1.5])
def test_number_that_no_metric_can_have_makes_the_sample_unreadable(number: float) -> None:
    core = encode_body([1, number, *[2] * (WIDTH - 2)])
    assert np.all(values_of([core]) == ABSENT)


def test_samples_that_are_more_than_are_read_at_once_stay_in_order() -> None:
    values = values_of([encode_body(Core(cpu_busy_bp=each)) for each in range(3_000)])
    assert values[:, 0].tolist() == list(range(3_000))
