"""`heartline outages`."""

import click

from heartline.instants import Instant
from heartline.invocation import Invocation, pass_invocation, viewing_options
from heartline.node_argument import node_argument
from heartline.plain import print_json
from heartline.reliability import COLUMNS, outage_of, row
from heartline.tables import print_table
from shared import messages as m
from shared.clock import wall_ms


@click.command()
@node_argument(required=False)
@click.option(
    "--limit",
    type=click.IntRange(0, 500),
    default=100,
    show_default=True,
    help="The newest so many.",
)
@click.option(
    "--since",
    type=Instant(),
    metavar="WHEN",
    help="Only those that lasted into the time from then on: 24h, 7d, yesterday, …",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
@viewing_options
@pass_invocation
def outages(
    invocation: Invocation, name: str, limit: int, since: int | None, as_json: bool
) -> None:
    """List when nodes were away, for how long, and why. Oldest first.

    NAME is a node's name or id, or the unambiguous beginning of either. The cause is judged when a
    node is back, from what the master saw and what the agent remembers.
    """
    if since is not None and since >= wall_ms():
        raise click.UsageError("--since: that is still to come")
    since_s = 0 if since is None else max(1, round((wall_ms() - since) / 1000))
    with invocation.control() as control:
        answer = control.ask(
            lambda request: m.ListOutages(request, limit, name, since_s), m.Outages
        )
    now_wall_ms = wall_ms()
    found = [outage_of(outage, now_wall_ms) for outage in answer.outages]
    if as_json:
        print_json(found)
    elif found:
        print_table(COLUMNS, [row(outage) for outage in found])
    else:
        click.echo("no outages")
