"""Graphs made of characters: values in, rows of text out.

Pure. A known value always leaves a mark, be it the lowest; an unknown one leaves none, so that a
gap is never mistaken for a zero. Values beyond the top fill the height.
"""

from collections.abc import Sequence
from math import ceil
from typing import Final, NamedTuple

from tui.look import Look, Symbols
from tui.tones import Piece, Pieces, Tone

_BRAILLE: Final = 0x2800
_LEFT: Final = (0x00, 0x40, 0x44, 0x46, 0x47)
_RIGHT: Final = (0x00, 0x80, 0xA0, 0xB0, 0xB8)
_LEFT_DOT: Final = (0x40, 0x04, 0x02, 0x01)
_RIGHT_DOT: Final = (0x80, 0x20, 0x10, 0x08)
"""One dot, from the lowest up."""

_DOTS: Final = 4
"""One above the other in a cell; there are two such columns."""

_MARK: Final = "·"
"""Where the highest value was, in terminals without braille."""

_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_EIGHTHS: Final = 8
_FREE: Final = frozenset({" ", chr(_BRAILLE)})


class Drawn(NamedTuple):
    """What a graph is made from: a value for each column of dots, None where there is none."""

    means: Sequence[float | None]
    most: Sequence[float | None] = ()
    """The highest values, where the others are means."""

    @property
    def all(self) -> Sequence[float | None]:
        """What has to find room in the graph."""
        return (*self.means, *self.most)


def columns_per_cell(symbols: Symbols) -> int:
    """How many values stand side by side in one cell."""
    return 2 if symbols is Symbols.BRAILLE else 1


def plot(
    values: Sequence[float | None], top: float, height: int, symbols: Symbols
) -> tuple[str, ...]:
    """The area under `values` as `height` rows, the highest first; the latest value at the right.

    The number of values is a multiple of `columns_per_cell`.
    """
    steps = _DOTS if symbols is Symbols.BRAILLE else _EIGHTHS
    levels = [_level(value, top, height * steps) for value in values]
    rows = range((height - 1) * steps, -1, -steps)
    if symbols is not Symbols.BRAILLE:
        return tuple(
            "".join(_BLOCKS[min(max(level - floor, 0), steps)] for level in levels)
            for floor in rows
        )
    pairs = list(zip(levels[::2], levels[1::2], strict=True))
    return tuple(
        "".join(
            chr(
                _BRAILLE
                + _LEFT[min(max(left - floor, 0), steps)]
                + _RIGHT[min(max(right - floor, 0), steps)]
            )
            for left, right in pairs
        )
        for floor in rows
    )


def outline(
    values: Sequence[float | None], top: float, height: int, symbols: Symbols
) -> tuple[str, ...]:
    """The same values as points and not as an area: a line to draw above one."""
    is_braille = symbols is Symbols.BRAILLE
    steps = _DOTS if is_braille else _EIGHTHS
    levels = [_level(value, top, height * steps) for value in values]
    rows = range((height - 1) * steps, -1, -steps)
    if not is_braille:
        return tuple(
            "".join(_MARK if floor < level <= floor + steps else " " for level in levels)
            for floor in rows
        )
    pairs = list(zip(levels[::2], levels[1::2], strict=True))
    return tuple(
        "".join(
            chr(_BRAILLE + _point(left - floor, _LEFT_DOT) + _point(right - floor, _RIGHT_DOT))
            for left, right in pairs
        )
        for floor in rows
    )


def area(
    drawn: Drawn, top: float, height: int, look: Look, tone: Tone | None = None
) -> tuple[Pieces, ...]:
    """The area under the means, and above it a line of the highest values, where there are any.

    Without a `tone` each row has that of the values that reach it, as parts of a whole.
    """
    filled = plot(drawn.means, top, height, look.symbols)
    lines = outline(drawn.most, top, height, look.symbols) if drawn.most else ("",) * height
    return tuple(
        _over(row, line, tone or look.heat((height - number - 0.5) / height))
        for number, (row, line) in enumerate(zip(filled, lines, strict=True))
    )


def sparkline(levels: Sequence[float | None], symbols: Symbols) -> str:
    """Ratios as one row."""
    (row,) = plot(levels, 1.0, 1, symbols)
    return row


def ceiling(values: Sequence[float | None], least: float) -> float:
    """A top for a graph that holds all of `values`: `least`, doubled as often as it takes."""
    most = max((value for value in values if value is not None), default=0.0)
    top = least
    while top < most:
        top *= 2
    return top


def _point(level: int, dots: Sequence[int]) -> int:
    return dots[level - 1] if 0 < level <= len(dots) else 0


def _over(row: str, line: str, tone: Tone) -> Pieces:
    """A row of an area; what it leaves free is the line's."""
    pieces: list[Piece] = []
    for place, cell in enumerate(row):
        is_free = cell in _FREE and place < len(line)
        piece = Piece(line[place], Tone.MUTED) if is_free else Piece(cell, tone)
        if pieces and pieces[-1].tone is piece.tone:
            piece = Piece(pieces.pop().text + piece.text, piece.tone)
        pieces.append(piece)
    return tuple(pieces)


def _level(value: float | None, top: float, steps: int) -> int:
    """How many of `steps` a value reaches; at least one where it is known."""
    if value is None:
        return 0
    return min(steps, max(1, ceil(value / top * steps - 0.5)))
