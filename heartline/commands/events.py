"""`heartline events`."""

import click

from heartline.following import Following
from heartline.invocation import Invocation, pass_invocation, viewing_options
from heartline.plain import print_json, print_json_line
from heartline.times import moment, on_screen
from shared import messages as m
from shared.text import clean


@click.command()
@click.option(
    "--follow",
    "-f",
    is_flag=True,
    help="Go on with the new ones as they happen, also after the master was away.",
)
@click.option(
    "--limit",
    type=click.IntRange(0, 500),
    default=100,
    show_default=True,
    help="The newest so many.",
)
@click.option("--node", default="", metavar="NAME", help="Only those of one node.")
@click.option("--json", "as_json", is_flag=True, help="Print a list; with --follow, one a line.")
@viewing_options
@pass_invocation
def events(invocation: Invocation, follow: bool, limit: int, node: str, as_json: bool) -> None:
    """List what happened: states, enrolments, conflicts. Oldest first."""

    if follow:
        _follow(Following(invocation.control, _say, node), limit, as_json)
        return
    with invocation.control() as control:
        found = control.ask(lambda request: m.ListEvents(request, limit, node), m.Events).events
    if as_json:
        print_json([_plain(event) for event in found])
    else:
        _print(found)


def _follow(following: Following, limit: int, as_json: bool) -> None:
    for some in following.events(limit):
        if as_json:
            for event in some:
                print_json_line(_plain(event))
        else:
            _print(some)


def _say(text: str) -> None:
    click.echo(f"heartline: {text}", err=True)


def _print(events: tuple[m.Event, ...]) -> None:
    for event in events:
        click.echo(_line(event))


def _line(event: m.Event) -> str:
    change = f"{event.before} → {event.after}" if event.before or event.after else ""
    parts = [on_screen(moment(event.wall_ms)), f"{event.event:<14}", event.name, change, event.text]
    return clean("  ".join(part for part in parts if part), limit_characters=4096).rstrip()


def _plain(event: m.Event) -> dict[str, object]:
    return {
        "number": event.number,
        "time": moment(event.wall_ms),
        "event": clean(event.event),
        "node_id": clean(event.node_id),
        "name": clean(event.name),
        "before": clean(event.before),
        "after": clean(event.after),
        "text": clean(event.text),
        "nodes": [clean(node_id) for node_id in event.nodes],
    }
