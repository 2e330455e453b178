"""How many samples one node may put into the history: as many as an honest agent can have.

An honest agent takes a sample a second at most, so what it has for the history is what its spool
holds, once, and that from then on. A hostile one could invent as many as a line carries, and push
everybody else's out of a history of bounded size.
"""

from typing import Final

SAMPLES_AT_ONCE: Final = 100_000
"""More than a day of samples taken while somebody looked: what a full spool replays."""

SAMPLES_PER_S: Final = 4.0
"""What is given on top for as long as it takes, so that a spool larger than that comes in too."""

NEW_RUN_COST: Final = 64
"""Samples that a run costs that was not spoken of before: it takes a row for itself."""

_FULL_S: Final = SAMPLES_AT_ONCE / SAMPLES_PER_S


class Allowance:
    """Of one node. Times are the caller's monotonic seconds."""

    __slots__ = ("_full_again_s",)

    def __init__(self) -> None:
        self._full_again_s = 0.0

    def __repr__(self) -> str:
        return f"<Allowance, full again at {self._full_again_s:.0f}>"

    def take(self, samples: int, now_s: float) -> bool:
        """Spends so many; False, and none spent, when they are not left."""
        full_again_s = max(self._full_again_s, now_s) + samples / SAMPLES_PER_S
        if full_again_s - now_s > _FULL_S:
            return False
        self._full_again_s = full_again_s
        return True

    def give_back(self, samples: int) -> None:
        """So many of those that were spent were not taken after all."""
        self._full_again_s -= samples / SAMPLES_PER_S
