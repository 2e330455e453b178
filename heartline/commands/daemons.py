"""`heartline master` and `heartline agent`: the programs themselves.

Each is imported when its command runs, so that an agent does not carry a database.
"""

import logging
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from heartline.import_path import import_path
from heartline.invocation import Invocation, daemon_options, pass_invocation
from heartline.join_token import join_token
from heartline.lifeline import end_with_parent
from shared.config import Given

if TYPE_CHECKING:
    from master.workers import Command
    from shared.settings import Settings

listen_option: Final[Callable[[Any], Any]] = click.option(
    "--listen",
    multiple=True,
    metavar="HOST:PORT",
    help="Where to listen; repeatable; :7700 by default, port 0: any.",
)

_with_parent: Final[Callable[[Any], Any]] = click.option(
    "--with-parent", is_flag=True, hidden=True, help="Stop when standard input ends."
)


@click.command()
@listen_option
@click.option(
    "--workers",
    type=int,
    metavar="N",
    help="Processes that accept and hold links for this one; 0, the default: none.",
)
@_with_parent
@daemon_options
@pass_invocation
def master(
    invocation: Invocation, listen: tuple[str, ...], workers: int | None, with_parent: bool
) -> int:
    """Run the service that agents link to.

    Its first start prints the command that joins a host. SIGHUP reloads the settings, SIGTERM
    stops.
    """
    from master import daemon  # noqa: PLC0415 - see the module's docstring

    flags = _given({"master.listen": Given("--listen", listen)})
    if workers is not None:
        flags["master.workers"] = Given("--workers", workers)

    def reload() -> "Settings":
        return invocation.settings(flags)

    settings = reload()
    _begin(invocation, with_parent=with_parent)
    return daemon.run(
        invocation.folder, settings, reload=reload, worker_command=_worker_command(invocation)
    )


@click.command(hidden=True)
@click.argument("relay", type=int)
@click.argument("listeners", type=int, nargs=-1)
@daemon_options
@pass_invocation
def worker(invocation: Invocation, relay: int, listeners: tuple[int, ...]) -> int:
    """Hold links for the master that started this process, on the descriptors that it passed."""
    from master import worker as holding  # noqa: PLC0415 - see the module's docstring

    invocation.log(logging.INFO)
    sockets = [socket.socket(fileno=descriptor) for descriptor in (relay, *listeners)]
    return holding.run(sockets[0], sockets[1:])


@click.command()
@click.option(
    "--join", metavar="TOKEN", help="Join with this token; - reads it from standard input."
)
@click.option(
    "--join-file",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Join with the token in a file, which other users cannot see.",
)
@click.option(
    "--master",
    "masters",
    multiple=True,
    metavar="HOST:PORT",
    help="A master to link to; repeatable, tried in turn.",
)
@click.option("--name", metavar="NAME", help="What to call this node; its host name by default.")
@click.option("--once", is_flag=True, help="Print what would be sent, once, and send nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --once or --explain: print JSON.")
@click.option(
    "--explain", is_flag=True, help="Print what is read and which fields leave this host."
)
@_with_parent
@daemon_options
@pass_invocation
def agent(
    invocation: Invocation,
    *,
    join: str | None,
    join_file: Path | None,
    masters: tuple[str, ...],
    name: str | None,
    once: bool,
    as_json: bool,
    explain: bool,
    with_parent: bool,
) -> int:
    """Run the daemon that reports this host to a master.

    The first time, join: heartline agent --join TOKEN --master HOST:PORT, as `heartline token
    create` prints it. Afterwards the state folder is enough. The token may also stand in
    HEARTLINE_AGENT_JOIN, where other users of the host do not see it.
    """
    if as_json and not (once or explain):
        raise click.UsageError("--json goes with --once and --explain")
    if once and explain:
        raise click.UsageError("name one of --once and --explain")
    flags = _given(
        {"agent.master": Given("--master", masters), "agent.name": Given("--name", name)}
    )
    settings = invocation.settings(flags)
    if once or explain:
        from heartline import once as measuring  # noqa: PLC0415 - see the module's docstring

        return measuring.run(settings.agent, once=once, explain=explain, as_json=as_json)
    from agent import daemon  # noqa: PLC0415 - see the module's docstring

    token = join_token(join, join_file)
    _begin(invocation, with_parent=with_parent)
    return daemon.run(invocation.folder, settings.agent, settings.link, join_token=token or None)


def _worker_command(invocation: Invocation) -> "Command":
    from master.workers import Command  # noqa: PLC0415 - see the module's docstring

    arguments = (
        *(sys.executable, "-P", "-m", "heartline", "worker"),
        *("--log-format", invocation.log_format),
        *["-v"] * invocation.verbose,
    )
    return Command(arguments, import_path())


def _begin(invocation: Invocation, *, with_parent: bool) -> None:
    invocation.log(logging.INFO)
    invocation.folder.ensure()
    if with_parent:
        end_with_parent()


def _given(flags: Mapping[str, Given]) -> dict[str, Given]:
    return {key: given for key, given in flags.items() if given.value}
