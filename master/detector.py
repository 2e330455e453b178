"""The state of every node: `shared.liveness` applied, with the sweeper for its clock."""

from collections.abc import Callable
from typing import Final, TypeAlias

from master.sweeper import NOT_SCHEDULED, Sweeper
from shared.liveness import DeadlinePassed, Liveness, LivenessEvent, deadline_s, step

OnTransition: TypeAlias = Callable[[str, Liveness], None]
"""Told of a change of state: the node's id, and what it is now."""


class Detector:
    """Every known node's liveness. Decides; `on_transition` does."""

    def __init__(self, sweeper: Sweeper, on_transition: OnTransition) -> None:
        self._sweeper: Final = sweeper
        self._on_transition: Final = on_transition
        self._watched: dict[str, _Watched] = {}

    def __repr__(self) -> str:
        return f"<Detector of {len(self._watched)} nodes>"

    def __getitem__(self, node_id: str) -> Liveness:
        """The liveness of a known node. Raises KeyError for another one."""
        return self._watched[node_id].liveness

    def know(self, node_id: str, liveness: Liveness) -> None:
        """From now on this node is watched, starting as `liveness`."""
        watched = _Watched(self, node_id, liveness)
        self._watched[node_id] = watched
        self._sweeper.schedule(watched)

    def forget(self, node_id: str) -> None:
        """The node is no longer watched."""
        watched = self._watched.pop(node_id, None)
        if watched is not None:
            watched.forgotten = True

    def apply(self, node_id: str, event: LivenessEvent, now_s: float) -> Liveness:
        """What `event` makes of a node; raises KeyError when it is not known."""
        watched = self._watched[node_id]
        before = watched.liveness
        after = step(before, event, now_s)
        if after is not before:
            watched.liveness = after
            self._sweeper.schedule(watched)
            if after.state is not before.state:
                self._on_transition(node_id, after)
        return after


class _Watched:
    """One node as the sweeper sees it."""

    __slots__ = ("_detector", "forgotten", "liveness", "node_id", "scheduled_s")

    def __init__(self, detector: Detector, node_id: str, liveness: Liveness) -> None:
        self._detector = detector
        self.node_id = node_id
        self.liveness = liveness
        self.forgotten = False
        self.scheduled_s = NOT_SCHEDULED

    def deadline_s(self) -> float | None:
        return None if self.forgotten else deadline_s(self.liveness)

    def expire(self, now_s: float) -> None:
        self._detector.apply(self.node_id, DeadlinePassed(), now_s)
