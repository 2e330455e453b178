"""Pictures of a terminal's screen, and what has to be written to get from one to the next.

Pure. A screen is read from what `tmux capture-pane -e` prints: text with colours and attributes. Of
the next screen only the cells that differ are written, so that a recording of many stays small.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from rich.cells import cell_len

_ESCAPE: Final = re.compile(r"\x1b\[([0-9;:]*)m|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x0e\x0f]")

_NEAR_CELLS: Final = 4
"""Cells that are the same are written again where that is shorter than to move beyond them."""

PLAIN: Final = ""


class Cell(NamedTuple):
    """One cell: a character and how it looks. The second half of a wide character is empty."""

    text: str
    style: str
    """The parameters of the SGR sequence that sets it from scratch."""


BLANK: Final = Cell(" ", PLAIN)

Screen: TypeAlias = tuple[tuple[Cell, ...], ...]
"""Rows of cells, all of the same width."""


class _Style(NamedTuple):
    foreground: tuple[str, ...] = ()
    background: tuple[str, ...] = ()
    attributes: frozenset[str] = frozenset()

    def text(self) -> str:
        parts = (*sorted(self.attributes, key=int), *self.foreground, *self.background)
        return ";".join(parts)


_TURNED_OFF_BY: Final = {"22": ("1", "2"), "23": ("3",), "24": ("4",), "27": ("7",), "29": ("9",)}


def parse(captured: str, columns: int, rows: int) -> Screen:
    """The screen of that size that tmux has printed."""
    style = _Style()
    screen: list[tuple[Cell, ...]] = []
    for line in captured.split("\n")[:rows]:
        cells: list[Cell] = []
        end = 0
        for escape in _ESCAPE.finditer(line):
            cells += _cells(line[end : escape.start()], style)
            end = escape.end()
            if escape[1] is not None:
                style = _restyled(style, escape[1])
        cells += _cells(line[end:], style)
        screen.append(tuple((cells + [BLANK] * columns)[:columns]))
    while len(screen) < rows:
        screen.append((BLANK,) * columns)
    return tuple(screen)


def blank(columns: int, rows: int) -> Screen:
    """A screen with nothing on it."""
    return ((BLANK,) * columns,) * rows


def changes(before: Screen, after: Screen) -> str:
    """What to write to a terminal that shows `before`, so that it shows `after`."""
    return "".join(
        f"\x1b[{row};{column}H{_written(cells)}"
        for row, (old, new) in enumerate(zip(before, after, strict=True), 1)
        for column, cells in _runs(old, new)
    )


def _cells(text: str, style: _Style) -> Iterator[Cell]:
    look = style.text()
    for character in text:
        width = cell_len(character)
        if width:
            yield Cell(character, look)
        if width == 2:
            yield Cell("", look)


def _restyled(style: _Style, parameters: str) -> _Style:
    """The style after one SGR sequence."""
    codes = parameters.replace(":", ";").split(";") if parameters else ["0"]
    while codes:
        code = codes.pop(0) or "0"
        if code == "0":
            style = _Style()
        elif code in {"38", "48"}:
            length = 4 if codes[:1] == ["2"] else 2
            colour = (code, *codes[:length])
            del codes[:length]
            style = _coloured(style, colour, is_background=code == "48")
        elif code in {"39", "49"}:
            style = _coloured(style, (), is_background=code == "49")
        elif code in _TURNED_OFF_BY:
            off = style.attributes.difference(_TURNED_OFF_BY[code])
            style = style._replace(attributes=off)
        elif len(code) == 1:
            style = style._replace(attributes=style.attributes | {code})
        elif code[:-1] in {"3", "9", "4", "10"}:
            style = _coloured(style, (code,), is_background=code[:-1] in {"4", "10"})
    return style


def _coloured(style: _Style, colour: tuple[str, ...], *, is_background: bool) -> _Style:
    if is_background:
        return style._replace(background=colour)
    return style._replace(foreground=colour)


def _runs(old: Sequence[Cell], new: Sequence[Cell]) -> Iterator[tuple[int, Sequence[Cell]]]:
    """Where cells differ: the column, from 1, and what stands there now."""
    differing = [place for place, cell in enumerate(new) if cell != old[place]]
    while differing:
        first = last = differing[0]
        for place in differing:
            if place - last > _NEAR_CELLS:
                break
            last = place
        differing = [place for place in differing if place > last]
        while first > 0 and new[first].text == "":
            first -= 1  # a wide character is written whole
        yield first + 1, new[first : last + 1]


def _written(cells: Sequence[Cell]) -> str:
    text, look = "", None
    for cell in cells:
        if cell.style != look:
            look = cell.style
            text += f"\x1b[0;{look}m" if look else "\x1b[0m"
        text += cell.text
    return text
