"""`heartline top`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from heartline.access import watched
from heartline.invocation import Invocation, common_options, pass_invocation
from heartline.join_token import join_token
from heartline.viewer import join_as_viewer
from shared.errors import UserError

if TYPE_CHECKING:
    from tui.client import Target


@click.command()
@click.option(
    "--join",
    metavar="TOKEN",
    help="Join as a viewer with this token first; - reads it from standard input.",
)
@click.option(
    "--join-file",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Join with the token in a file.",
)
@click.option("--master", "masters", multiple=True, metavar="HOST:PORT", help="The master to join.")
@common_options
@pass_invocation
def top(
    invocation: Invocation, join: str | None, join_file: Path | None, masters: tuple[str, ...]
) -> int:
    """Watch the fleet in a terminal dashboard.

    On the master's host nothing else is needed. Elsewhere, join once: heartline token create --role
    viewer, on the master's host, prints the command. From then on nodes, node show and events work
    here as well.
    """
    token = join_token(join, join_file, variable=None)
    if bool(token) != bool(masters):
        raise click.UsageError("--join TOKEN and --master HOST:PORT belong together")
    if token:
        join_as_viewer(invocation.folder, token, masters)
    return dashboard(watched(invocation.folder))


def dashboard(target: "Target") -> int:
    """Shows the fleet of one master until the user leaves; the exit code.

    Raises:
        UserError: the dashboard is not installed, or there is no terminal for it.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError("there is no terminal for the dashboard; for scripts: heartline nodes")
    try:
        from tui import app  # noqa: PLC0415 - twenty megabytes, and optional
    except ModuleNotFoundError as error:
        raise UserError(
            f"the dashboard lacks {error.name}; install it: pip install 'heartline[tui]'"
        ) from error
    return app.run(target)
