"""Spans of time to look back over: how long, and how finely a line of cells shows them. Pure."""

from typing import Final, NamedTuple

_S: Final = 1_000
_MIN: Final = 60 * _S
_H: Final = 60 * _MIN
_D: Final = 24 * _H


class Span(NamedTuple):
    """One of them."""

    title: str
    length_ms: int


SPANS: Final = (
    Span("15 min", 15 * _MIN),
    Span("1 h", _H),
    Span("1 d", _D),
    Span("1 w", 7 * _D),
    Span("30 d", 30 * _D),
)
"""Shortest first."""

_CELLS_MS: Final = (
    *(seconds * _S for seconds in (1, 2, 5, 10, 15, 30)),
    *(minutes * _MIN for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * _H for hours in (1, 2, 3, 6, 12)),
    *(days * _D for days in (1, 2, 5, 10, 30)),
)
"""What a cell may stand for: parts of the next unit, so that cells begin where clocks do."""


class Window(NamedTuple):
    """The time that a line of cells shows."""

    begin_wall_ms: int
    cell_ms: int
    cells: int

    @property
    def end_wall_ms(self) -> int:
        """Where its last cell ends."""
        return self.begin_wall_ms + self.cells * self.cell_ms

    def place(self, wall_ms: int) -> int:
        """The cell in which an instant is; outside of the window too."""
        return (wall_ms - self.begin_wall_ms) // self.cell_ms


def cell_ms(span: Span, room: int) -> int:
    """How much time a cell stands for, where `room` cells have to show all of `span`."""
    fitting = (each for each in _CELLS_MS if span.length_ms <= each * max(1, room))
    return next(fitting, span.length_ms)


def window(span: Span, room: int, at_wall_ms: int, now_wall_ms: int) -> Window:
    """The last `span` up to now where `at_wall_ms` is in it, else as much around that instant.

    Begins at a multiple of its cells' length, so that cells stay as they are while time passes.
    """
    each_ms = cell_ms(span, room)
    cells = -(-span.length_ms // each_ms)
    end_ms = (now_wall_ms // each_ms + 1) * each_ms
    if at_wall_ms < end_ms - cells * each_ms:
        end_ms = (at_wall_ms // each_ms + 1 + cells // 2) * each_ms
    return Window(end_ms - cells * each_ms, each_ms, cells)
