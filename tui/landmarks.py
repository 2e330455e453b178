"""What stands out in the past of the fleet or of one node: when who was away, and where samples are
missing from the history. Pure: questions are handed to `send`.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from shared.messages import (
    Coverage,
    CoverageOf,
    Failed,
    FromMaster,
    FromViewer,
    GetCoverage,
    ListOutages,
    Outage,
    Outages,
)
from tui.asking import Asking
from tui.focus import cleaned
from tui.spans import Window
from tui.timeline import Cell, cells

OUTAGES_TOLD: Final = 500
"""The newest; the master tells no more."""

REFRESH_S: Final = 30.0
"""How long what has been told of the present end is believed."""

MISSING: Final = frozenset({"lost", "never-collected", "awaited"})
"""Kinds of gaps that are holes in the history now."""


class _Stretch(NamedTuple):
    """What coverage is asked of."""

    node_id: str
    begin_wall_ms: int
    end_wall_ms: int
    cell_ms: int
    """How finely; cells begin at multiples of it."""


class Landmarks:
    """Of the fleet (empty `node_id`) or of one node."""

    def __init__(self, send: Callable[[FromViewer], None], numbers: Iterator[int]) -> None:
        self.node_id = ""
        self.outages: Sequence[Outage] = ()
        """Oldest first."""
        self._missing: Mapping[int, int] = {}
        self._cells: tuple[Window, Sequence[Cell]] | None = None
        self._outages_told_s: float | None = None
        self._gaps_told: tuple[_Stretch, float] | None = None
        self._counted = Counter[int]()
        """Of how many nodes samples are missing in a cell, by its number since 1970; what has come
        of the answer that is coming."""
        self._outages = Asking[str](
            lambda number, node_id: send(ListOutages(number, OUTAGES_TOLD, node_id)), numbers
        )
        self._coverage = Asking[_Stretch](
            lambda number, what: send(
                GetCoverage(number, what.node_id, what.begin_wall_ms, what.end_wall_ms)
            ),
            numbers,
        )

    def __repr__(self) -> str:
        return f"<Landmarks, {len(self.outages)} outages, {len(self._missing)} cells with gaps>"

    def want(self, node_id: str, window: Window, now_s: float) -> None:
        """Has what is in that window told, unless it is known well enough."""
        if node_id != self.node_id:
            self.node_id = node_id
            self.outages, self._missing, self._cells = (), {}, None
            self._counted.clear()
            self._outages_told_s = self._gaps_told = None
            self._outages.drop()
            self._coverage.drop()
        told_s = self._outages_told_s
        if (told_s is None or now_s - told_s > REFRESH_S) and not self._outages.is_open:
            self._outages.want(node_id, now_s)
        if not self._knows(window, now_s):
            stretch = _Stretch(node_id, window.begin_wall_ms, window.end_wall_ms, window.cell_ms)
            self._coverage.want(stretch, now_s)

    def cells(self, window: Window) -> Sequence[Cell]:
        """What there is to say of each cell of a window."""
        if self._cells is None or self._cells[0] != window:
            told = self._gaps_told
            is_as_fine = told is not None and told[0].cell_ms == window.cell_ms
            self._cells = window, cells(window, self.outages, self._missing if is_as_fine else {})
        return self._cells[1]

    def again(self, now_s: float) -> None:
        """Another link."""
        self._counted.clear()
        self._outages.again(now_s)
        self._coverage.again(now_s)

    def take(self, message: FromMaster, now_s: float) -> bool:
        """Takes in an answer; False: it is none to a question that is still open."""
        match message:
            case Outages(request=request, outages=outages):
                if self._outages.answered(request, now_s) is None:
                    return False
                self.outages = tuple(map(cleaned, outages))
                self._cells = None
                self._outages_told_s = now_s
            case CoverageOf(request=request) if self._coverage.is_answer(request):
                self._count(message.rows)
                if message.last:
                    self._take_coverage(request, now_s)
            case Failed(request=request):
                # A line of time without them is still one; what failed is asked again in a while.
                if self._outages.answered(request, now_s) is not None:
                    self._outages_told_s = now_s
                    return True
                if not self._coverage.is_answer(request):
                    return False
                self._counted.clear()
                self._take_coverage(request, now_s)
            case _:
                return False
        return True

    def instant_beside(self, at_wall_ms: int, steps: int) -> int | None:
        """When the next outage was noticed, or the one before; None: none is known there."""
        noticed = sorted({outage.noticed_wall_ms for outage in self.outages})
        if steps < 0:
            place = bisect_left(noticed, at_wall_ms) - 1
        else:
            place = bisect_right(noticed, at_wall_ms)
        return noticed[place] if 0 <= place < len(noticed) else None

    def _knows(self, window: Window, now_s: float) -> bool:
        if self._gaps_told is None:
            return False
        stretch, told_s = self._gaps_told
        is_inside = (
            stretch.cell_ms == window.cell_ms
            and stretch.begin_wall_ms <= window.begin_wall_ms
            and window.end_wall_ms <= stretch.end_wall_ms
        )
        return is_inside and now_s - told_s < REFRESH_S

    def _count(self, rows: Iterable[Coverage]) -> None:
        """Takes in one piece, and keeps what is drawn of it: a large fleet has many gaps."""
        asked = self._coverage.asked
        if asked is None:
            return
        for row in rows:
            missing: set[int] = set()
            for gap in row.gaps:
                if gap.kind in MISSING:
                    begin_ms = max(gap.from_wall_ms, asked.begin_wall_ms)
                    end_ms = min(max(gap.to_wall_ms, gap.from_wall_ms + 1), asked.end_wall_ms)
                    missing.update(range(begin_ms // asked.cell_ms, -(-end_ms // asked.cell_ms)))
            self._counted.update(missing)

    def _take_coverage(self, request: int, now_s: float) -> None:
        stretch = self._coverage.answered(request, now_s)
        if stretch is not None:
            self._gaps_told, self._cells = (stretch, now_s), None
            self._missing, self._counted = self._counted, Counter[int]()
