"""Liveness applied to many nodes at once: who is told what, and when."""

import pytest

from master.detector import Detector, Probe
from master.sweeper import NOT_SCHEDULED, Sweeper
from shared.liveness import (
    BeatArrived,
    DeadlinePassed,
    Joined,
    LinkBroke,
    Liveness,
    Revoked,
    State,
    restored,
)


def beat(now_s: float) -> BeatArrived:
    """Sent the moment it arrives, by a clock that agrees with the master's."""
    return BeatArrived(now_s, 5.0, 5.0)


class Told:
    """A detector, and what it says. Nodes have no link that could bear witness."""

    def __init__(self) -> None:
        self.sweeper = Sweeper()
        self.detector = Detector(self.sweeper, self)
        self.transitions: list[tuple[str, State]] = []

    def probe(self, node_id: str) -> Probe | None:
        return None

    def master_is_well(self, now_s: float) -> bool:
        return True

    def changed(self, node_id: str, before: Liveness, after: Liveness) -> None:
        assert self.detector[node_id] is after
        assert before.state is not after.state
        self.transitions.append((node_id, after.state))

    def mass_event(self, node_ids: tuple[str, ...], alive: int) -> None:
        raise AssertionError("two nodes are no mass")

    def flapping_changed(self, node_id: str, *, is_on: bool) -> None:
        raise AssertionError("nobody flaps")


@pytest.fixture
def told() -> Told:
    told = Told()
    told.detector.know("a", Liveness(State.NEVER_SEEN, 0.0))
    told.detector.know("b", Liveness(State.NEVER_SEEN, 0.0))
    return told


def test_silent_node_is_late_and_then_down_while_the_other_beats_on(told: Told) -> None:
    told.detector.apply("a", beat(0.0), 0.0)
    for now_s in range(0, 20, 5):
        told.detector.apply("b", beat(now_s), float(now_s))
    for tenths in range(60, 126):
        told.sweeper.sweep(tenths / 10)
    assert told.transitions == [
        ("a", State.UP), ("b", State.UP), ("a", State.LATE), ("a", State.DOWN)
    ]  # fmt: skip


def test_beat_of_a_node_that_is_up_is_no_transition(told: Told) -> None:
    told.detector.apply("a", beat(0.0), 0.0)
    told.detector.apply("a", beat(5.0), 5.0)
    assert told.transitions == [("a", State.UP)]
    arrivals = told.detector["a"].arrivals
    assert arrivals is not None
    assert arrivals.heard_s == 5.0


def test_broken_link_makes_the_deadline_earlier_than_the_beat_had(told: Told) -> None:
    told.detector.apply("a", beat(0.0), 0.0)
    told.detector.apply("a", LinkBroke("link reset"), 0.5)
    assert told.sweeper.sweep(3.5) >= 5.9  # the beat's own, no longer of any use
    assert told.transitions[-1] == ("a", State.DOWN)
    assert told.sweeper.sweep(6.0) == NOT_SCHEDULED


def test_nodes_that_are_known_from_before_are_watched_at_once(told: Told) -> None:
    told.detector.know("c", restored(State.UP, "", 0.0))
    told.sweeper.sweep(45.0)
    assert told.transitions == [("c", State.DOWN)]


def test_forgotten_node_is_neither_watched_nor_known(told: Told) -> None:
    told.detector.apply("a", beat(0.0), 0.0)
    told.detector.forget("a")
    told.detector.forget("a")
    assert told.sweeper.sweep(1_000.0) == NOT_SCHEDULED
    assert told.transitions == [("a", State.UP)]
    with pytest.raises(KeyError):
        told.detector.apply("a", beat(2.0), 2.0)


def test_identity_that_comes_back_after_being_forgotten_starts_anew(told: Told) -> None:
    told.detector.apply("a", beat(0.0), 0.0)
    told.detector.forget("a")
    told.detector.know("a", Liveness(State.NEVER_SEEN, 1.0))
    told.detector.apply("a", Joined(5.0), 1.0)
    told.sweeper.sweep(7.0)
    assert told.detector["a"].state is State.JOINING


def test_event_that_changes_nothing_is_not_told(told: Told) -> None:
    told.detector.apply("a", Revoked(), 0.0)
    told.detector.apply("a", beat(1.0), 1.0)
    told.detector.apply("a", DeadlinePassed(), 2.0)
    assert told.transitions == [("a", State.REVOKED)]


def test_awaited_node_is_not_down_while_others_are_still_coming_back(told: Told) -> None:
    for node_id in ("c", "d"):
        told.detector.know(node_id, restored(State.UP, "", 0.0))
    told.detector.apply("d", beat(40.0), 40.0)
    for now_s in range(45, 55):
        told.detector.apply("d", beat(now_s), float(now_s))
        told.sweeper.sweep(float(now_s))
    assert told.transitions == [("d", State.UP)]
    told.sweeper.sweep(55.0)
    assert told.transitions == [("d", State.UP), ("c", State.DOWN)]
