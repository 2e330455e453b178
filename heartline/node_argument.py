"""The name of a node on the command line, and its completion in the shell."""

from collections.abc import Callable
from typing import Any, Final

import click

from heartline.access import open_control
from heartline.invocation import Invocation
from shared.errors import HeartlineError
from shared.text import clean

COMPLETION_S: Final = 0.5
"""A completion that takes longer disturbs more than it helps."""


def complete_node(
    context: click.Context,
    parameter: click.Parameter,  # noqa: ARG001 - click's signature
    incomplete: str,
) -> list[str]:
    """Names of nodes that begin so; none when the master cannot be asked quickly."""
    invocation = context.ensure_object(Invocation)
    try:
        with open_control(invocation.choice, COMPLETION_S) as control:
            pieces = control.snapshot(COMPLETION_S)
    except (HeartlineError, OSError):
        return []
    names = [clean(info.name) for piece in pieces for info in piece.infos]
    return sorted(name for name in names if name.startswith(incomplete))


def node_argument(*, required: bool = True) -> Callable[[Any], Any]:
    """A node by name, by id, or by the unambiguous beginning of either."""
    if required:
        return click.argument("name", shell_complete=complete_node)
    return click.argument("name", required=False, default="", shell_complete=complete_node)
