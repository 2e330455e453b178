"""A slope is told from noise, and from work that repeats; what cannot be told is not claimed."""

import math
import random

import pytest

from bench.slopes import LEAST_BLOCKS, Slope, Verdict, averaged, ends, slope, student_t, verdict

BLOCK_S = 60.0
AT_S = [5.0 * number for number in range(720)]


def test_line_without_noise_is_found_exactly() -> None:
    found = slope(AT_S, [1000 + 2 * at_s / 3600 for at_s in AT_S], BLOCK_S)
    assert abs(found.per_h - 2.0) < 1e-6
    assert found.plus_minus < 1e-6
    assert found.blocks == 60


@pytest.mark.parametrize("seed", range(5))
def test_leak_is_told_from_noise(seed: int) -> None:
    rng = random.Random(seed)
    noise = [rng.gauss(0, 300) for _ in AT_S]
    leaking = [50_000 + 5_000 * at_s / 3600 + each for at_s, each in zip(AT_S, noise, strict=True)]
    flat = [50_000 + each for each in noise]
    assert verdict(slope(AT_S, leaking, BLOCK_S), 1024) is Verdict.GROWS
    assert verdict(slope(AT_S, flat, BLOCK_S), 1024) is Verdict.FLAT


def test_work_that_repeats_once_a_block_is_no_growth() -> None:
    sawtooth = [50_000 + 4_000 * (at_s % BLOCK_S) / BLOCK_S for at_s in AT_S]
    found = slope(AT_S, sawtooth, BLOCK_S)
    assert abs(found.per_h) < 1e-6
    assert verdict(found, 1024) is Verdict.FLAT


def test_blocks_that_follow_each_other_count_for_less() -> None:
    rng = random.Random(1)
    level, walk = 0.0, list[float]()
    for _ in AT_S:
        level += rng.gauss(0, 10)
        walk.append(level)
    shuffled = [value for _, value in averaged(AT_S, walk, BLOCK_S)]
    rng.shuffle(shuffled)
    minutes_s = [BLOCK_S * number for number in range(len(shuffled))]
    one_by_one = slope(minutes_s, shuffled, BLOCK_S)
    assert slope(AT_S, walk, BLOCK_S).plus_minus > one_by_one.plus_minus


def test_too_few_blocks_decide_nothing() -> None:
    at_s = [at_s for at_s in AT_S if at_s < (LEAST_BLOCKS - 1) * BLOCK_S]
    found = slope(at_s, [1e6 * each for each in at_s], BLOCK_S)
    assert math.isinf(found.plus_minus)
    assert verdict(found, 1.0) is Verdict.UNDECIDED
    assert slope([0.0], [1.0], BLOCK_S) == Slope(0.0, math.inf, 1)


@pytest.mark.parametrize(
    ("per_h", "plus_minus", "expected"),
    [
        (100.0, 20.0, Verdict.FLAT),
        (100.0, 950.0, Verdict.UNDECIDED),
        (2000.0, 950.0, Verdict.GROWS),
        (-5000.0, 950.0, Verdict.FLAT),
    ],
)
def test_verdict_is_given_only_where_the_interval_allows_it(
    per_h: float, plus_minus: float, expected: Verdict
) -> None:
    assert verdict(Slope(per_h, plus_minus, 50), 1000.0) is expected


def test_last_block_counts_only_when_it_is_half_full() -> None:
    assert len(averaged(AT_S[:14], AT_S[:14], BLOCK_S)) == 1
    assert len(averaged(AT_S[:18], AT_S[:18], BLOCK_S)) == 2


def test_ends_are_means_of_the_first_and_the_last_minute() -> None:
    assert ends(AT_S, AT_S) == (27.5, AT_S[-1] - 27.5)


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (1e9, 1.960)],
)
def test_quantiles_are_those_of_the_tables(freedom: float, expected: float) -> None:
    assert abs(student_t(freedom) / expected - 1) < 0.01
