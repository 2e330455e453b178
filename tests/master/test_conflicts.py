"""Takeovers counted: how many, how close together, make a conflict of an identity."""

from master.conflicts import TAKEOVERS, WINDOW_S, Conflicts


def test_so_many_takeovers_within_the_window_are_a_conflict() -> None:
    conflicts = Conflicts()
    assert [conflicts.takeover("a", float(at_s)) for at_s in (0, 300, WINDOW_S)] == [
        False, False, True
    ]  # fmt: skip


def test_takeovers_further_apart_are_none() -> None:
    conflicts = Conflicts()
    assert not any(conflicts.takeover("a", at_s) for at_s in (0.0, 301.0, 602.0, 903.0))


def test_conflict_lasts_for_a_window_after_the_last_takeover() -> None:
    conflicts = Conflicts()
    for at_s in range(TAKEOVERS):
        conflicts.takeover("a", float(at_s))
    last_s = TAKEOVERS - 1
    assert conflicts.exists("a", WINDOW_S)
    assert not conflicts.exists("a", last_s + WINDOW_S + 1)
    assert not conflicts.takeover("a", last_s + WINDOW_S + 2)


def test_nodes_are_counted_apart() -> None:
    conflicts = Conflicts()
    for number in range(10):
        assert not conflicts.takeover(f"node-{number}", 0.0)
    assert not conflicts.exists("never taken over", 0.0)
