"""Screens of a terminal as SVG: one as a still picture, several as one that moves.

Pure. Every character stands on its cell whatever the font, and nothing is fetched from elsewhere. A
moving picture holds, after its first screen, only what has changed: for each later screen a group
that covers what was there, and that appears in its time. Who shows no movement shows the first.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from docs.screens import Cell, Screen

CELL_WIDTH: Final = 8
CELL_HEIGHT: Final = 18
_BASELINE: Final = 13
_FONT_SIZE: Final = 13.3
_FONTS: Final = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
_MARGIN: Final = 12

_LIGHT: Final = "#c9d4e0"
_DARK: Final = "#0e1116"
"""Where a cell names no colours of its own."""

_SHORTEST_GAP: Final = 3
"""So many blanks in a row end a text; fewer are written."""

_COLOUR: Final = re.compile(r"(?P<ground>[34]8);2;(?P<rgb>\d+;\d+;\d+)")
_DECLARATIONS: Final = {
    "1": "font-weight:bold",
    "2": "opacity:.6",
    "3": "font-style:italic",
    "4": "text-decoration:underline",
    "9": "text-decoration:line-through",
}


class _Ink(NamedTuple):
    """How a cell is painted."""

    fill: str
    ground: str
    css: str


class _Run(NamedTuple):
    """Neighbouring cells of one row. `column` and `row` count from 0."""

    column: int
    row: int
    cells: Sequence[Cell]


def still(screen: Screen, title: str) -> str:
    """One screen."""
    inks = _Inks(screen)
    return _document(screen, inks, _painted(_rows(screen), inks), title)


def moving(frames: Sequence[tuple[float, Screen]], title: str, lasts_s: float) -> str:
    """Screens, each from its time on, in seconds; from the beginning again after `lasts_s`."""
    inks = _Inks(*(screen for _, screen in frames))
    (_, first), *_ = frames
    groups = [_painted(_rows(first), inks)]
    for (_, before), (at_s, after) in pairwise(frames):
        if after != before:
            groups.append(_appearing(at_s / lasts_s, lasts_s, _changes(before, after), inks))
    return _document(first, inks, "\n".join(groups), title)


class _Inks:
    """What the cells of some screens are painted with, and short names for it."""

    def __init__(self, *screens: Screen) -> None:
        styles = Counter(cell.style for screen in screens for row in screen for cell in row)
        self._inks = {style: _ink(style) for style in styles}
        grounds: Counter[str] = Counter()
        for style, number in styles.items():
            grounds[self._inks[style].ground] += number
        ((self.paper, _),) = grounds.most_common(1)
        looks = sorted({(ink.fill, ink.css) for ink in self._inks.values()})
        self._names = {look: f"i{place}" for place, look in enumerate(looks)}

    def of(self, style: str) -> _Ink:
        """What a cell of that style is painted with."""
        return self._inks[style]

    def name(self, ink: _Ink) -> str:
        """The class of its texts."""
        return self._names[ink.fill, ink.css]

    def rules(self) -> str:
        """The style sheet of all of them."""
        return "".join(
            f".{name}{{fill:{fill}{';' if css else ''}{css}}}"
            for (fill, css), name in self._names.items()
        )


def _ink(style: str) -> _Ink:
    colours = {found["ground"]: found["rgb"] for found in _COLOUR.finditer(style)}
    attributes = [code for code in _COLOUR.sub("", style).split(";") if code]
    fill = _hex(colours["38"]) if "38" in colours else _LIGHT
    ground = _hex(colours["48"]) if "48" in colours else _DARK
    if "7" in attributes:
        attributes.remove("7")
        fill, ground = ground, fill
    return _Ink(fill, ground, ";".join(_DECLARATIONS[code] for code in attributes))


def _hex(rgb: str) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in rgb.split(";"))


def _rows(screen: Screen) -> list[_Run]:
    return [_Run(0, number, row) for number, row in enumerate(screen)]


def _changes(before: Screen, after: Screen) -> list[_Run]:
    """The cells that differ; a wide character is changed whole."""
    found: list[_Run] = []
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        differs = [cell != old[place] for place, cell in enumerate(new)]
        for place in range(len(new) - 1):
            is_wide = "" in (new[place + 1].text, old[place + 1].text)
            if is_wide and (differs[place] or differs[place + 1]):
                differs[place] = differs[place + 1] = True
        for is_changed, places in groupby(range(len(new)), key=lambda place: differs[place]):
            if is_changed:
                first, *others = places
                found.append(_Run(first, number, new[first : first + 1 + len(others)]))
    return found


def _painted(runs: Iterable[_Run], inks: _Inks) -> str:
    """Their grounds, and over these their texts."""
    grounds: dict[str, list[str]] = {}
    texts: list[str] = []
    for run in runs:
        for ground, part in _parts(run, lambda cell: inks.of(cell.style).ground):
            x, y = part.column * CELL_WIDTH, part.row * CELL_HEIGHT
            width = len(part.cells) * CELL_WIDTH
            shape = f"M{x} {y}h{width}v{CELL_HEIGHT}h-{width}z"
            grounds.setdefault(ground, []).append(shape)
        for _, part in _parts(run, lambda cell: cell.style):
            texts += (_text(words, inks) for words in _words(part))
    paths = [f'<path fill="{fill}" d="{"".join(shapes)}"/>' for fill, shapes in grounds.items()]
    return "\n".join((*paths, *texts))


def _parts(run: _Run, key: Callable[[Cell], str]) -> Iterator[tuple[str, _Run]]:
    """The run in pieces whose cells have the same key."""
    column = run.column
    for value, cells in groupby(run.cells, key=key):
        part = tuple(cells)
        yield value, _Run(column, run.row, part)
        column += len(part)


def _words(run: _Run) -> Iterator[_Run]:
    """What of it is to be written: without blanks at its ends, and without long ones in it."""
    text = "".join(cell.text or "\0" for cell in run.cells)
    for found in re.finditer(rf"[^ ]+(?: {{1,{_SHORTEST_GAP - 1}}}[^ ]+)*", text):
        yield _Run(run.column + found.start(), run.row, run.cells[found.start() : found.end()])


def _text(run: _Run, inks: _Inks) -> str:
    x, y = run.column * CELL_WIDTH, run.row * CELL_HEIGHT + _BASELINE
    text = "".join(cell.text for cell in run.cells).replace(" ", "\N{NO-BREAK SPACE}")
    name = inks.name(inks.of(run.cells[0].style))
    length = len(run.cells) * CELL_WIDTH
    return f'<text class="{name}" x="{x}" y="{y}" textLength="{length}">{escape(text)}</text>'


def _appearing(from_ratio: float, lasts_s: float, runs: Iterable[_Run], inks: _Inks) -> str:
    movement = (
        '<animate attributeName="visibility" calcMode="discrete" values="hidden;visible"'
        f' keyTimes="0;{from_ratio:.5f}" dur="{lasts_s:g}s" repeatCount="indefinite"/>'
    )
    return f'<g visibility="hidden">{movement}\n{_painted(runs, inks)}</g>'


def _document(screen: Screen, inks: _Inks, content: str, title: str) -> str:
    width, height = len(screen[0]) * CELL_WIDTH, len(screen) * CELL_HEIGHT
    outer = f"{width + 2 * _MARGIN} {height + 2 * _MARGIN}"
    style = f"text{{font:{_FONT_SIZE}px {_FONTS}}}{inks.rules()}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-_MARGIN} {-_MARGIN} {outer}">'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n"
        f'<rect x="{-_MARGIN}" y="{-_MARGIN}" width="100%" height="100%" rx="8"'
        f' fill="{inks.paper}"/>\n{content}\n</svg>\n'
    )
