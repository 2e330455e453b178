"""When this master was there: between which of its lives it was not, and when it did not turn.

What it could not see it does not hold against a node. Lives are told apart by the wall clock, the
only one that goes on between them; stalls within this life by what the attentive clock left out.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import Struct

from master.store import Store
from shared.absence import FOUND_S
from shared.liveness import AWAITED_S

MARK_EVERY_S: Final = 10.0
"""How much too early a crash of the master may seem to have been."""

LIVES_KEPT: Final = 1_000
STALLS_KEPT: Final = 256

BREAKING_STALL_S: Final = 10.0
"""A stall of this length makes agents give their links, or their attempts to link, up."""


class Missing(NamedTuple):
    """How long the master was missing in a node's absence."""

    away_s: float
    """It was not there, or stood still."""
    finding_s: float
    """How long agents may have needed then to find it again."""
    stalled_s: float
    """The part of `away_s` that its own clock left out."""

    def longer(self, away_s: float, until_return_s: float) -> "Missing":
        """The same where a part of the master was missing for `away_s` besides, so long before the
        node's return."""
        found_s = max(self.finding_s, finding_s(away_s, until_return_s))
        return Missing(self.away_s + away_s, found_s, self.stalled_s)


class _Gap(Struct, frozen=True, gc=False):
    """Between two lives, in Unix milliseconds."""

    began_ms: int
    ended_ms: int


class _Stall(Struct, frozen=True, gc=False):
    at_s: float
    lasted_s: float


class OwnLife:
    """This life of the master, and the gaps before it. `missed_s` is how long in all it has stood
    still, `wall_ms` its wall clock."""

    def __init__(
        self, store: Store, wall_ms: Callable[[], int], missed_s: Callable[[], float]
    ) -> None:
        self._store = store
        self._wall_ms = wall_ms
        self._missed_s = missed_s
        rows = store.load("SELECT * FROM master_lives ORDER BY number")
        now_wall_ms = wall_ms()
        begins = [row["started_wall_ms"] for row in rows] + [now_wall_ms]
        self._gaps: Final = [
            _Gap(row["alive_wall_ms"], began) for row, began in zip(rows, begins[1:], strict=True)
        ]
        self.last_end_wall_ms: Final[int | None] = rows[-1]["alive_wall_ms"] if rows else None
        """When the life before this one ended, as far as it was marked; None: this is the first."""
        self.end_is_stored: Final[bool] = not rows or bool(rows[-1]["stopped"])
        """Whether that life has left on disk that it ended in order."""
        self._number = rows[-1]["number"] + 1 if rows else 1
        self._stalls = deque[_Stall](maxlen=STALLS_KEPT)
        self._noticed_s = missed_s()
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

    @property
    def away_s(self) -> float | None:
        """How long at most the master was away before this life; None: this is the first."""
        if not self._gaps:
            return None
        return max(0.0, (self._gaps[-1].ended_ms - self._gaps[-1].began_ms) / 1000)

    def mark(self, now_s: float) -> None:
        """It is alive; stored now and then."""
        self.notice_stalls(now_s)
        if self._marked_s is None or now_s >= self._marked_s + MARK_EVERY_S:
            self._marked_s = now_s
            self._write("alive_wall_ms = ?", self._wall_ms())

    def stopped(self) -> None:
        """It ends in order, now."""
        self._marked_s = math.inf
        self._write("alive_wall_ms = ?, stopped = 1", self._wall_ms())

    def notice_stalls(self, now_s: float) -> None:
        """Looks whether it has stood still. To be called before anything is made of the time."""
        missed_s = self._missed_s()
        if missed_s > self._noticed_s:
            self._stalls.append(_Stall(now_s, missed_s - self._noticed_s))
            self._noticed_s = missed_s

    def missing(
        self, from_wall_ms: int, to_wall_ms: int, from_s: float | None, to_s: float
    ) -> Missing:
        """How long of an absence the master was missing. `from_s`, `to_s`: the same on its own
        clock; None: before this life."""
        away_s = found_s = stalled_s = 0.0
        for gap in self._gaps:
            began_ms, ended_ms = max(gap.began_ms, from_wall_ms), min(gap.ended_ms, to_wall_ms)
            if ended_ms > began_ms:
                gap_s = (ended_ms - began_ms) / 1000
                away_s += gap_s
                found_s = finding_s(gap_s, (to_wall_ms - ended_ms) / 1000)
        for stall in self._stalls:
            if stall.at_s <= to_s and (from_s is None or stall.at_s >= from_s):
                stalled_s += stall.lasted_s
                if stall.lasted_s >= BREAKING_STALL_S:
                    found_s = finding_s(stall.lasted_s, to_s - stall.at_s)
        return Missing(away_s + stalled_s, found_s, stalled_s)

    def _write(self, change: str, *values: int) -> None:
        statement = f"UPDATE master_lives SET {change} WHERE number = ?"  # noqa: S608 - constants
        self._store.write_later((statement, (*values, self._number)))


def finding_s(gap_s: float, until_return_s: float) -> float:
    """How long an agent may have needed to find a master that was gone for `gap_s`: they wait about
    as long between two attempts as they have been without one."""
    return max(0.0, min(until_return_s, gap_s + FOUND_S, AWAITED_S))
