"""What a soak has sampled and what follows from it: slopes beside their limits, a table of samples,
a picture.

A limit belongs to a column. A column that grows faster than its limit for sure fails the soak; one
of which that cannot be told is said to be undecided, and asks for a longer soak.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final, NamedTuple, cast

from bench.slopes import Verdict, ends, slope, verdict
from bench.tables import print_table

WIDTH, HEIGHT, MARGIN = 720, 130, 24
"""Of a column's picture, in pixels."""

HALF: Final = 0.5


class Limit(NamedTuple):
    """How fast one column may grow in an hour."""

    column: str
    per_h: float


class Row(NamedTuple):
    """One moment: seconds since the soak began, and every column's value then."""

    at_s: float
    values: Mapping[str, float]


class Finding(NamedTuple):
    """What became of one column after the warm-up."""

    column: str
    verdict: Verdict
    per_h: float
    plus_minus: float
    """Half of the 95 % interval; inf: there were too few blocks."""
    last_half_per_h: float
    """The same slope over the second half alone: what still warms up grows more slowly there."""
    limit_per_h: float
    first_minute: float
    last_minute: float


def findings(
    rows: Sequence[Row], limits: Sequence[Limit], warm_up_s: float, block_s: float
) -> list[Finding]:
    """One for each limit. `block_s` is the length of the longest work that repeats.

    Raises:
        ValueError: nothing was sampled after the warm-up.
    """
    kept = [row for row in rows if row.at_s >= warm_up_s]
    if not kept:
        raise ValueError("nothing was sampled after the warm-up")
    at_s = [row.at_s for row in kept]
    half = int(len(kept) * HALF)
    found: list[Finding] = []
    for limit in limits:
        values = [row.values[limit.column] for row in kept]
        whole = slope(at_s, values, block_s)
        last = slope(at_s[half:], values[half:], block_s)
        found.append(
            Finding(
                limit.column,
                verdict(whole, limit.per_h),
                whole.per_h,
                whole.plus_minus,
                last.per_h,
                limit.per_h,
                *ends(at_s, values),
            )
        )
    return found


def as_record(finding: Finding) -> dict[str, object]:
    """For JSON and tables: rounded, and without what neither can write."""
    record: dict[str, object] = {}
    for name, value in finding._asdict().items():
        if isinstance(value, float):
            record[name] = round(value, 1) if abs(value) < float("inf") else None
        else:
            record[name] = str(value)
    return record


def grown(found: Sequence[Finding]) -> list[str]:
    """The columns that grow faster than they may."""
    return [each.column for each in found if each.verdict is Verdict.GROWS]


def print_soak(found: Sequence[Finding], summary: Mapping[str, object], *, as_json: bool) -> None:
    """The findings as a table, what else is to be said, and all of it as one line of JSON; that
    alone where it is asked for."""
    records = [as_record(each) for each in found]
    if not as_json:
        print_table(records)
        for name, value in summary.items():
            if isinstance(value, list):
                print_table(cast("list[dict[str, object]]", value))
            else:
                print(f"{name}: {value}")
        print()
    print(json.dumps({"findings": records, **summary}))


def write_samples(
    path: Path, rows: Sequence[Row], columns: Sequence[str], warm_up_s: float
) -> None:
    """The samples as PATH.csv, and these columns of them as PATH.svg; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv(path.with_suffix(".csv"), rows)
    write_svg(path.with_suffix(".svg"), rows, columns, warm_up_s)


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """One line per sample."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["at_s", *(rows[0].values if rows else ())])
        for row in rows:
            writer.writerow([round(row.at_s, 1), *row.values.values()])


def write_svg(path: Path, rows: Sequence[Row], columns: Sequence[str], warm_up_s: float) -> None:
    """One curve per column, one below the other, each from its least to its most."""
    parts = [
        _curve(rows, column, number * HEIGHT, warm_up_s) for number, column in enumerate(columns)
    ]
    size = f'width="{WIDTH}" height="{HEIGHT * len(columns)}"'
    style = 'font-family="sans-serif" font-size="11" fill="#444"'
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{"".join(parts)}</svg>\n'
    )


def _curve(rows: Sequence[Row], column: str, top: int, warm_up_s: float) -> str:
    values = [row.values[column] for row in rows]
    least, most = min(values), max(values)
    length_s = max(rows[-1].at_s, 1.0)

    def x(at_s: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * at_s / length_s

    def y(value: float) -> float:
        part = (value - least) / (most - least) if most > least else 0.5
        return top + HEIGHT - MARGIN - part * (HEIGHT - 2 * MARGIN)

    points = " ".join(
        f"{x(row.at_s):.1f},{y(value):.1f}" for row, value in zip(rows, values, strict=True)
    )
    text = f"{escape(column)}: {least:,.0f} to {most:,.0f}; {length_s / 60:.0f} min"
    warm = x(min(warm_up_s, length_s))
    return (
        f'<text x="{MARGIN}" y="{top + 16}">{text}</text>\n'
        f'<line x1="{warm:.1f}" x2="{warm:.1f}" y1="{top + MARGIN}" y2="{top + HEIGHT - MARGIN}"'
        ' stroke="#bbb" stroke-dasharray="3"/>\n'
        f'<polyline points="{points}" fill="none" stroke="#1668a8"/>\n'
    )
