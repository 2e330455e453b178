"""Mass events: many nodes falling silent at once are one event, and probably not the nodes'.

When a large part of the fleet becomes late or lost within two periods, something that they share
has failed: a switch, a site, or the master's own network. One event says so, names what they have
in common, and *down* is held back for two more periods.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

LEAST_NODES: Final = 5
LEAST_PART: Final = 0.3
WINDOW_PERIODS: Final = 2.0
HOLD_PERIODS: Final = 2.0

COMMON_PART: Final = 0.9
"""A subnet or label is what the fallen have in common when so many of them have it …"""

EXPLAINS_PART: Final = 0.5
"""… and so many of all who have it have fallen."""


class Fallen(Struct, frozen=True, gc=False):
    """One node that became late or lost, and when."""

    at_s: float
    node_id: str


class Masses:
    """Watches for mass events. Times are on the attentive clock."""

    def __init__(self) -> None:
        self._fallen: deque[Fallen] = deque()
        self._until_s = float("-inf")

    def __repr__(self) -> str:
        return f"<Masses {len(self._fallen)} fallen lately>"

    def fell(self, node_id: str, alive: int, period_s: float, now_s: float) -> tuple[str, ...]:
        """A node became late or lost; the ids of all who did, when that begins a mass event.

        `alive` is how many nodes were alive within the window, this one included.
        """
        window_s = WINDOW_PERIODS * period_s
        while self._fallen and self._fallen[0].at_s < now_s - window_s:
            self._fallen.popleft()
        self._fallen.append(Fallen(now_s, node_id))
        ids = tuple({fallen.node_id: None for fallen in self._fallen})
        if len(ids) < max(LEAST_NODES, LEAST_PART * alive):
            return ()
        begins = now_s > self._until_s
        self._until_s = now_s + HOLD_PERIODS * period_s
        return ids if begins else ()

    def holds(self, now_s: float) -> bool:
        """Whether *down* is held back now."""
        return now_s <= self._until_s

    @property
    def until_s(self) -> float:
        """Until when."""
        return self._until_s


def common_ground(fallen: Iterable[str], marks: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """What the fallen have in common: the marks (`label=value`, subnet) that most of them bear, and
    whose bearers have mostly fallen. `marks` are those of every node, by id."""
    ids = [node_id for node_id in fallen if node_id in marks]
    if not ids:
        return ()
    among_fallen = Counter(mark for node_id in ids for mark in marks[node_id])
    among_all = Counter(mark for each in marks.values() for mark in each)
    return tuple(
        sorted(
            mark
            for mark, count in among_fallen.items()
            if count >= COMMON_PART * len(ids) and count >= EXPLAINS_PART * among_all[mark]
        )
    )
