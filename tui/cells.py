"""What a row of the fleet table shows: a node, or the sum of a group of them. Pure."""

from collections import Counter
from collections.abc import Iterable

from shared.liveness import State
from tui import formats
from tui.columns import PERCENT_WIDTH, Column, rate, share
from tui.look import Sight
from tui.measures import MEASURES, Unit
from tui.placement import Placed
from tui.shortening import shorten
from tui.tones import DEGRADED, FLAPPING, Piece, Pieces, Tone, mark
from tui.view import MEASURE_OF, Group, Row


def cells(
    row: Row, sight: Sight, placed: Iterable[Placed], *, is_current: bool
) -> tuple[Pieces, ...]:
    """What `row` shows in each column.

    What is history loses its colours: the numbers of a node that has not beaten lately, and all of
    it when the picture itself is not current.
    """
    if isinstance(row, Group):
        totals = (_total(row, column, sight, width) for column, _, width in placed)
        return tuple(pieces if is_current else _faded(pieces) for pieces in totals)
    is_stale = row.is_stale(sight.moment)
    return tuple(
        _faded(column.draw(row, sight, width))
        if not is_current or (is_stale and column.is_measured)
        else column.draw(row, sight, width)
        for column, _, width in placed
    )


def _total(group: Group, column: Column, sight: Sight, width: int) -> Pieces:
    """What the nodes of a group have of a column together."""
    if column.key == "name":
        return (Piece(shorten(group.title, width), Tone.BRAND),)
    if column.key == "state":
        sign = "▸" if group.is_folded else "▾"
        return (Piece(f"{sign} ", Tone.BRAND), Piece(formats.count(len(group.nodes)), Tone.STRONG))
    measure = MEASURES.get(MEASURE_OF.get(column.key, ""))
    if measure is None or column.key in {"trail", "age", "uptime"}:
        return _tally(group, width) if column.key == "note" else ()
    value = group.total(measure, sight.moment)
    if value is None:
        return (Piece(formats.ABSENT, Tone.FAINT),)
    match measure.unit:
        case Unit.PERCENT:
            return share(
                round(value * 100),
                sight.look,
                width if column.least == PERCENT_WIDTH else PERCENT_WIDTH,
            )
        case Unit.SIZE:
            return rate(round(value))
        case Unit.NUMBER | Unit.DURATION:
            is_degrees = column.key == "temperature"
            text = (
                formats.temperature(round(value * 10))
                if is_degrees
                else formats.load(round(value * 100))
            )
            return (Piece(text),)


def _tally(group: Group, width: int) -> Pieces:
    """How many nodes of a group are in each state that is not simply up."""
    counter = Counter(
        (f"{DEGRADED} degraded" if node.is_degraded else f"{FLAPPING} flapping")
        if node.state == State.UP
        else f"{mark(node.state).shape} {node.state}"
        for node in group.nodes
        if node.is_problem
    )
    text = "  ".join(f"{what.replace(' ', f' {count} ', 1)}" for what, count in counter.items())
    return (Piece(shorten(text, width), Tone.WARM),)


def _faded(pieces: Pieces) -> Pieces:
    return tuple(
        Piece(text, Tone.FAINT if tone is Tone.FAINT else Tone.MUTED) for text, tone in pieces
    )
