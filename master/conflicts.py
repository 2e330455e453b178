"""Two agents with one identity: a cloned machine, a copied key. Each takes the other's place, over
and over."""

from collections import deque
from typing import Final

from shared.absence import Process

WINDOW_S: Final = 600.0
"""Takeovers further apart than this are restarts, not a conflict. The slowest pair of clones, both
at the back-off's cap, takes over twice a minute."""

TAKEOVERS: Final = 3
"""So many within the window are a conflict, whoever it was: one or two happen when a network path
flips."""


class Conflicts:
    """Counts takeovers of live links, per node. `now_s` is the master's monotonic clock.

    One that is contested is enough: a run of the agent that takes its place back from another run
    has not ended.
    """

    def __init__(self) -> None:
        self._of: dict[str, _Takeovers] = {}
        """In order of the last takeover."""

    def takeover(self, node_id: str, displaced: Process, by: Process, now_s: float) -> bool:
        """The live link of one run was replaced by another's; whether that makes it a
        conflict."""
        takeovers = self._of.pop(node_id, None)
        if takeovers is None or now_s - takeovers.times[-1] > WINDOW_S:
            takeovers = _Takeovers()
        takeovers.times.append(now_s)
        self._of[node_id] = takeovers
        self._drop_old(now_s)
        if displaced != by:
            takeovers.is_contested |= by in takeovers.displaced
            takeovers.displaced.append(displaced)
        return self.exists(node_id, now_s)

    def __len__(self) -> int:
        """Nodes that something is remembered of."""
        return len(self._of)

    def exists(self, node_id: str, now_s: float) -> bool:
        """Whether the node's identity is in conflict."""
        takeovers = self._of.get(node_id)
        if takeovers is None:
            return False
        times = takeovers.times
        if now_s - times[-1] > WINDOW_S:
            del self._of[node_id]
            return False
        are_many = len(times) == TAKEOVERS and now_s - times[0] <= WINDOW_S
        return takeovers.is_contested or are_many

    def _drop_old(self, now_s: float) -> None:
        # In order of their last takeovers: of a large fleet, each node's link is taken over once.
        while now_s - next(iter(self._of.values())).times[-1] > WINDOW_S:
            del self._of[next(iter(self._of))]


class _Takeovers:
    """Of one node, lately."""

    __slots__ = ("displaced", "is_contested", "times")

    def __init__(self) -> None:
        self.times = deque[float](maxlen=TAKEOVERS)
        self.displaced = deque[Process](maxlen=TAKEOVERS)
        """The runs whose live links another run has taken over."""
        self.is_contested = False
