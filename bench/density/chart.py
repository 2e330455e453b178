"""One chart as SVG: lines over two axes, with units and a legend, on a page that is light or dark
as the reader has it. Each point says its values when it is pointed at."""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final, NamedTuple, TypeAlias

WIDTH, HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 44, 52, 62

Point: TypeAlias = tuple[float, float]


class Axis(NamedTuple):
    """One direction: `place` puts a value between 0 and 1."""

    label: str
    place: Callable[[float], float]
    ticks: Sequence[tuple[float, str]]


class Series(NamedTuple):
    """One line."""

    name: str
    points: Sequence[Point]


_COLOURS: Final = (
    ("#0061a8", "#6cb6ff"),
    ("#b34700", "#ff9d57"),
    ("#00734f", "#4fcf9f"),
    ("#8a3b7f", "#e39ad9"),
    ("#6b5b00", "#d9c64a"),
    ("#555f6b", "#a7b3bf"),
)
"""On a light page and on a dark one; told apart by the colour-blind too, and by their dashes."""

_DASHES: Final = ("", "7 4", "2 4", "10 4 2 4", "14 5", "4 2")


def linear(label: str, values: Sequence[float]) -> Axis:
    """From 0 to just above the largest value."""
    most = max(values, default=0.0) or 1.0
    step = math.pow(10, math.floor(math.log10(most / 4)))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if most / (step * factor) <= 6)
    end = math.ceil(most / step - 1e-9)
    ticks = [(number * step, f"{number * step:,.10g}") for number in range(end + 1)]

    def place(value: float) -> float:
        return value / (end * step)

    return Axis(label, place, ticks)


def logarithmic(label: str, values: Sequence[float]) -> Axis:
    """Whole decades; values have to be above 0."""
    first = math.floor(math.log10(min(values, default=1.0)))
    last = max(first + 1, math.ceil(math.log10(max(values, default=10.0))))
    ticks = [(10.0**power, f"{10.0**power:,.10g}") for power in range(first, last + 1)]

    def place(value: float) -> float:
        return (math.log10(value) - first) / (last - first)

    return Axis(label, place, ticks)


def nines(label: str) -> Axis:
    """Parts of all, as far apart as what is left of them is rare."""
    parts = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999)
    ticks = [(part, f"{part * 100:.10g} %") for part in parts]

    def place(part: float) -> float:
        return -math.log10(1 - part) / 4

    return Axis(label, place, ticks)


def chart(title: str, across: Axis, up: Axis, lines: Sequence[Series]) -> str:
    """The whole file."""
    drawn = [_line(place, series, across, up) for place, series in enumerate(lines)]
    legend = [_legend(place, series) for place, series in enumerate(lines)]
    body = [
        '<rect class="page" width="100%" height="100%" rx="6"/>',
        f'<text class="title" x="{_LEFT}" y="24">{escape(title)}</text>',
        *(_grid_across(tick, text, across) for tick, text in across.ticks),
        *(_grid_up(tick, text, up) for tick, text in up.ticks),
        *_labels(across, up),
        *drawn,
        *legend,
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {_height(lines)}"'
        f' width="{WIDTH}" role="img">\n<title>{escape(title)}</title>\n{_style(len(lines))}\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _style(count: int) -> str:
    return (
        "<style>text{font:13px system-ui,sans-serif}.title{font-size:15px;font-weight:600}"
        ".line{fill:none;stroke-width:2}"
        f"{_colours(count, 0, '#ffffff', '#1f2328', '#d0d7de')}"
        "@media(prefers-color-scheme:dark){"
        f"{_colours(count, 1, '#0d1117', '#e6edf3', '#3d444d')}}}</style>"
    )


def _colours(count: int, place: int, page: str, text: str, grid: str) -> str:
    lines = [(number, _COLOURS[number % len(_COLOURS)][place]) for number in range(count)]
    return f".page{{fill:{page}}}text{{fill:{text}}}.grid{{stroke:{grid}}}" + "".join(
        f".c{number} .line{{stroke:{colour}}}.c{number} .dot{{fill:{colour}}}"
        for number, colour in lines
    )


def _line(place: int, series: Series, across: Axis, up: Axis) -> str:
    at = [(_x(across.place(x)), _y(up.place(y))) for x, y in series.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    dots = "".join(
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{escape(series.name)}:'
        f" {point[0]:g}, {point[1]:g}</title></circle>"
        for (x, y), point in zip(at, series.points, strict=True)
    )
    dash = _dash(place)
    return f'<g class="c{place}"><polyline class="line"{dash} points="{path}"/>{dots}</g>'


def _legend(place: int, series: Series) -> str:
    x, y = _LEFT + place % 2 * 330, HEIGHT + 6 + place // 2 * 20
    return (
        f'<g class="c{place}"><path class="line"{_dash(place)} d="M{x} {y}h30"/>'
        f'<text x="{x + 38}" y="{y + 4}">{escape(series.name)}</text></g>'
    )


def _dash(place: int) -> str:
    dash = _DASHES[place % len(_DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""


def _grid_across(tick: float, text: str, axis: Axis) -> str:
    x, bottom = _x(axis.place(tick)), HEIGHT - _BOTTOM
    return (
        f'<path class="grid" d="M{x:.1f} {_TOP}V{bottom}"/>'
        f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{escape(text)}</text>'
    )


def _grid_up(tick: float, text: str, axis: Axis) -> str:
    y = _y(axis.place(tick))
    return (
        f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>'
        f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'
    )


def _labels(across: Axis, up: Axis) -> tuple[str, str]:
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    return (
        f'<text x="{middle}" y="{HEIGHT - _BOTTOM + 40}" text-anchor="middle">'
        f"{escape(across.label)}</text>",
        f'<text x="{_LEFT - 8}" y="{_TOP - 10}" text-anchor="start">{escape(up.label)}</text>',
    )


def _x(part: float) -> float:
    return _LEFT + part * (WIDTH - _LEFT - _RIGHT)


def _y(part: float) -> float:
    return HEIGHT - _BOTTOM - part * (HEIGHT - _TOP - _BOTTOM)


def _height(lines: Sequence[Series]) -> int:
    return HEIGHT + 10 + math.ceil(len(lines) / 2) * 20
