"""What `heartline agent --once` and `--explain` print.

Tables are made from the Structs that are sent, field by field, so that nothing that leaves the host
is missing here.
"""

import textwrap
from collections.abc import Iterable
from typing import Final, cast

import click
import trio
from msgspec import Struct, structs

from agent.once import Measurement, measure_once
from heartline.plain import print_json
from heartline.tables import Column, print_pairs, print_table, screen_width
from heartline.values import text_of
from shared.families_explained import EXPLAINED, Explained, sent_in_full
from shared.families_settings import FamilySettings
from shared.metrics import Family, metrics
from shared.settings import AgentSettings
from tui.formats import ABSENT

_FLEXIBLE: Final = frozenset(
    {"addresses", "command_line", "device", "environment", "mount", "open_file_names", "name"}
)
"""Columns that may be cut where the terminal is narrow."""

_LEFT_OUT: Final = "left_out"
"""Rows beyond the limit: worth a line only where there are any."""

_MARGIN: Final = len("in its own report  ")
_PAGE_WIDTH: Final = 100


def run(settings: AgentSettings, *, once: bool, explain: bool, as_json: bool) -> int:
    """Prints what is asked for; the exit code."""
    if explain:
        explained = [
            explanation(family, each, EXPLAINED[family])
            for family, each in settings.families.each()
        ]
        if as_json:
            print_json(explained)
        else:
            print_explanations(explained)
    if once:
        measurement = trio.run(measure_once, settings.families, dict(settings.labels))
        if as_json:
            print_json(measurement)
        else:
            print_measurement(measurement)
    return 0


class Explanation(Struct, frozen=True, kw_only=True):
    """One family under this host's settings."""

    family: Family
    enabled: bool
    period_s: float
    detail_s: float
    reads: str
    in_every_beat: tuple[str, ...]
    in_inventory: tuple[str, ...]
    in_full: tuple[str, ...]
    """Fields of the report that goes out every `detail_s`."""
    not_sent: tuple[str, ...]
    """Fields of it that may hold secrets and are switched off here."""


def explanation(family: Family, settings: FamilySettings, explained: Explained) -> Explanation:
    """What the family reads and sends, as it is set."""
    off = tuple([name for name in explained.on_request if not getattr(settings, name)])
    fields = sent_in_full(family)
    withheld = {field for field in fields if field.rpartition(".")[2] in off}
    return Explanation(
        family=family,
        enabled=settings.enabled,
        period_s=settings.period_s,
        detail_s=max(settings.period_s, settings.detail_s),
        reads=explained.reads,
        in_every_beat=explained.core,
        in_inventory=explained.inventory,
        in_full=tuple([field for field in fields if field not in withheld]),
        not_sent=tuple([field for field in fields if field in withheld]),
    )


def print_explanations(explained: Iterable[Explanation]) -> None:
    """Each family: what it reads, and which fields leave the host."""
    for each in explained:
        click.echo(f"{each.family}: {_schedule(each)}")
        for name, text in (
            ("reads", each.reads),
            ("in every beat", ", ".join(each.in_every_beat)),
            ("in the inventory", ", ".join(each.in_inventory)),
            ("in its own report", ", ".join(each.in_full)),
            ("switched off", ", ".join(each.not_sent)),
        ):
            if text:
                click.echo(_paragraph(name, text))
        click.echo()


def _paragraph(name: str, text: str) -> str:
    margin = f"  {name:<{_MARGIN}}"
    width = screen_width() or _PAGE_WIDTH
    return textwrap.fill(text, width, initial_indent=margin, subsequent_indent=" " * len(margin))


def _schedule(each: Explanation) -> str:
    if not each.enabled:
        return "off; nothing of this leaves the host"
    return f"on, read every {each.period_s:g} s, sent in full every {each.detail_s:g} s"


def print_measurement(measurement: Measurement) -> None:
    """The core sample, each family in full, the inventory, and what could not be measured."""
    click.echo(f"core sample: what is in every beat of {measurement.beat_bytes} bytes")
    values = structs.asdict(measurement.core)
    print_table(
        (Column("FIELD"), Column("VALUE", right=True), Column("MEANING", flexible=True)),
        [
            (metric.name, text_of(metric.name, values[metric.name]) or ABSENT, metric.description)
            for metric in metrics()
        ],
    )
    for family, data in measurement.families.items():
        print_struct(family, data)
    print_struct("inventory", measurement.inventory)
    for trouble in measurement.troubles:
        click.echo(f"\n{trouble.family} {trouble.state} for {trouble.age_s} s: {trouble.text}")


def print_struct(title: str, value: Struct) -> None:
    """A Struct's single values as pairs, then its rows, one table each."""
    click.echo(f"\n{title}")
    fields = structs.asdict(value)
    single = {name: item for name, item in fields.items() if not rows_of(item)}
    if not single.get(_LEFT_OUT):
        single.pop(_LEFT_OUT, None)
    print_pairs([(f"  {name}", text_of(name, item)) for name, item in single.items()])
    for name, item in fields.items():
        if rows := rows_of(item):
            click.echo(f"\n{title}: {name}")
            print_rows(rows)


def rows_of(value: object) -> list[Struct]:
    """The rows that a field holds: a tuple of Structs, or a single one; none of anything else."""
    items = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    return [item for item in items if isinstance(item, Struct)]


def print_rows(rows: list[Struct]) -> None:
    """Structs of one kind as a table; columns in which nothing is known are left out."""
    names = rows[0].__struct_fields__
    cells = [[text_of(name, getattr(row, name)) for name in names] for row in rows]
    columns = [
        Column(name, right=_is_numeric(name, rows), flexible=name in _FLEXIBLE) for name in names
    ]
    print_table(columns, cells)


def _is_numeric(name: str, rows: list[Struct]) -> bool:
    known = [value for row in rows if (value := getattr(row, name)) is not None]
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
