"""Rings of readings: what a graph gets of them, and what they forget."""

from typing import Any

from tests.tui.fleets import core
from tui.trail import READINGS_KEPT, TRAILS_KEPT, Trail, Trails


def trail(*readings: tuple[int, int | None], period_ms: int = 1_000) -> Trail:
    made = Trail()
    for at_ms, busy_bp in readings:
        made.add(at_ms, period_ms, core(cpu_busy_bp=busy_bp))
    return made


def cpu(of: Trail, now_ms: float, **changes: Any) -> list[float | None]:
    return list(of.series("cpu", now_ms, **({"step_ms": 1_000, "count": 5} | changes)))


def test_latest_reading_is_the_last_step() -> None:
    made = trail((8_000, 1_000), (9_000, 2_000), (10_000, 3_000))
    assert cpu(made, 10_400)[-3:] == [0.1, 0.2, 0.3]


def test_value_holds_until_the_next_and_not_beyond_what_was_promised() -> None:
    made = trail((1_000, 5_000), (6_000, 7_000), period_ms=5_000)
    assert cpu(made, 6_000) == [0.5, 0.5, 0.5, 0.5, 0.7]
    assert cpu(made, 20_000, count=4) == [0.7, 0.7, None, None]
    assert cpu(made, 30_000) == [None] * 5


def test_silence_is_a_gap() -> None:
    made = trail((1_000, 5_000), (9_000, 6_000))
    assert cpu(made, 9_000, count=9) == [0.5, 0.5, 0.5, None, None, None, None, None, 0.6]


def test_highest_of_several_readings_in_one_step_is_shown() -> None:
    made = trail((8_000, 1_000), (8_300, 9_000), (8_600, 2_000))
    assert cpu(made, 8_900)[-1] == 0.9
    assert cpu(made, 9_100)[-1] == 0.2


def test_graph_stands_still_within_a_step() -> None:
    made = trail(*((at_ms, at_ms) for at_ms in range(1_000, 9_000, 700)))
    assert cpu(made, 8_000) == cpu(made, 8_999)


def test_unknown_value_is_no_reading_of_zero() -> None:
    assert cpu(trail((1_000, None)), 1_000)[-1] is None


def test_sample_that_is_known_already_changes_nothing() -> None:
    made = trail((1_000, 1_000), (1_000, 9_000), (500, 9_000))
    made.add(None, 1_000, core())
    assert len(made) == 1


def test_trail_is_bounded() -> None:
    assert len(trail(*((at_ms, 1) for at_ms in range(1, READINGS_KEPT + 50)))) == READINGS_KEPT


def test_trail_longest_not_looked_at_is_given_up() -> None:
    trails = Trails()
    first = trails.open("first")
    trails.open("second")
    for number in range(TRAILS_KEPT - 2):
        trails.open(f"other-{number}")
    assert trails.open("first") is first
    trails.open("one more")
    assert trails.get("second") is None
    assert trails.get("first") is first


def test_another_clock_begins_anew() -> None:
    trails = Trails()
    opened = trails.open("node")
    opened.add(9_000, 1_000, core())
    trails.clear()
    assert len(opened) == 0
    opened.add(10, 1_000, core())
    assert len(opened) == 1
