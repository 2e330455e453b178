"""`heartline coverage`."""

from collections.abc import Iterator

import click

from heartline.control import Control
from heartline.coverage import GAP_COLUMNS, SPAN_COLUMNS, days, gap_row, span_of, span_row
from heartline.instants import Instant
from heartline.invocation import Invocation, pass_invocation, viewing_options
from heartline.node_argument import node_argument
from heartline.plain import print_json
from heartline.tables import print_table
from shared import messages as m
from shared.clock import wall_ms


@click.command()
@node_argument(required=False)
@click.option(
    "--since",
    type=Instant(),
    default="24h",
    show_default=True,
    metavar="WHEN",
    help="From then on: 24h, 7d, '2026-11-20 03:12', yesterday, …",
)
@click.option(
    "--until", type=Instant(), default="now", show_default=True, metavar="WHEN", help="Up to then."
)
@click.option("--days", "by_day", is_flag=True, help="A row for each day, by this host's zone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
@viewing_options
@pass_invocation
def coverage(
    invocation: Invocation, name: str, *, since: int, until: int, by_day: bool, as_json: bool
) -> None:
    """Say how complete the history is, and what is missing.

    NAME is a node's name or id, or the unambiguous beginning of either; all nodes without.

    LATE came after an absence, out of the agent's spool. LOST were taken, and dropped when the
    spool was full. NEVER were not taken at all: host or agent was not running. AWAITED may still
    come.
    """
    until = min(until, wall_ms())
    if since >= until:
        raise click.UsageError("the time from --since to --until ends before it begins")
    spans = days(since, until) if by_day else [(since, until)]
    with invocation.control() as control:
        found = [
            span_of(row)
            for begin_ms, end_ms in spans
            for row in _rows(control, name, begin_ms, end_ms)
        ]
    if as_json:
        print_json(found)
    elif found:
        print_table(SPAN_COLUMNS, [span_row(span) for span in found])
        gaps = [gap for span in found for gap in span.gaps]
        if name and gaps:
            click.echo()
            print_table(GAP_COLUMNS, [gap_row(gap) for gap in gaps])
    else:
        click.echo("no nodes")


def _rows(control: Control, name: str, from_ms: int, to_ms: int) -> Iterator[m.Coverage]:
    pieces = control.gather(
        lambda request: m.GetCoverage(request, name, from_ms, to_ms), m.CoverageOf
    )
    for piece in pieces:
        yield from piece.rows
