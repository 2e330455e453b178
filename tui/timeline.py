"""The line of time at the foot of the screen: who was away when, what is missing, where one is.

Pure. A cell tells by its shape as well as its tone, as everywhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from shared.causes import Cause
from shared.liveness import State
from shared.messages import Outage
from tui import formats
from tui.spans import Window
from tui.strip import sign
from tui.tones import Piece, Pieces, Tone

LEAD: Final = 8
"""Cells before the line: how much time it shows."""

_SHARES: Final = (
    (0.05, Piece("▂", Tone.LATE)),
    (0.25, Piece("▄", Tone.LATE)),
    (0.60, Piece("▆", Tone.DOWN)),
    (1.00, Piece("█", Tone.DOWN)),
)
"""How a cell is drawn in which up to such a part of the fleet was away."""

_NONE_AWAY: Final = Piece("━", Tone.UP)
_PLANNED: Final = Piece("○", Tone.AWAY)
_UNOBSERVED: Final = sign(State.AWAITED)
_MISSING: Final = Piece("╍", Tone.WARM)
_UNKNOWN: Final = Piece("·", Tone.FAINT)
_TO_COME: Final = Piece(" ")
_CURSOR: Final = "▲"


class Cell(NamedTuple):
    """What was the matter in a stretch of time."""

    away: int = 0
    """Nodes that were away and expected, at any time in it."""
    planned: int = 0
    """Nodes that had said goodbye."""
    unobserved: int = 0
    """Nodes that the master did not see, because it was away itself."""
    missing: int = 0
    """Nodes of which samples are missing."""


def cells(window: Window, outages: Iterable[Outage], missing: Mapping[int, int]) -> Sequence[Cell]:
    """What there is to say of each cell of a window. `missing` is of how many nodes samples are
    missing in a cell, by its number since 1970."""
    away, planned, unobserved = (_empty(window) for _ in range(3))
    for outage in outages:
        kind = away
        if outage.planned:
            kind = planned
        elif outage.cause == Cause.MASTER_AWAY:
            kind = unobserved
        end_ms = window.end_wall_ms if outage.to_wall_ms is None else outage.to_wall_ms
        _mark(kind, window, outage.from_wall_ms, end_ms, outage.node_id)
    first = window.begin_wall_ms // window.cell_ms
    return [
        Cell(len(away[n]), len(planned[n]), len(unobserved[n]), missing.get(first + n, 0))
        for n in range(window.cells)
    ]


def line(
    found: Sequence[Cell], window: Window, total: int, known_from_wall_ms: int, now_wall_ms: int
) -> Pieces:
    """The cells as they are drawn, those that are alike in one piece; of `total` nodes."""
    pieces: list[Piece] = []
    for place, cell in enumerate(found):
        begin_ms = window.begin_wall_ms + place * window.cell_ms
        if begin_ms > now_wall_ms:
            piece = _TO_COME
        elif begin_ms + window.cell_ms <= known_from_wall_ms:
            piece = _UNKNOWN
        else:
            piece = _drawn(cell, total)
        if pieces and pieces[-1].tone is piece.tone and pieces[-1].text[-1] == piece.text:
            piece = Piece(pieces.pop().text + piece.text, piece.tone)
        pieces.append(piece)
    return tuple(pieces)


def words(cell: Cell, total: int) -> Sequence[str]:
    """What a cell means, the most important first."""
    of = f" of {formats.count(total)}" if total > 1 else ""
    parts = (
        (cell.away, f"{formats.count(cell.away)}{of} away" if of else "away"),
        (cell.unobserved, "the master was away"),
        (cell.planned, f"{formats.count(cell.planned)}{of} left" if of else "had left"),
        (cell.missing, "samples missing" + (f" of {formats.count(cell.missing)}" if of else "")),
    )
    return [text for number, text in parts if number]


def axis(found: Sequence[Cell], window: Window, at_wall_ms: int, now_ms: int, total: int) -> Pieces:
    """The line beneath: where the cursor is and what is there; where the line begins and ends."""
    place = min(max(window.place(at_wall_ms), 0), window.cells - 1)
    what = _fitting(words(found[place], total), max(place - 1, window.cells - place - 2))
    begin = _clock(window.begin_wall_ms, window, now_ms)
    is_now = window.end_wall_ms > now_ms
    end = "now" if is_now else _clock(window.end_wall_ms, window, now_ms)
    said = f" {what}" if place + 2 + len(what) <= window.cells else ""
    before = f"{what} " if what and not said and place > len(what) else ""
    left = begin.ljust(place)[:place] if place > len(begin) + len(before) else ""
    left = left[: place - len(before)].ljust(place - len(before))
    rest = window.cells - place - 1 - len(said)
    right = end.rjust(rest) if rest > len(end) else ""
    return (
        Piece(left, Tone.MUTED),
        Piece(before, Tone.STRONG),
        Piece(_CURSOR, Tone.BRAND),
        Piece(said, Tone.STRONG),
        Piece(right, Tone.MUTED),
    )


def _fitting(parts: Sequence[str], room: int) -> str:
    """As many of them as there is room for."""
    texts = (", ".join(parts[:number]) for number in range(len(parts), 0, -1))
    return next((text for text in texts if len(text) <= room), "")


def _clock(wall_ms: int, window: Window, now_ms: int) -> str:
    text = formats.clock_time(wall_ms, now_ms)
    return text[: len("00:00")] if text[2:3] == ":" and window.cell_ms >= 60_000 else text


def _drawn(cell: Cell, total: int) -> Piece:
    if cell.away:
        if total <= 1:
            return sign(State.DOWN)
        share = cell.away / total
        return next((piece for limit, piece in _SHARES if share <= limit), _SHARES[-1][1])
    if cell.unobserved:
        return _UNOBSERVED
    if cell.missing:
        return _MISSING
    return _PLANNED if cell.planned and cell.planned >= total else _NONE_AWAY


def _empty(window: Window) -> list[set[str]]:
    return [set() for _ in range(window.cells)]


def _mark(into: Sequence[set[str]], window: Window, from_ms: int, to_ms: int, node_id: str) -> None:
    if to_ms < window.begin_wall_ms or from_ms >= window.end_wall_ms or to_ms < from_ms:
        return
    first = max(0, window.place(from_ms))
    last = min(window.cells - 1, max(first, window.place(max(from_ms, to_ms - 1))))
    for place in range(first, last + 1):
        into[place].add(node_id)
