"""`heartline top`."""

import time
from pathlib import Path
from typing import Final

import click

from heartline.access import watched
from heartline.dashboard import dashboard, has_terminal, parsed_filter
from heartline.exits import Exit
from heartline.invocation import Invocation, pass_invocation, viewing_options
from heartline.join_token import join_token
from shared.clock import wall_ms
from shared.private_files import private_folder

MIB: Final = 1024 * 1024


@click.command()
@click.option("--once", is_flag=True, help="Print the table, and exit with the worst state.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print JSON.")
@click.option(
    "--filter",
    "wanted",
    default="",
    metavar="TEXT",
    help="Only the nodes that this line means: db, state:down, label:role=db, cpu>80, !TERM. The"
    " dashboard begins with it.",
)
@click.option(
    "--master",
    "masters",
    multiple=True,
    metavar="HOST:PORT",
    help="A master elsewhere; repeatable, dialled in turn.",
)
@click.option(
    "--token",
    "--join-file",
    "token_file",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Join as a viewer with the token in a file, unless that was done before.",
)
@click.option(
    "--join",
    metavar="TOKEN",
    help="Join with this token; - reads it from standard input.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Save the feed as it arrives to a new file. Nothing is removed from it: it holds the names"
    " of nodes, addresses, labels, users and processes.",
)
@click.option(
    "--record-limit",
    type=click.IntRange(1, 4096),
    default=64,
    show_default=True,
    metavar="MIB",
    help="Record no more than that.",
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Play what was recorded, instead of looking at a master.",
)
@click.option(
    "--speed",
    type=click.FloatRange(0.01, 1000),
    metavar="X",
    help="With --replay: so many times as fast as it was.",
)
@viewing_options
@pass_invocation
def top(
    invocation: Invocation,
    *,
    once: bool,
    as_json: bool,
    wanted: str,
    masters: tuple[str, ...],
    token_file: Path | None,
    join: str | None,
    record: Path | None,
    record_limit: int,
    replay: Path | None,
    speed: float | None,
) -> int:
    """Watch the fleet in a terminal dashboard.

    On the master's host nothing else is needed. Elsewhere, join once: heartline token create --role
    viewer, on the master's host, makes the token. From then on nodes, node show, events, outages,
    coverage and export work here as well. Several clusters are told apart by profiles in the
    settings.
    """
    if as_json and not once:
        raise click.UsageError("--json prints, and goes with --once; the dashboard shows")
    if speed is not None and (once or replay is None):
        raise click.UsageError("--speed is how fast the dashboard plays, and goes with --replay")
    if wanted:
        parsed_filter(wanted)  # before anything is joined, dialled or opened
    if replay is not None:
        if masters or token_file or join or record or invocation.profile:
            raise click.UsageError("--replay looks at a file, and at no master")
        return (
            _final_state(replay, wanted, as_json) if once else _replay(replay, speed or 1.0, wanted)
        )
    if once and record:
        raise click.UsageError("--record goes with the dashboard")
    invocation.masters = masters
    _join_once(invocation, _token(join, token_file))
    if once:
        return _state(invocation, wanted, as_json)
    return _watch(invocation, wanted, record, record_limit * MIB)


def _token(join: str | None, file: Path | None) -> str:
    return join_token(join, file, file_flag="--token", variable=None)


def _join_once(invocation: Invocation, token: str) -> None:
    """Joins with the token, if there is one that has not made this viewer what it is."""
    from heartline.viewer import has_joined_with, join_as_viewer  # noqa: PLC0415 - TLS

    if not token:
        return
    choice = invocation.choice
    if not choice.masters:
        raise click.UsageError("where is the master? name it with --master HOST:PORT")
    if has_joined_with(choice.folder, token):
        return
    if invocation.profile:
        invocation.folder.ensure()
        private_folder(invocation.folder.viewer_dir)
    join_as_viewer(choice.folder, token, choice.masters)


def _state(invocation: Invocation, wanted: str, as_json: bool) -> Exit:
    from heartline.glance import glance, show  # noqa: PLC0415 - not for the dashboard

    with invocation.control() as control:
        pieces = control.snapshot()
    now_wall_ms = wall_ms()
    return show(glance(pieces, now_wall_ms, wanted), now_wall_ms, as_json=as_json)


def _final_state(replay: Path, wanted: str, as_json: bool) -> Exit:
    from heartline.glance import glance, last_picture, show  # noqa: PLC0415 - see above

    picture, then_wall_ms = last_picture(replay)
    return show(glance([picture], then_wall_ms, wanted), then_wall_ms, as_json=as_json)


def _watch(invocation: Invocation, wanted: str, record: Path | None, limit_bytes: int) -> int:
    from tui.client import Client  # noqa: PLC0415 - only the dashboard needs it

    client = Client(*watched(invocation.choice))
    if record is None:
        return dashboard(client, wanted=wanted)
    from tui import formats  # noqa: PLC0415 - see above
    from tui.recorded import Recorded  # noqa: PLC0415 - see above
    from tui.recording import Recorder  # noqa: PLC0415 - see above

    if not has_terminal():
        raise click.UsageError("there is no terminal for the dashboard, and so nothing to record")
    recorder = Recorder.create(
        record, limit_bytes=limit_bytes, began_s=time.monotonic(), began_wall_ms=wall_ms()
    )
    try:
        return dashboard(Recorded(client, recorder), wanted=wanted)
    finally:
        ended_early = recorder.stopped
        recorder.close(time.monotonic())
        click.echo(f"recorded {formats.size(recorder.written_bytes)} to {record}")
        if ended_early is not None:
            click.echo(f"the recording ended early: {ended_early}", err=True)


def _replay(path: Path, speed: float, wanted: str) -> int:
    from tui.replay import Replay  # noqa: PLC0415 - only a replay needs it

    replay = Replay(path, speed)
    return dashboard(replay, replay.clock, wanted)
