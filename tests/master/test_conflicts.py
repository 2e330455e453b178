"""Takeovers counted: how many, how close together, make a conflict of an identity."""

from master.conflicts import TAKEOVERS, WINDOW_S, Conflicts
from shared.absence import Process

ONE, OTHER, THIRD = (Process("boot", started) for started in (1, 2, 3))


def taken_over(conflicts: Conflicts, node_id: str, at_s: float) -> bool:
    return conflicts.takeover(node_id, ONE, ONE, at_s)


def test_so_many_takeovers_within_the_window_are_a_conflict() -> None:
    conflicts = Conflicts()
    assert [taken_over(conflicts, "a", float(at_s)) for at_s in (0, 300, WINDOW_S)] == [
        False, False, True
    ]  # fmt: skip


def test_takeovers_further_apart_are_none() -> None:
    conflicts = Conflicts()
    assert not any(taken_over(conflicts, "a", at_s) for at_s in (0.0, 301.0, 602.0, 903.0))


def test_conflict_lasts_for_a_window_after_the_last_takeover() -> None:
    conflicts = Conflicts()
    for at_s in range(TAKEOVERS):
        taken_over(conflicts, "a", float(at_s))
    last_s = TAKEOVERS - 1
    assert conflicts.exists("a", WINDOW_S)
    assert not conflicts.exists("a", last_s + WINDOW_S + 1)
    assert not taken_over(conflicts, "a", last_s + WINDOW_S + 2)


def test_nodes_are_counted_apart() -> None:
    conflicts = Conflicts()
    for number in range(10):
        assert not taken_over(conflicts, f"node-{number}", 0.0)
    assert not conflicts.exists("never taken over", 0.0)


def test_takeover_that_is_contested_is_a_conflict_at_once() -> None:
    conflicts = Conflicts()
    assert not conflicts.takeover("a", ONE, OTHER, 0.0)
    assert conflicts.takeover("a", OTHER, ONE, 3.0)
    assert conflicts.exists("a", 3.0 + WINDOW_S)
    assert not conflicts.exists("a", 4.0 + WINDOW_S)


def test_runs_that_follow_one_another_contest_nothing() -> None:
    conflicts = Conflicts()
    assert not conflicts.takeover("a", ONE, OTHER, 0.0)
    assert not conflicts.takeover("a", OTHER, THIRD, 3.0)


def test_what_was_contested_is_forgotten_after_the_window() -> None:
    conflicts = Conflicts()
    conflicts.takeover("a", ONE, OTHER, 0.0)
    conflicts.takeover("a", OTHER, ONE, 1.0)
    assert not conflicts.takeover("a", ONE, OTHER, 2.0 + WINDOW_S)


def test_nodes_whose_takeovers_are_long_past_are_not_remembered() -> None:
    conflicts = Conflicts()
    for number in range(10):
        taken_over(conflicts, f"node-{number}", float(number))
    taken_over(conflicts, "node-3", 20.0)
    taken_over(conflicts, "late", WINDOW_S + 15.0)
    assert len(conflicts) == 2  # node-3 and this one
