"""The honeycomb: all nodes of a large fleet as cells, a few characters each. Pure.

A cell tells a state by its shape and its tone; of a node that is up it tells in the same way how
full its fullest part is.
"""

from collections.abc import Sequence
from typing import Final

from tui.look import Look, Sight
from tui.node import Node
from tui.tones import DEGRADED, FLAPPING, Piece, Tone, mark

CELL: Final = 2
"""Cells of the terminal that a node takes, its gap included."""

_UP: Final = {Tone.CALM: "●", Tone.WARM: "◆", Tone.HOT: "◉"}
_STALE_UP: Final = "○"


def columns_in(width: int) -> int:
    """How many nodes stand in one line of `width` cells, every other line moved by half a cell."""
    return max(1, (width - 2) // CELL)


def lines_for(nodes: int, width: int) -> int:
    """How many lines so many nodes take."""
    return -(-nodes // columns_in(width))


def indent_of(line: int) -> int:
    """Where a line begins."""
    return 1 + line % 2


def place_at(line: int, x: int, width: int) -> int | None:
    """The place in the fleet of the cell at `x` of a line; None: there is none."""
    across = columns_in(width)
    column = (x - indent_of(line)) // CELL
    return line * across + column if 0 <= column < across else None


def cell(node: Node, sight: Sight, *, is_current: bool) -> Piece:
    """One node in one character."""
    shape, tone = mark(node.state)
    if node.state == "up":
        if node.is_stale(sight.moment):
            shape, tone = _STALE_UP, Tone.AWAY
        elif node.is_degraded:
            shape, tone = DEGRADED, Tone.WARM
        elif node.vitals.flapping:
            shape, tone = FLAPPING, Tone.WARM
        else:
            tone = fullness(node, sight.look)
            shape = _UP[tone]
    return Piece(shape, tone if is_current else Tone.MUTED)


def fullness(node: Node, look: Look) -> Tone:
    """The tone of whatever is fullest: processors, memory or a filesystem."""
    core = node.core
    shares: Sequence[int | None] = (
        core.cpu_busy_bp,
        core.memory_used_bp,
        core.filesystem_used_max_bp,
    )
    return look.heat(max((share for share in shares if share is not None), default=0) / 10_000)


LEGEND: Final = (
    Piece("● calm  ", Tone.CALM),
    Piece("◆ filling  ", Tone.WARM),
    Piece("◉ full  ", Tone.HOT),
    Piece(f"{DEGRADED} degraded  ", Tone.WARM),
    Piece(f"{FLAPPING} flapping  ", Tone.WARM),
    Piece("○ silent", Tone.AWAY),
)
"""What the shapes of nodes that are up mean."""
