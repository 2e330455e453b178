"""Tables on a terminal: aligned, and never wider than it.

On a terminal the flexible columns give way, the widest first, and what is cut ends in `…`. In a
pipe nothing is cut.
"""

import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import click

GAP: Final = "  "
NARROWEST: Final = 6
"""Narrower cells say nothing any more; the table becomes wider than the screen instead."""


class Column(NamedTuple):
    """How a column is set."""

    title: str
    right: bool = False
    flexible: bool = False


class Cell(NamedTuple):
    """Text and, on terminals that show it, its colour."""

    text: str
    color: str | None = None


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str | Cell]]) -> None:
    """Prints the rows under their titles; columns that are empty throughout are left out."""
    for line in layout(columns, rows, screen_width()):
        click.echo(line)


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Prints names and values, one pair a line, the values aligned."""
    kept = [(name, value) for name, value in pairs if value]
    margin = max((width_of(name) for name, _ in kept), default=0)
    for name, value in kept:
        click.echo(f"{_pad(name, margin)}{GAP}{value}")


def screen_width() -> int | None:
    """Columns of the terminal that standard output goes to; None when it goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def layout(
    columns: Sequence[Column], rows: Iterable[Sequence[str | Cell]], width: int | None
) -> Iterator[str]:
    """The lines of a table of at most `width` columns (None: as wide as it is)."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    used = [i for i in range(len(columns)) if any(row[i].text for row in cells)]
    columns = [columns[i] for i in used]
    cells = [[row[i] for i in used] for row in cells]
    widths = [
        max([width_of(column.title), *(width_of(row[i].text) for row in cells)])
        for i, column in enumerate(columns)
    ]
    if width is not None:
        _shrink(widths, columns, width)
    yield _line([Cell(column.title) for column in columns], columns, widths)
    for row in cells:
        yield _line(row, columns, widths)


def width_of(text: str) -> int:
    """Columns that `text` takes on a terminal: East Asian wide characters two, accents none."""
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _shrink(widths: list[int], columns: Sequence[Column], width: int) -> None:
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    flexible = [i for i, column in enumerate(columns) if column.flexible]
    while excess > 0:
        widest = max(flexible, key=lambda i: widths[i], default=None)
        if widest is None or widths[widest] <= NARROWEST:
            return
        widths[widest] -= 1
        excess -= 1


def _line(row: Sequence[Cell], columns: Sequence[Column], widths: Sequence[int]) -> str:
    texts: list[str] = []
    for cell, column, width in zip(row, columns, widths, strict=True):
        text = _pad(_cut(cell.text, width), width, right=column.right)
        texts.append(click.style(text, fg=cell.color) if cell.color else text)
    return GAP.join(texts).rstrip()


def _cut(text: str, width: int) -> str:
    if width_of(text) <= width:
        return text
    kept = ""
    for character in text:
        if width_of(kept + character) >= width:
            break
        kept += character
    return kept + "…"


def _pad(text: str, width: int, *, right: bool = False) -> str:
    blanks = " " * (width - width_of(text))
    return blanks + text if right else text + blanks
