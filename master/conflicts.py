"""Two agents with one identity: a cloned machine, a copied key. Each takes the other's place, over
and over."""

from collections import deque
from typing import Final

WINDOW_S: Final = 600.0
"""Takeovers further apart than this are restarts, not a conflict. The slowest pair of clones, both
at the back-off's cap, takes over twice a minute."""

TAKEOVERS: Final = 3
"""So many within the window are a conflict: one or two happen when a network path flips."""


class Conflicts:
    """Counts takeovers of live links, per node. `now_s` is the master's monotonic clock."""

    def __init__(self) -> None:
        self._takeovers: dict[str, deque[float]] = {}

    def takeover(self, node_id: str, now_s: float) -> bool:
        """A live link was replaced by another; whether that makes it a conflict."""
        times = self._takeovers.setdefault(node_id, deque(maxlen=TAKEOVERS))
        times.append(now_s)
        return self.exists(node_id, now_s)

    def exists(self, node_id: str, now_s: float) -> bool:
        """Whether the node's identity is in conflict."""
        times = self._takeovers.get(node_id)
        if times is None:
            return False
        if now_s - times[-1] > WINDOW_S:
            del self._takeovers[node_id]
            return False
        return len(times) == TAKEOVERS and now_s - times[0] <= WINDOW_S
