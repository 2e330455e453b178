"""When this master was there: between which of its lives it was not, and when it did not turn.

What it could not see it does not hold against a node. Lives are told apart by the wall clock, the
only one that goes on between them; stalls within this life by trio's.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from master.store import Store
from shared.liveness import AWAITED_S

MARK_EVERY_S: Final = 10.0
"""How much too early a crash of the master may seem to have been."""

LIVES_KEPT: Final = 1_000
STALLS_KEPT: Final = 256

STALL_LEAST_S: Final = 0.5
"""A loop that comes this late has not been attentive."""

BREAKING_STALL_S: Final = 10.0
"""A stall of this length makes agents give their links, or their attempts to link, up."""


class Gap(Struct, frozen=True, gc=False):
    """A time without this master: Unix milliseconds between two lives, seconds of trio's clock
    within one."""

    began: float
    ended: float


class OwnLife:
    """This life of the master, and the gaps before it."""

    def __init__(self, store: Store, wall_ms: Callable[[], int]) -> None:
        self._store = store
        self._wall_ms = wall_ms
        rows = store.load("SELECT * FROM master_lives ORDER BY number")
        now_wall_ms = wall_ms()
        begins = [row["started_wall_ms"] for row in rows] + [now_wall_ms]
        self._gaps: Final = [
            Gap(row["alive_wall_ms"], max(row["alive_wall_ms"], began))
            for row, began in zip(rows, begins[1:], strict=True)
        ]
        self.last_end_wall_ms: Final[int | None] = rows[-1]["alive_wall_ms"] if rows else None
        """When the life before this one ended, as far as it was marked; None: this is the first."""
        self._number = rows[-1]["number"] + 1 if rows else 1
        self._stalls = deque[Gap](maxlen=STALLS_KEPT)
        self._marked_s: float | None = None
        store.write_later(
            (
                "INSERT INTO master_lives VALUES (?, ?, ?, 0)",
                (self._number, now_wall_ms, now_wall_ms),
            ),
            ("DELETE FROM master_lives WHERE number <= ?", (self._number - LIVES_KEPT,)),
        )

    def __repr__(self) -> str:
        return f"<OwnLife {self._number}, {len(self._stalls)} stalls>"

    def mark(self, now_s: float) -> None:
        """It is alive; stored now and then."""
        if self._marked_s is None or now_s - self._marked_s >= MARK_EVERY_S:
            self._marked_s = now_s
            self._write("alive_wall_ms = ?", self._wall_ms())

    def stopped(self) -> None:
        """It ends in order."""
        self._write("alive_wall_ms = ?, stopped = 1", self._wall_ms())

    def stalled(self, from_s: float, to_s: float) -> None:
        """Its event loop did not turn in between, on trio's clock."""
        if to_s - from_s >= STALL_LEAST_S:
            self._stalls.append(Gap(from_s, to_s))

    def away_s(
        self, from_wall_ms: int, to_wall_ms: int, from_s: float | None, to_s: float
    ) -> float:
        """How much of a node's absence the master was not there for, and how long agents may have
        needed to find it again. `from_s`, `to_s`: the same on trio's clock; None: before this life.
        """
        away_s = 0.0
        for gap in self._gaps:
            began, ended = max(gap.began, from_wall_ms), min(gap.ended, to_wall_ms)
            if ended > began:
                gap_s = (ended - began) / 1000
                away_s += gap_s + _found_again_s(gap_s, (to_wall_ms - ended) / 1000)
        for stall in self._stalls:
            began = stall.began if from_s is None else max(stall.began, from_s)
            ended = min(stall.ended, to_s)
            if ended > began:
                away_s += ended - began
                if stall.ended - stall.began >= BREAKING_STALL_S:
                    away_s += _found_again_s(ended - began, to_s - ended)
        return away_s

    def _write(self, change: str, *values: int) -> None:
        statement = f"UPDATE master_lives SET {change} WHERE number = ?"  # noqa: S608 - constants
        self._store.write_later((statement, (*values, self._number)))


def _found_again_s(gap_s: float, until_return_s: float) -> float:
    # Agents wait about as long between two attempts as they have been without a master.
    return max(0.0, min(until_return_s, 2 * gap_s + 5.0, AWAITED_S))
