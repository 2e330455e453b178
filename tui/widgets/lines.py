"""A few lines of pieces, each with a left and a right end; what changed is repainted."""

from collections.abc import Sequence
from typing import ClassVar, Final, NamedTuple

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.shortening import shorten_pieces
from tui.tones import Pieces
from tui.widgets.toned import TONE_CLASSES, background, padded, toned, width_of

_GAP: Final = 2


class Line(NamedTuple):
    """What stands at the left, and at the right as long as there is room for it."""

    left: Pieces
    right: Pieces = ()


class Lines(Widget):
    """Shows as many lines as it is given and its height has room for."""

    COMPONENT_CLASSES: ClassVar[set[str]] = set(TONE_CLASSES)

    def __init__(self, *, id: str, classes: str = "") -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id, classes=classes)
        self._lines: Sequence[Line] = ()

    def show(self, *lines: Line) -> None:
        """Paints these lines from now on."""
        before, self._lines = self._lines, lines
        if len(before) != len(lines):
            self.refresh()
            return
        width = self.content_size.width
        for y, (old, new) in enumerate(zip(before, lines, strict=True)):
            if old != new:
                self.refresh(Region(0, y, width, 1))

    def render_line(self, y: int) -> Strip:
        """See `textual.widget.Widget.render_line`."""
        width = self.content_size.width
        beneath = background(self)
        if y >= len(self._lines):
            return Strip.blank(width, beneath)
        left, right = self._lines[y]
        room = width - width_of(right) - _GAP if right else width
        left = shorten_pieces(left, max(0, room))
        segments = toned(self, left, beneath)
        if right:
            gap = max(_GAP, width - width_of(left) - width_of(right))
            segments = [*segments, Segment(" " * gap, beneath), *toned(self, right, beneath)]
        return padded(segments, width, beneath)
