"""The fleet at one instant, for scripts: `heartline top --once`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

from heartline.dashboard import parsed_filter
from heartline.exits import Exit
from heartline.fleet import Node, nodes_of, severity
from heartline.plain import print_json
from heartline.tables import print_table
from heartline.views import COLUMNS, row
from shared import messages as m
from shared.errors import UserError
from shared.liveness import State

_CODES: Final[Mapping[str, Exit]] = {
    State.DOWN: Exit.DOWN,
    State.LOST: Exit.LOST,
    State.HUNG: Exit.LOST,
    State.LATE: Exit.UNSETTLED,
    State.AWAITED: Exit.UNSETTLED,
    State.JOINING: Exit.UNSETTLED,
    State.UP: Exit.OK,
    State.NEVER_SEEN: Exit.OK,
    State.LEFT: Exit.OK,
    State.REVOKED: Exit.OK,
}


def worst(states: Iterable[str]) -> Exit:
    """The exit code for the worst of these states; one that is not known here may be a problem."""
    return max((_CODES.get(state, Exit.UNSETTLED) for state in states), default=Exit.OK)


def glance(pieces: Sequence[m.Snapshot], now_wall_ms: int, wanted: str) -> list[Node]:
    """The nodes that the filter line `wanted` means, problems first.

    Raises:
        click.UsageError: the line is no filter.
        UserError: what is needed to read it is not installed.
    """
    nodes = nodes_of(pieces, now_wall_ms)
    if not wanted:
        return nodes
    meant = _meant(pieces, now_wall_ms, wanted)
    return [node for node in nodes if node.id in meant]


def show(nodes: Sequence[Node], now_wall_ms: int, *, as_json: bool) -> Exit:
    """Prints the nodes; the exit code for the worst state."""
    with suppress(BrokenPipeError):  # whoever reads has seen enough; the code says the rest
        if as_json:
            print_json(nodes)
        else:
            click.echo(_summary(nodes))
            if nodes:
                click.echo()
                print_table(COLUMNS, [row(node, now_wall_ms) for node in nodes])
    return worst(node.state for node in nodes)


def last_picture(path: Path) -> tuple[m.Snapshot, int]:
    """The fleet as it is at the end of a recording, and the time then, as Unix milliseconds.

    Raises:
        RecordingError: see `tui.replay.played`.
        UserError: the recording ends before there is a whole fleet in it.
    """
    from tui.recording import Header  # noqa: PLC0415 - only a replay needs it
    from tui.replay import played  # noqa: PLC0415 - see above

    picture, began_wall_ms, at_s = _Picture(), 0, 0.0
    for entry in played(path):
        if isinstance(entry, Header):
            began_wall_ms = entry.began_wall_ms
        elif isinstance(entry.what, m.Snapshot | m.Delta):
            at_s = entry.at_s
            picture.apply(entry.what)
    if not picture.is_whole:
        raise UserError(f"{path} ends before there is a whole fleet in it")
    return picture.snapshot(), began_wall_ms + round(at_s * 1000)


class _Picture:
    """The latest of every node, from a feed. Half a snapshot changes nothing."""

    def __init__(self) -> None:
        self.is_whole = False
        self._now_mono_ms = 0
        self._infos: dict[str, m.NodeInfo] = {}
        self._vitals: dict[str, m.NodeVitals] = {}
        self._incoming: list[m.Snapshot] = []

    def apply(self, message: m.Snapshot | m.Delta) -> None:
        if isinstance(message, m.Snapshot):
            self._incoming.append(message)
            if message.last:
                self._infos, self._vitals, self.is_whole = {}, {}, True
                for piece in self._incoming:
                    self._merge(piece)
                self._incoming = []
            return
        self._merge(message)
        for node_id in message.gone:
            self._infos.pop(node_id, None)
            self._vitals.pop(node_id, None)

    def snapshot(self) -> m.Snapshot:
        infos, vitals = tuple(self._infos.values()), tuple(self._vitals.values())
        return m.Snapshot(self._now_mono_ms, infos, vitals, last=True)

    def _merge(self, news: m.Snapshot | m.Delta) -> None:
        self._now_mono_ms = news.now_mono_ms
        self._infos.update((info.node_id, info) for info in news.infos)
        self._vitals.update((vitals.node_id, vitals) for vitals in news.vitals)


def _meant(pieces: Sequence[m.Snapshot], now_wall_ms: int, wanted: str) -> set[str]:
    """The ids of the nodes that a filter line means."""
    line = parsed_filter(wanted)
    from tui.fleet import Fleet  # noqa: PLC0415 - there, for the filter was

    fleet = Fleet()
    for piece in pieces:
        fleet.apply(piece, 0.0)
    moment = fleet.moment(0.0, now_wall_ms)
    return {node.profile.node_id for node in fleet.rows if line.matches(node, moment)}


def _summary(nodes: Sequence[Node]) -> str:
    counts = Counter(node.state for node in nodes)
    total = f"{len(nodes)} node{'s' * (len(nodes) != 1)}"
    counted = ", ".join(f"{counts[state]} {state}" for state in sorted(counts, key=severity))
    return f"{total}: {counted}" if counted else total
