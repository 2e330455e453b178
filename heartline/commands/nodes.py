"""`heartline nodes` and `heartline node …`."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import click

from heartline import reliability
from heartline.exits import NotFoundError
from heartline.fleet import Node, node_of, nodes_of, nodes_then
from heartline.instants import Instant
from heartline.invocation import (
    Invocation,
    common_options,
    pass_invocation,
    viewing_options,
)
from heartline.node_argument import node_argument
from heartline.plain import print_json
from heartline.tables import print_pairs, print_table
from heartline.times import moment, on_screen
from heartline.views import (
    COLUMNS,
    detail_of,
    inventory_of,
    row,
    summary,
    time_to_detect,
    vital_signs,
)
from shared import messages as m
from shared.clock import wall_ms
from shared.liveness import State
from shared.text import clean

_node_argument: Final = node_argument()

_json_option: Final[Callable[[Any], Any]] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead."
)
_yes_option: Final[Callable[[Any], Any]] = click.option(
    "--yes", is_flag=True, help="Do not ask; needed where there is no terminal to ask on."
)


class Order(NamedTuple):
    """Something that cannot be taken back, so that a person confirms it."""

    question: str
    outcome: str
    build: Callable[[int, str], m.FromViewer]


@click.command()
@click.option(
    "--state",
    "states",
    type=click.Choice([state.value for state in State]),
    multiple=True,
    help="Only nodes in this state; repeatable.",
)
@click.option(
    "--label", "labels", multiple=True, metavar="KEY[=VALUE]", help="Only nodes so labelled."
)
@click.option(
    "--at",
    "at_wall_ms",
    type=Instant(),
    metavar="WHEN",
    help="As they were then: '2026-11-20 03:12', 'yesterday 03:12', 2h (ago), …",
)
@_json_option
@viewing_options
@pass_invocation
def nodes(
    invocation: Invocation,
    states: tuple[str, ...],
    labels: tuple[str, ...],
    at_wall_ms: int | None,
    as_json: bool,
) -> None:
    """List the nodes, problems first.

    FOR is how long a node has been in its state, SEEN how long ago its last sign of life came.

    With --at, states and values are those of that instant, by this host's zone unless one is given;
    names, labels and addresses are those of today.
    """
    if at_wall_ms is not None and at_wall_ms > wall_ms():
        raise click.UsageError(f"--at: {on_screen(moment(at_wall_ms))} is still to come")
    everything, now_wall_ms = _fleet(invocation, at_wall_ms)
    found = [
        node
        for node in everything
        if (not states or node.state in states)
        and all(_is_labelled(node, label) for label in labels)
    ]
    if as_json:
        print_json(found)
    elif found:
        if at_wall_ms is not None:
            click.echo(f"as of {on_screen(moment(at_wall_ms))}")
        print_table(COLUMNS, [row(node, now_wall_ms) for node in found])
    elif at_wall_ms is not None and not everything:
        click.echo(f"nothing is known of {on_screen(moment(at_wall_ms))}: the history begins later")
    elif states or labels or at_wall_ms is not None:
        click.echo("no such nodes")
    else:
        click.echo("no nodes yet; for the command that joins one: heartline token create")


def _fleet(invocation: Invocation, at_wall_ms: int | None) -> tuple[Sequence[Node], int]:
    """The fleet now or then, and when that is, in Unix milliseconds."""
    with invocation.control() as control:
        if at_wall_ms is None:
            pieces = control.snapshot()
            now_wall_ms = wall_ms()
            return nodes_of(pieces, now_wall_ms), now_wall_ms
        past = control.gather(lambda request: m.GetFleetAt(request, at_wall_ms), m.FleetAt)
        return nodes_then(past), at_wall_ms


@click.group()
@common_options
def node() -> None:
    """Show, label, revoke or forget one node.

    NAME is a node's name or id, or the unambiguous beginning of either.
    """


@node.command()
@_node_argument
@_json_option
@viewing_options
@pass_invocation
def show(invocation: Invocation, name: str, as_json: bool) -> None:
    """Show everything the master knows about a node."""
    with invocation.control() as control:
        detail = control.ask(lambda request: m.GetNode(request, name), m.NodeDetail)
    now_wall_ms = wall_ms()
    if as_json:
        print_json(detail_of(detail, now_wall_ms))
        return
    found = node_of(detail.info, detail.vitals, detail.now_mono_ms, now_wall_ms)
    reliable = reliability.summary(detail, now_wall_ms)
    about = summary(found, inventory_of(detail), now_wall_ms)
    print_pairs([*about, *time_to_detect(detail), *reliable])
    if found.core is not None:
        click.echo()
        print_pairs(vital_signs(found.core))


@node.command()
@_node_argument
@click.argument("changes", nargs=-1, metavar="[KEY=VALUE | KEY-]…")
@click.option("--note", help="A note for people; empty to remove it.")
@common_options
@pass_invocation
def label(invocation: Invocation, name: str, changes: tuple[str, ...], note: str | None) -> None:
    """Label a node, or take labels off.

    rack=b7 sets a label, rack- removes it.
    """
    put, remove = _label_changes(changes)
    if not changes and note is None:
        raise click.UsageError("name a label (KEY=VALUE or KEY-), or give a --note")
    with invocation.control() as control:
        control.ask(lambda request: m.SetLabels(request, name, put, tuple(remove), note), m.Done)


@node.command()
@_node_argument
@_yes_option
@common_options
@pass_invocation
def revoke(invocation: Invocation, name: str, yes: bool) -> None:
    """Revoke a node's identity and cut its link.

    To come back, the host has to join again. NAME is the whole name or id.
    """
    _carry_out(
        invocation,
        name,
        yes,
        Order("Revoke the identity of {}? It will have to join again.", "revoked", m.RevokeNode),
    )


@node.command()
@_node_argument
@_yes_option
@common_options
@pass_invocation
def forget(invocation: Invocation, name: str, yes: bool) -> None:
    """Drop a node and its identity from the registry.

    NAME is the whole name or id.
    """
    _carry_out(
        invocation,
        name,
        yes,
        Order("Forget {}, with its labels and its identity?", "forgot", m.ForgetNode),
    )


def _carry_out(invocation: Invocation, name: str, yes: bool, order: Order) -> None:
    """Asks, unless that was answered already, about the very node that `name` means now.

    Raises:
        NotFoundError: it means one by its beginning only, which may be another one tomorrow.
    """
    with invocation.control() as control:
        detail = control.ask(lambda request: m.GetNode(request, name), m.NodeDetail)
        if name not in {detail.info.name, detail.info.node_id}:
            raise NotFoundError(
                f"{name!r} is the beginning of {clean(detail.info.name)}; this takes the whole name"
                " or id"
            )
        if not yes:
            if not sys.stdin.isatty():
                raise click.UsageError("there is no terminal to ask on; confirm with --yes")
            click.confirm(order.question.format(clean(detail.info.name)), abort=True)
        control.ask(lambda request: order.build(request, detail.info.node_id), m.Done)
    click.echo(f"{order.outcome} {clean(detail.info.name)}")


def _label_changes(changes: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    put: dict[str, str] = {}
    remove: list[str] = []
    for change in changes:
        key, equals, value = change.partition("=")
        if equals and key:
            put[key] = value
        elif not equals and change.endswith("-") and change != "-":
            remove.append(change[:-1])
        else:
            raise click.UsageError(f"{change!r} is neither KEY=VALUE nor KEY-")
    return put, remove


def _is_labelled(node: Node, label: str) -> bool:
    key, equals, value = label.partition("=")
    return node.labels.get(key) == value if equals else key in node.labels
