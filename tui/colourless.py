"""The dashboard where nobody wants colours (`NO_COLOR`): none at all, not even greys.

What was told apart by its ground, such as the row under the cursor, is in reverse instead.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from rich.color import Color as RichColor
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter
from textual.theme import Theme

_APART: Final = 16
"""Grounds that differ less in every channel are one: fields to type in are tinted a little."""

_NONE: Final = Style.from_color(RichColor.default(), RichColor.default())
_REVERSE: Final = _NONE + Style(reverse=True)


class Colourless(LineFilter):
    """Takes the colours out of lines that have been painted in `theme`."""

    def __init__(self, theme: Callable[[], Theme]) -> None:
        super().__init__()
        self._theme = theme

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """See `textual.filter.LineFilter`."""
        theme = self._theme()
        grounds = (theme.background, theme.surface, theme.panel)
        return [
            Segment(text, None if style is None else _without(style, grounds), control)
            for text, style, control in segments
        ]


@lru_cache(1024)
def _without(style: Style, grounds: tuple[str | None, ...]) -> Style:
    ground = style.bgcolor.triplet if style.bgcolor else None
    is_usual = ground is None or any(_is_like(ground, each) for each in grounds if each)
    return style + (_NONE if is_usual else _REVERSE)


def _is_like(ground: ColorTriplet, usual: str) -> bool:
    return all(abs(a - b) < _APART for a, b in zip(ground, Color.parse(usual).rgb, strict=True))
