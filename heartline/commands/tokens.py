"""`heartline token …`."""

import sys
from typing import Final

import click

from heartline.invocation import Invocation, common_options, pass_invocation
from heartline.plain import print_json
from heartline.running import running_master
from heartline.tables import Column, print_table
from heartline.times import Duration, moment, on_screen
from master.joining import join_command
from shared import messages as m
from shared.text import clean

_COLUMNS: Final = (
    Column("ID"),
    Column("ROLE"),
    Column("STATE"),
    Column("USES LEFT", right=True),
    Column("CREATED"),
    Column("EXPIRES"),
)


@click.group()
@common_options
def token() -> None:
    """Create, list or revoke the tokens that let hosts and viewers join."""


@token.command()
@click.option(
    "--role",
    type=click.Choice(["agent", "viewer"]),
    default="agent",
    show_default=True,
    help="What the bearer may become.",
)
@click.option(
    "--life", type=Duration(), default="24h", show_default=True, help="How long it is good."
)
@click.option(
    "--uses", type=click.IntRange(1, 1_000_000), default=1, show_default=True, help="How often."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
@common_options
@pass_invocation
def create(invocation: Invocation, role: str, life: int, uses: int, as_json: bool) -> None:
    """Create a token, and print the command that uses it. It cannot be shown again."""
    with invocation.control() as control:
        made = control.ask(lambda request: m.CreateToken(request, role, life, uses), m.TokenCreated)
    expires = moment(made.expires_wall_ms)
    if as_json:
        print_json(
            {"token": made.token, "token_id": made.token_id, "role": role, "expires": expires}
        )
        return
    running = running_master(invocation.folder)
    program = "agent" if role == "agent" else "top"
    click.echo(join_command(made.token, running.listen if running else (), program=program))
    if sys.stdout.isatty():
        times = "once" if uses == 1 else f"{uses} times"
        click.echo(f"Run this there, {times}, before {on_screen(expires)}.", err=True)


@token.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
@common_options
@pass_invocation
def list_(invocation: Invocation, as_json: bool) -> None:
    """List the tokens, without their secrets."""
    with invocation.control() as control:
        tokens = control.ask(m.ListTokens, m.Tokens).tokens
    if as_json:
        print_json([_plain(info) for info in tokens])
    elif tokens:
        print_table(_COLUMNS, [_row(info) for info in tokens])
    else:
        click.echo("no tokens")


@token.command()
@click.argument("token_id", metavar="ID")
@common_options
@pass_invocation
def revoke(invocation: Invocation, token_id: str) -> None:
    """Let a token admit nobody any more. Who joined with it stays."""
    with invocation.control() as control:
        control.ask(lambda request: m.RevokeToken(request, token_id), m.Done)


def _row(info: m.TokenInfo) -> list[str]:
    return [
        clean(info.token_id),
        clean(info.role),
        clean(info.state),
        str(info.uses_left),
        on_screen(moment(info.created_wall_ms)),
        on_screen(moment(info.expires_wall_ms)),
    ]


def _plain(info: m.TokenInfo) -> dict[str, object]:
    return {
        "token_id": clean(info.token_id),
        "role": clean(info.role),
        "state": clean(info.state),
        "uses_left": info.uses_left,
        "created": moment(info.created_wall_ms),
        "expires": moment(info.expires_wall_ms),
    }
