"""`heartline export`."""

import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import click

from heartline.control import Control
from heartline.export_formats import WRITERS, Row
from heartline.fleet import core_of
from heartline.instants import Instant
from heartline.invocation import Invocation, pass_invocation, viewing_options
from heartline.node_argument import complete_node
from shared import messages as m
from shared.errors import UserError
from shared.metrics import Core
from shared.text import NAME_LIMIT_CHARACTERS, clean

PAGE: Final = 1_000
"""Samples that are asked for at once."""

_STANDARD_OUTPUT: Final = Path("-")

SLOW_S: Final = 2.0
"""An export that takes longer says how far it is, this often."""


@click.command()
@click.argument("names", nargs=-1, metavar="[NODE]…", shell_complete=complete_node)
@click.option("--all", "everybody", is_flag=True, help="All nodes.")
@click.option(
    "--from",
    "from_ms",
    type=Instant(),
    default="24h",
    show_default=True,
    metavar="WHEN",
    help="From then on: 24h, '2026-11-20 03:12', yesterday, …",
)
@click.option(
    "--to",
    "to_ms",
    type=Instant(),
    default="now",
    show_default=True,
    metavar="WHEN",
    help="Up to then.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(WRITERS)),
    default="csv",
    show_default=True,
    help="How to write it.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="A new file, which is there when it is whole; standard output by default, and for -.",
)
@viewing_options
@pass_invocation
def export(
    invocation: Invocation,
    names: tuple[str, ...],
    *,
    everybody: bool,
    from_ms: int,
    to_ms: int,
    form: str,
    output: Path | None,
) -> None:
    """Write stored samples as CSV, JSON lines or OpenMetrics.

    NODE is a node's name or id, or the unambiguous beginning of either. What is written are the
    samples themselves, as far as they are kept; CSV and JSON lines hold the numbers as they were
    sent, with their units in the names, OpenMetrics in base units.
    """
    if bool(names) == everybody:
        raise click.UsageError("name nodes, or give --all")
    if from_ms >= to_ms:
        raise click.UsageError("--from is not before --to")
    if output == _STANDARD_OUTPUT:
        output = None
    if output is not None and output.exists():
        raise click.UsageError(f"--output: {output} is there already, and is not written over")
    with invocation.control() as control:
        nodes = _nodes(control, names)
        progress = _Progress(len(nodes))
        with _opened(output) as stream, WRITERS[form](stream) as writer:
            for node_id, name in nodes:
                for page in _pages(control, node_id, from_ms, to_ms):
                    writer.write([_row(name, node_id, sample) for sample in page])
                    progress.wrote(name, len(page))
                progress.node_done()
        progress.end()


def _nodes(control: Control, names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Ids and names, each node once."""
    if names:
        details = [_info(control, name) for name in names]
    else:
        pieces = control.snapshot()
        details = sorted(
            (info for piece in pieces for info in piece.infos), key=lambda info: info.name
        )
    return list({info.node_id: clean(info.name, NAME_LIMIT_CHARACTERS) for info in details}.items())


def _info(control: Control, name: str) -> m.NodeInfo:
    return control.ask(lambda request: m.GetNode(request, name), m.NodeDetail).info


def _pages(
    control: Control, node_id: str, from_ms: int, to_ms: int
) -> Iterator[tuple[m.StoredSample, ...]]:
    while True:
        page = _page(control, node_id, from_ms, to_ms)
        if page.samples:
            yield page.samples
            from_ms = page.samples[-1].at_wall_ms + 1
        if not page.more or not page.samples:
            return


def _page(control: Control, node_id: str, from_ms: int, to_ms: int) -> m.Samples:
    return control.ask(
        lambda request: m.GetSamples(request, node_id, from_ms, to_ms, PAGE), m.Samples
    )


def _row(name: str, node_id: str, sample: m.StoredSample) -> Row:
    core = core_of(sample.core) or Core()
    boot_id = clean(sample.boot_id, NAME_LIMIT_CHARACTERS)
    return Row(name, node_id, sample.at_wall_ms, boot_id, sample.sequence, core)


@contextmanager
def _opened(output: Path | None) -> Generator[IO[str]]:
    """Standard output, or a file that is there once all has been written, and not before."""
    if output is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    draft = output.with_name(f".{output.name}.unfinished")
    try:
        stream = draft.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise UserError(f"{output}: {error.strerror or error}") from error
    try:
        with stream:
            yield stream
        draft.replace(output)
    finally:
        draft.unlink(missing_ok=True)


class _Progress:
    """Says on standard error how far it is, once it takes long."""

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self._nodes_done = 0
        self._samples = 0
        self._told_s = time.monotonic()
        self._has_told = False
        self._rewrites = sys.stderr.isatty()

    def wrote(self, name: str, samples: int) -> None:
        """So many more, of this node."""
        self._samples += samples
        now_s = time.monotonic()
        if now_s - self._told_s < SLOW_S:
            return
        self._told_s, self._has_told = now_s, True
        line = f"{self._samples} samples, {self._nodes_done} of {self._nodes} nodes, at {name}"
        click.echo(f"\r\x1b[K{line}" if self._rewrites else line, err=True, nl=not self._rewrites)

    def node_done(self) -> None:
        """One node is through."""
        self._nodes_done += 1

    def end(self) -> None:
        """All is written."""
        if self._has_told:
            line = f"{self._samples} samples of {self._nodes} nodes"
            click.echo(f"\r\x1b[K{line}" if self._rewrites else line, err=True)
