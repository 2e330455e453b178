"""What to know before believing the rest, over the picture; out of the way while all is well."""

from typing import Final

from tui.tones import Pieces
from tui.widgets.lines import Line, Lines
from tui.widgets.toned import width_of
from tui.wrapping import wrapped

MOST_LINES: Final = 3
"""Enough for a long path on 80 columns; more would take the picture's room."""


class Banner(Lines):
    """One notice, in as many lines as it takes; its right end stands on the first."""

    def tell(self, what: Pieces, beside: Pieces) -> None:
        """Shows this from now on; nothing: goes away."""
        width = self.screen.size.width - self.gutter.width
        room = width - width_of(beside) - 1 if beside else width
        first, *more = wrapped(what, room, MOST_LINES)
        self.display = bool(what or beside)
        self.styles.height = 1 + len(more)
        self.show(Line(first, beside), *map(Line, more))
