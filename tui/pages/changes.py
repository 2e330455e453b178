"""What changed before an outage, in lines: the metrics that were out of their usual band, with the
course they took, and the processes that grew. Pure.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from shared.metrics import Metric
from tui import formats
from tui.changes import LAST_MS, UNUSUAL, Change, Growth, grown_bytes
from tui.graphs import columns_per_cell, sparkline
from tui.inquiry import Inquiry
from tui.look import Look, Symbols
from tui.outages import cause_of
from tui.pages.parts import Field, cell, heading, muted, remark, table
from tui.past_words import instant
from tui.tones import Piece, Pieces, Tone

_COURSE: Final = 16
"""Cells of a course."""

_FAR: Final = 3 * UNUSUAL

_CHANGE: Final = (
    Field("metric", most=48, is_flexible=True),
    Field("the hour before", leaves=2),
    Field("usually", is_number=True),
    Field(""),
    Field("then", is_number=True),
    Field("how unusual", is_number=True, leaves=1),
)
_GROWTH: Final = (
    Field("process", most=60, is_flexible=True),
    Field("pid", is_number=True, leaves=1),
    Field("memory", is_number=True),
    Field(""),
    Field("then", is_number=True),
    Field("cpu", is_number=True),
)


def lines(inquiry: Inquiry, look: Look, width: int) -> list[Pieces]:
    """The sheet."""
    outage = inquiry.outage
    body: list[Pieces] = [
        (Piece(f" last sign of life {instant(outage.from_wall_ms)}", Tone.STRONG),),
        (Piece(f" {cause_of(outage)}"),),
        (),
        heading("Out of the usual", f"in the last {LAST_MS // 60_000} min before that"),
    ]
    changes = inquiry.changes()
    if changes:
        titles, rows = table(_CHANGE, [_change(each, look.symbols) for each in changes], width)
        body += [titles, *rows]
    else:
        body.append(remark(_why_none(inquiry)))
    growths = inquiry.growths()
    if growths:
        titles, rows = table(_GROWTH, [_growth(each) for each in growths], width)
        body += [(), heading("Processes that grew", "in the hour before"), titles, *rows]
    if inquiry.problem:
        body += [(), remark(f"Not all is known: {inquiry.problem}")]
    return body


def value(metric: Metric, wire: float) -> str:
    """A value with its unit, as people read it."""
    match metric.unit:
        case "ratio":
            percent = wire / metric.scale * 100
            return f"{percent:.1f}%" if percent < 10 else f"{percent:.0f}%"
        case "KiB":
            return formats.size_kib(round(wire))
        case "B/s":
            return f"{formats.size(round(wire))}/s"
        case "load":
            return formats.load(round(wire))
        case "°C":
            return formats.temperature(round(wire))
        case "count":
            return formats.count(round(wire))
        case unit:
            return f"{formats.count(round(wire))}{'' if unit.startswith('/') else ' '}{unit}"


def course(values: Sequence[float | None], cells: int, symbols: Symbols) -> str:
    """How a metric went, between its lowest and its highest value."""
    known = [each for each in values if each is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    count = cells * columns_per_cell(symbols)
    return sparkline(list(_folded(values, count, low, max(high - low, 1e-9))), symbols)


def _folded(
    values: Sequence[float | None], count: int, low: float, height: float
) -> Iterator[float | None]:
    for place in range(count):
        first = place * len(values) // count
        part = values[first : max(first + 1, (place + 1) * len(values) // count)]
        found = [each for each in part if each is not None]
        yield (max(found) - low) / height if found else None


def _why_none(inquiry: Inquiry) -> str:
    if inquiry.is_open:
        return "Asking the master …"
    if not inquiry.has_values:
        return "The history has no samples of then."
    return "Nothing: every metric kept within its usual band until then."


def _change(change: Change, symbols: Symbols) -> tuple[Pieces, ...]:
    tone = Tone.HOT if change.distance >= _FAR else Tone.WARM
    arrow = "↑" if change.then > change.usual else "↓"
    return (
        cell(change.metric.description),
        cell(course(change.course, _COURSE, symbols), Tone.SERIES),
        muted(value(change.metric, change.usual)),
        cell(arrow, tone),
        cell(value(change.metric, change.then), tone),
        muted(f"{min(change.distance, 99):.0f}×"),
    )


def _growth(growth: Growth) -> tuple[Pieces, ...]:
    process, before = growth.process, growth.before
    name = process.command_line or process.name
    cpu = None if process.cpu_ratio is None else round(process.cpu_ratio * 10_000)
    return (
        cell(name),
        muted(str(process.pid)),
        muted(formats.size(before.rss_bytes) if before else "new"),
        cell("↑" if grown_bytes(growth) > 0 else " ", Tone.WARM),
        cell(formats.size(process.rss_bytes), Tone.WARM),
        muted(formats.percent(cpu)),
    )
