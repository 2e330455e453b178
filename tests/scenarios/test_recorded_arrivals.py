"""Recorded arrivals on lossy lines, replayed through our detector and through its rivals.

A tenth of the recordings, a good node-day of real TCP a row: the numbers are what these recordings
give, and change only when a detector does.
"""

import math
import random

import pytest

from bench.lives import RECORDED, SYNTHETIC, Life, recorded
from bench.rivals import JUDGES, PERIOD_S, Beat, Chen, Heartline, PhiExponential, Verdict, judged
from shared.liveness import Evidence

LINKS = 200

FALSE_DOWNS = {
    "5 % loss": (0, 0, 0, 0, 0, 0, 0, 0),
    "30 % loss": (185, 77, 36, 99, 0, 137, 65, 65),
    "30 % loss, RTO_MAX": (6, 0, 0, 2, 0, 0, 0, 0),
}
"""Of every detector in the order of `JUDGES`, in 1.09 node-days."""


def verdict(judge: str, lives: list[Life], evidence: Evidence) -> Verdict:
    return judged(JUDGES[judge], lives, evidence, random.Random(2).random)


@pytest.mark.parametrize("line", FALSE_DOWNS)
def test_false_downs_on_recorded_lines_beside_those_of_rivals(line: str) -> None:
    lives = recorded(RECORDED[line], random.Random(1), LINKS)
    verdicts = {judge: verdict(judge, lives, Evidence.SILENT) for judge in JUDGES}
    found = tuple(each.false_downs for each in verdicts.values())
    assert found == FALSE_DOWNS[line]
    assert all(1.08 < each.node_days < 1.10 for each in verdicts.values())


@pytest.mark.parametrize("line", ["5 % loss", "30 % loss, RTO_MAX"])
@pytest.mark.parametrize("seed", range(5))
def test_bounded_retransmission_leaves_no_false_down_whatever_the_order(
    line: str, seed: int
) -> None:
    lives = recorded(RECORDED[line], random.Random(seed), LINKS)
    assert verdict("Heartline, timing alone", lives, Evidence.SILENT).false_downs == 0


def test_evidence_leaves_the_trade_off_that_timing_is_bound_to() -> None:
    rng = random.Random(4)
    new_life, evidence = SYNTHETIC["stalls of 1–20 s"]
    lives = [new_life(3000, rng) for _ in range(6)]
    ours = verdict("Heartline", lives, evidence)
    assert ours.false_downs == 0
    for judge in ("fixed 10 s", "fixed 15 s", "phi accrual, normal, 8, pause 3 s"):
        assert verdict(judge, lives, evidence).false_downs > 0


def perfect(beats: int) -> list[Beat]:
    return [Beat(n, 7e4 + n * PERIOD_S, n * PERIOD_S) for n in range(beats)]


def test_rivals_suspect_when_their_formulas_say_on_a_line_without_jitter() -> None:
    after = {name: [judge().heard(beat) for beat in perfect(1)] for name, judge in JUDGES.items()}
    assert [after[f"fixed {s} s"] for s in (10, 15, 20)] == [[10.0], [15.0], [20.0]]
    chen, exponential, ours = Chen(7.5), PhiExponential(), Heartline(believes=True)
    for beat in perfect(300):
        expected_s = beat.arrived_s + PERIOD_S
        assert math.isclose(chen.heard(beat), expected_s + 7.5)
        assert math.isclose(exponential.heard(beat), beat.arrived_s + 92.1, abs_tol=0.2)
        assert math.isclose(ours.heard(beat), beat.arrived_s + 12.5)
