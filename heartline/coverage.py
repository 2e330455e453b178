"""How complete the history is, as records and as rows."""

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from heartline.tables import Cell, Column
from heartline.times import moment, on_screen
from shared import messages as m
from shared.text import NAME_LIMIT_CHARACTERS, clean

COMPLETE: Final = 1.0

SPAN_COLUMNS: Final = (
    Column("NODE", flexible=True),
    Column("FROM"),
    Column("TO"),
    Column("COVERED", right=True),
    Column("STORED", right=True),
    Column("OF", right=True),
    Column("LATE", right=True),
    Column("LOST", right=True),
    Column("NEVER", right=True),
    Column("AWAITED", right=True),
)
GAP_COLUMNS: Final = (
    Column("FROM"),
    Column("TO"),
    Column("KIND"),
    Column("SAMPLES", right=True),
)

_COLORS: Final = {"lost": "red", "never-collected": "yellow", "awaited": "cyan"}


class Gap(Struct, frozen=True, kw_only=True):
    """A stretch of time whose samples are not there, or came late."""

    from_: datetime | None = msgspec.field(name="from")
    to: datetime | None
    kind: str
    samples: int


class Span(Struct, frozen=True, kw_only=True):
    """One node over one span of time. The fields, in this order, are the keys of `--json`."""

    node: str
    from_: datetime | None = msgspec.field(name="from")
    to: datetime | None
    expected: int
    """`stored`, `lost`, `never_collected` and `awaited` together."""
    stored: int
    late: int
    """Of those stored."""
    lost: int
    never_collected: int
    awaited: int
    covered: float | None
    """`stored` of `expected`, 0 to 1; None where nothing is expected."""
    gaps: list[Gap]
    """The newest of them, oldest first."""
    node_id: str


def span_of(row: m.Coverage) -> Span:
    """A row of the master's answer as it is shown."""
    return Span(
        node=clean(row.name, NAME_LIMIT_CHARACTERS),
        from_=moment(row.from_wall_ms),
        to=moment(row.to_wall_ms),
        expected=row.expected,
        stored=row.stored,
        late=row.late,
        lost=row.lost,
        never_collected=row.never_collected,
        awaited=row.awaited,
        covered=row.stored / row.expected if row.expected else None,
        gaps=[
            Gap(
                from_=moment(gap.from_wall_ms),
                to=moment(gap.to_wall_ms),
                kind=clean(gap.kind, NAME_LIMIT_CHARACTERS),
                samples=gap.samples,
            )
            for gap in row.gaps
        ],
        node_id=clean(row.node_id, NAME_LIMIT_CHARACTERS),
    )


def span_row(span: Span) -> list[str | Cell]:
    """A span in the order of `SPAN_COLUMNS`."""
    return [
        span.node,
        on_screen(span.from_),
        on_screen(span.to),
        _covered(span.covered),
        str(span.stored),
        str(span.expected),
        str(span.late or ""),
        Cell(str(span.lost or ""), _COLORS["lost"]),
        Cell(str(span.never_collected or ""), _COLORS["never-collected"]),
        str(span.awaited or ""),
    ]


def gap_row(gap: Gap) -> list[str | Cell]:
    """A gap in the order of `GAP_COLUMNS`."""
    kind = Cell(gap.kind, _COLORS.get(gap.kind))
    return [on_screen(gap.from_), on_screen(gap.to), kind, str(gap.samples)]


def days(from_wall_ms: int, to_wall_ms: int) -> Iterator[tuple[int, int]]:
    """A span of time cut at this host's midnights, in Unix milliseconds."""
    begin = datetime.fromtimestamp(from_wall_ms / 1000).astimezone()
    while from_wall_ms < to_wall_ms:
        # Midnight by the calendar: a day may have 23 or 25 hours.
        begin = datetime.combine(begin.date() + timedelta(days=1), time()).astimezone()
        midnight_ms = min(round(begin.timestamp() * 1000), to_wall_ms)
        yield from_wall_ms, midnight_ms
        from_wall_ms = midnight_ms


def _covered(part: float | None) -> str:
    """In percent, and 100 only for what is complete."""
    if part is None:
        return "–"
    return "100 %" if part == COMPLETE else f"{int(part * 10_000) / 100:.2f} %"
