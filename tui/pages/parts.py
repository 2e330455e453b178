"""What pages are put together from: cells, bars, headings, tables. Pure: all in `Piece`s."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len

from tui import formats
from tui.look import Look
from tui.shortening import shorten_pieces
from tui.tones import Piece, Pieces, Tone, meter

GAP: Final = 2
"""Between the columns of a table."""

INDENT: Final = 1

_FLEXIBLE_LEAST: Final = 12


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a table. Widths are in cells."""

    title: str
    is_number: bool = False
    """Whether it stands at the right of its column."""
    most: int = 40
    leaves: int = 0
    """Which column goes first when there is no room: the highest. Zero stays."""
    is_flexible: bool = False
    """Whether it gives way, down to a few cells, before any column goes."""


def width_of(pieces: Iterable[Piece]) -> int:
    """How many cells the pieces take."""
    return sum(cell_len(piece.text) for piece in pieces)


def cell(text: str, tone: Tone = Tone.PLAIN) -> Pieces:
    """One piece."""
    return (Piece(text, tone),)


def muted(text: str) -> Pieces:
    """Second to what stands beside it; what is not known is fainter still."""
    return cell(text, Tone.FAINT if text == formats.ABSENT else Tone.MUTED)


def known(text: str) -> Pieces:
    """A value, fainter where it is not known."""
    return cell(text, Tone.FAINT if text == formats.ABSENT else Tone.PLAIN)


def percent(ratio: float | None, look: Look) -> Pieces:
    """A part of a whole."""
    if ratio is None:
        return cell(formats.ABSENT, Tone.FAINT)
    tone = look.heat(ratio)
    text = formats.percent(round(ratio * 10_000))
    return cell(text, Tone.PLAIN if tone is Tone.CALM else tone)


def bar(ratio: float | None, width: int, look: Look) -> Pieces:
    """The same as a meter of `width` cells and a number of four."""
    if ratio is None:
        return cell(f"{formats.ABSENT:>{width + 5}}", Tone.FAINT)
    number = percent(ratio, look)
    blank = Piece(" " * (5 - width_of(number)))
    return (*meter(ratio, width, look.heat(ratio)), blank, *number)


def size(count_bytes: float | None) -> Pieces:
    """A number of bytes."""
    return known(formats.size(None if count_bytes is None else round(count_bytes)))


def rate(per_s: float | None) -> Pieces:
    """Bytes in a second; nothing moving is not worth an eye."""
    if per_s is None:
        return cell(formats.ABSENT, Tone.FAINT)
    return cell(f"{formats.size(round(per_s))}/s", Tone.PLAIN if per_s >= 1 else Tone.FAINT)


def number(value: float | None) -> Pieces:
    """A count, rounded."""
    if value is None:
        return cell(formats.ABSENT, Tone.FAINT)
    return cell(formats.count(round(value)), Tone.PLAIN if round(value) else Tone.FAINT)


def heading(title: str, note: str = "") -> Pieces:
    """What stands over a part of a page."""
    return (
        Piece(" " * INDENT),
        Piece(title, Tone.BRAND),
        Piece(f"  {note}" * bool(note), Tone.MUTED),
    )


def remark(text: str) -> Pieces:
    """A line of prose."""
    return Piece(" " * INDENT), Piece(text, Tone.MUTED)


def facts(pairs: Mapping[str, Pieces]) -> list[Pieces]:
    """Names and values, a line each, the values in one column."""
    wide = max(map(cell_len, pairs), default=0)
    return [
        (Piece(f"{' ' * INDENT}{name:<{wide}}  ", Tone.MUTED), *value)
        for name, value in pairs.items()
    ]


def padded(pieces: Pieces, width: int) -> Pieces:
    """`pieces` in exactly `width` cells: filled with blanks, or cut."""
    kept = shorten_pieces(pieces, width)
    room = width - width_of(kept)
    return (*kept, Piece(" " * room)) if room else kept


def beside(blocks: Sequence[Sequence[Pieces]], widths: Sequence[int]) -> list[Pieces]:
    """Blocks of lines next to each other, each as wide as said."""
    height = max(map(len, blocks), default=0)
    return [
        tuple(
            piece
            for block, width in zip(blocks, widths, strict=True)
            for piece in padded(block[line] if line < len(block) else (), width)
        )
        for line in range(height)
    ]


def table(
    fields: Sequence[Field],
    rows: Sequence[Sequence[Pieces]],
    width: int,
    *,
    title: Callable[[Field], Pieces] | None = None,
) -> tuple[Pieces, list[Pieces]]:
    """The line of titles and a line for each row; columns leave until the others fit `width`."""
    titles = [title(field) if title else cell(field.title, Tone.AWAY) for field in fields]
    natural = [
        max([width_of(titles[place]), *(width_of(row[place]) for row in rows)])
        for place in range(len(fields))
    ]
    widths = _fitted(fields, [min(w, f.most) for w, f in zip(natural, fields, strict=True)], width)
    return _line(fields, titles, widths), [_line(fields, row, widths) for row in rows]


def _fitted(fields: Sequence[Field], natural: Sequence[int], width: int) -> dict[int, int]:
    """The widths of the columns that fit, by their place."""
    widths = dict(enumerate(natural))
    for place in sorted(widths, key=lambda place: fields[place].leaves, reverse=True):
        over = INDENT + sum(widths.values()) + GAP * (len(widths) - 1) - width
        if over <= 0:
            break
        flexible = [p for p in widths if fields[p].is_flexible]
        slack = sum(max(0, widths[p] - _FLEXIBLE_LEAST) for p in flexible)
        if over <= slack or not fields[place].leaves:
            for p in flexible:
                give = min(over, max(0, widths[p] - _FLEXIBLE_LEAST))
                widths[p] -= give
                over -= give
            break
        del widths[place]
    return widths


def _line(fields: Sequence[Field], row: Sequence[Pieces], widths: Mapping[int, int]) -> Pieces:
    pieces: list[Piece] = [Piece(" " * INDENT)]
    for place, width in widths.items():
        if len(pieces) > 1:
            pieces.append(Piece(" " * GAP))
        slack = width - width_of(row[place])
        if fields[place].is_number and slack > 0:
            pieces.append(Piece(" " * slack))
            pieces += row[place]
        else:
            pieces += padded(row[place], width)
    return tuple(pieces)
