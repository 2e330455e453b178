"""Mass events: many nodes falling silent at once are one event, and probably not the nodes'.

When a large part of the fleet becomes late or lost within two periods, something that they share
has failed: a switch, a site, or the master's own network. One event says so, names what they have
in common, and *down* is held back for two more periods.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

LEAST_NODES: Final = 5
LEAST_PART: Final = 0.3
WINDOW_PERIODS: Final = 2.0
HOLD_PERIODS: Final = 2.0

COMMON_PART: Final = 0.9
"""A subnet or label is what the fallen have in common when so many of them have it …"""

BY_CHANCE: Final = 0.01
"""… and it is less likely than this that so many nodes, picked at random, would."""


class Masses:
    """Watches for mass events. Times are on the attentive clock."""

    def __init__(self) -> None:
        self._fallen: dict[str, float] = {}
        self._until_s = float("-inf")

    def __repr__(self) -> str:
        return f"<Masses {len(self._fallen)} fallen lately>"

    def fell(self, node_id: str, alive: int, period_s: float, now_s: float) -> tuple[str, ...]:
        """A node became late or lost; the ids of all who did, when that begins a mass event.

        `alive` is how many nodes were alive within the window, this one included. A node's fall
        costs the same however many have fallen.
        """
        self._fallen.pop(node_id, None)  # so that the newest stays last
        self._fallen[node_id] = now_s
        self._drop_before(now_s - WINDOW_PERIODS * period_s)
        if len(self._fallen) < max(LEAST_NODES, LEAST_PART * alive):
            return ()
        begins = now_s > self._until_s
        self._until_s = now_s + HOLD_PERIODS * period_s
        return tuple(self._fallen) if begins else ()

    def holds(self, now_s: float) -> bool:
        """Whether *down* is held back now."""
        return now_s <= self._until_s

    @property
    def until_s(self) -> float:
        """Until when."""
        return self._until_s

    def _drop_before(self, since_s: float) -> None:
        while True:
            oldest = next(iter(self._fallen))
            if self._fallen[oldest] >= since_s:
                return
            del self._fallen[oldest]


def common_ground(fallen: Iterable[str], marks: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """What the fallen have in common: the marks (`label=value`, subnet) that nearly all of them
    bear and by chance would not, the rarest first. `marks` are those of every node, by id.

    A mark that nearly every node bears explains nothing, so it is not named.
    """
    ids = [node_id for node_id in fallen if node_id in marks]
    among_fallen = Counter(mark for node_id in ids for mark in marks[node_id])
    among_all = Counter(mark for each in marks.values() for mark in each)
    shared_marks = (
        mark
        for mark, count in among_fallen.items()
        if count >= COMMON_PART * len(ids) and (among_all[mark] / len(marks)) ** count < BY_CHANCE
    )
    return tuple(sorted(shared_marks, key=lambda mark: (among_all[mark], mark)))
