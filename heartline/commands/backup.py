"""`heartline backup`."""

import time
from pathlib import Path

import click

from heartline.invocation import Invocation, common_options, pass_invocation
from shared import messages as m
from tui import formats


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@common_options
@pass_invocation
def backup(invocation: Invocation, file: Path) -> None:
    """Write a copy of all that the running master knows to FILE.

    FILE becomes a tar archive with registry, history and the cluster's key: keep it as safe as
    those. To restore it, unpack it into an empty state folder and start a master there. An existing
    file is never overwritten.
    """
    target = file.absolute()
    began_s = time.monotonic()
    with invocation.control() as control:
        done = control.wait(lambda request: m.BackUp(request, str(target)))
    size = formats.size(int(done.text)) if done.text.isdecimal() else "?"
    click.echo(f"wrote {target}: {size} in {time.monotonic() - began_s:.1f} s")
    click.echo("it holds the cluster's key: whoever reads it can do everything", err=True)
