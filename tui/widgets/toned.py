"""How tones become colours: the style sheet's `.tone--NAME`, looked up for one widget."""

from collections.abc import Iterable
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from tui.tones import Piece, Tone

TONE_CLASSES: Final = frozenset(f"tone--{tone}" for tone in Tone)
"""The component classes of a widget that paints `Piece`s."""


def toned(widget: Widget, pieces: Iterable[Piece], beneath: Style) -> list[Segment]:
    """The pieces in the colours of the theme, over `beneath`; without a background of their own.

    `widget` has `TONE_CLASSES` among its component classes.
    """
    return [
        Segment(text, beneath + widget.get_component_rich_style(f"tone--{tone}", partial=True))
        for text, tone in pieces
        if text
    ]


def background(widget: Widget) -> Style:
    """What lies beneath all of `widget`: without it the terminal's own would show through."""
    _, colour = widget.background_colors
    return Style(bgcolor=colour.rich_color)


def width_of(pieces: Iterable[Piece]) -> int:
    """How many cells the pieces take."""
    return sum(cell_len(piece.text) for piece in pieces)


def padded(segments: Iterable[Segment], width: int, beneath: Style) -> Strip:
    """A strip of exactly `width` cells, cut or filled at its end."""
    return Strip(segments).adjust_cell_length(width, beneath)
