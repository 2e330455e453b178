"""Graphs made of characters: values in, rows of text out.

Pure. A known value always leaves a mark, be it the lowest; an unknown one leaves none, so that a
gap is never mistaken for a zero. Values beyond the top fill the height.
"""

from collections.abc import Sequence
from math import ceil
from typing import Final

from tui.look import Look, Symbols
from tui.tones import Piece, Pieces, Tone

_BRAILLE: Final = 0x2800
_LEFT: Final = (0x00, 0x40, 0x44, 0x46, 0x47)
_RIGHT: Final = (0x00, 0x80, 0xA0, 0xB0, 0xB8)
_DOTS: Final = 4
"""One above the other in a cell; there are two such columns."""

_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_EIGHTHS: Final = 8


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


def heat_plot(
    ratios: Sequence[float | None], height: int, look: Look, tone: Tone | None = None
) -> tuple[Pieces, ...]:
    """The same of parts of a whole, each row in the tone of the values that reach it.

    `tone` is for all rows instead.
    """
    rows = plot(ratios, 1.0, height, look.symbols)
    return tuple(
        (Piece(row, tone or look.heat((height - number - 0.5) / height)),)
        for number, row in enumerate(rows)
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


def _level(value: float | None, top: float, steps: int) -> int:
    """How many of `steps` a value reaches; at least one where it is known."""
    if value is None:
        return 0
    return min(steps, max(1, ceil(value / top * steps - 0.5)))
