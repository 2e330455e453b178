"""The columns of the fleet table: what each shows of a node, and which of them fit.

Pure: a column draws a node at a moment into `Piece`s at most as wide as it was given, in cells of
the terminal. To add one is to add a row to `COLUMNS`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from rich.cells import cell_len, set_cell_size

from shared.liveness import State
from tui import formats
from tui.fleet import Moment, Node
from tui.tones import DEGRADED, Piece, Pieces, Tone, heat, mark, meter

_PERCENT_WIDTH: Final = 4
_MOST: Final = 10_000
"""All of it, in basis points."""

METER_LEAST: Final = 4
"""A meter of fewer cells tells nothing that its number does not."""

NOTE_LEAST: Final = 16
"""A note narrower than this says nothing."""

BUSY_LOAD: Final = 1.0
OVERLOAD: Final = 2.0
"""Load average per processor: from here on work waits, and waits long."""

Draw: TypeAlias = Callable[[Node, Moment, int], Pieces]


@dataclass(frozen=True, slots=True)
class Column:
    """One column. Widths are in cells."""

    key: str
    title: str
    least: int
    """Not narrower than this."""
    most: int
    """Wider than this gains nothing."""
    draw: Draw
    is_number: bool = False
    """Whether it stands at the right of its column."""
    is_measured: bool = False
    """Whether it comes from the sample, and so is history once the sample is old."""
    leaves: int = 0
    """Which column goes first when there is no room: the highest. Zero stays."""
    is_extra: bool = False
    """Whether it comes only once the others have all the room they can use."""


class Placed(NamedTuple):
    """A column at its place on the screen."""

    column: Column
    x: int
    width: int


def shorten(text: str, width: int) -> str:
    """`text` in at most `width` cells, its end given up for an ellipsis."""
    if len(text) <= width and text.isascii():
        return text
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 1 else "…"[:width]


def shorten_path(path: str, width: int) -> str:
    """`path` in at most `width` cells: of a path the end tells more, and whole names more still."""
    if cell_len(path) <= width:
        return path
    parts = path.split("/")
    for start in range(1, len(parts)):
        tail = "…/" + "/".join(parts[start:])
        if cell_len(tail) <= width:
            return tail
    return shorten(parts[-1], width)


def _state(node: Node, _moment: Moment, width: int) -> Pieces:
    shape, tone = mark(node.state)
    word = shorten(node.state, width - 2)
    pieces = (Piece(shape + " ", tone), Piece(word, tone))
    if node.is_degraded and cell_len(word) + 4 <= width:
        return *pieces, Piece(f" {DEGRADED}", Tone.WARM)
    return pieces


def _name(node: Node, _moment: Moment, width: int) -> Pieces:
    name = shorten(node.profile.name, width)
    return (Piece(name, Tone.STRONG if node.is_problem else Tone.PLAIN),)


def _share(basis_points: int | None, width: int) -> Pieces:
    """A part of a whole: the number, before it a meter where there is room."""
    text = formats.percent(basis_points)
    if basis_points is None:
        return (Piece(f"{text:>{_PERCENT_WIDTH}}", Tone.FAINT),)
    ratio = basis_points / _MOST
    tone = heat(ratio)
    number = Piece(f"{text:>{_PERCENT_WIDTH}}", Tone.PLAIN if tone is Tone.CALM else tone)
    if not _has_meter(width):
        return (number,)
    return (*meter(ratio, width - _PERCENT_WIDTH - 1, tone), Piece(" "), number)


def _has_meter(width: int) -> bool:
    return width >= _PERCENT_WIDTH + 1 + METER_LEAST


def _cpu(node: Node, _moment: Moment, width: int) -> Pieces:
    return _share(node.core.cpu_busy_bp, width)


def _memory(node: Node, _moment: Moment, width: int) -> Pieces:
    return _share(node.core.memory_used_bp, width)


def _load(node: Node, _moment: Moment, _width: int) -> Pieces:
    core = node.core
    if core.load_1m_centi is None:
        return (Piece(formats.ABSENT, Tone.FAINT),)
    per_cpu = core.load_1m_centi / 100 / max(core.cpu_count or 1, 1)
    tone = Tone.HOT if per_cpu >= OVERLOAD else Tone.WARM if per_cpu >= BUSY_LOAD else Tone.PLAIN
    return (Piece(formats.load(core.load_1m_centi), tone),)


def _fullest(node: Node, _moment: Moment, width: int) -> Pieces:
    used_bp = node.core.filesystem_used_max_bp
    (number,) = _share(used_bp, _PERCENT_WIDTH)
    mount = shorten_path(node.fullest_filesystem, width - _PERCENT_WIDTH - 1)
    return (number, Piece(f" {mount}", Tone.MUTED)) if mount else (number,)


def _rate(bytes_per_s: int | None) -> Pieces:
    tone = Tone.PLAIN if bytes_per_s else Tone.FAINT
    return (Piece(formats.size(bytes_per_s), tone),)


def _received(node: Node, _moment: Moment, _width: int) -> Pieces:
    return _rate(node.core.network_receive_bytes_per_s)


def _sent(node: Node, _moment: Moment, _width: int) -> Pieces:
    return _rate(node.core.network_transmit_bytes_per_s)


def _uptime(node: Node, _moment: Moment, width: int) -> Pieces:
    up_s = node.core.uptime_s
    if up_s is None:
        return (Piece(formats.ABSENT, Tone.FAINT),)
    return (Piece(formats.duration(up_s) if width >= 8 else formats.age(up_s), Tone.MUTED),)


def _age(node: Node, moment: Moment, _width: int) -> Pieces:
    age_s = node.age_s(moment)
    if age_s is None:
        return (Piece("never", Tone.FAINT),)
    about = "~" if node.vitals.seen_mono_ms is None else ""
    tone = mark(node.state).tone if node.is_stale(moment) else Tone.MUTED
    return (Piece(about + formats.age(age_s), tone),)


def _note(node: Node, moment: Moment, width: int) -> Pieces:
    """Why and since when, for whatever is not simply up; else how the node is labelled."""
    if node.state == State.UP and not node.is_degraded:
        labels = " ".join(f"{key}={value}" for key, value in node.profile.labels.items())
        return (Piece(shorten(labels, width), Tone.AWAY),)
    tone = Tone.WARM if node.state == State.UP else mark(node.state).tone
    since = f"since {formats.clock_time(node.vitals.since_wall_ms, moment.wall_ms)}"
    if not node.reason:
        return (Piece(shorten(since, width), Tone.MUTED),)
    room = width - cell_len(since) - 3
    if room < cell_len(node.reason):
        return (Piece(shorten(node.reason, width), tone),)
    return Piece(node.reason, tone), Piece(f" · {since}", Tone.MUTED)


COLUMNS: Final = (
    Column("state", "state", 8, 14, _state),
    Column("name", "name", 12, 32, _name),
    Column("cpu", "cpu", 4, 13, _cpu, is_number=True, is_measured=True),
    Column("memory", "mem", 4, 13, _memory, is_number=True, is_measured=True),
    Column("load", "load", 5, 5, _load, is_number=True, is_measured=True, leaves=2),
    Column("fullest", "fullest", 9, 20, _fullest, is_measured=True, leaves=4),
    Column("received", "in/s", 5, 5, _received, is_number=True, is_measured=True, leaves=5),
    Column("sent", "out/s", 5, 5, _sent, is_number=True, is_measured=True, leaves=6),
    Column("uptime", "up", 4, 8, _uptime, is_number=True, is_measured=True, leaves=3),
    Column("age", "age", 5, 5, _age, is_number=True, leaves=1),
    Column("note", "note", NOTE_LEAST, 80, _note, is_extra=True),
)
"""Every column, from the left."""

_GROWTH: Final = (("state",), ("name",), ("fullest",), ("cpu", "memory"), ("uptime",))
"""Who is given spare room first. What grows together grows as a whole or not at all."""

_STRETCHING: Final = ("cpu", "memory")
"""Whose meters take what room is left in the end."""

_GAP: Final = 1
_WIDE_GAP: Final = 2
_WIDE_FROM: Final = 100
_INDENT: Final = 1


def fit(columns: Sequence[Column], width: int, content: Mapping[str, int]) -> tuple[Placed, ...]:
    """Where the columns go in `width` cells: those that fit, grown as far as there is room.

    `content` is how wide a column's widest content is, by its key, for those where that is known.
    """
    gap = _WIDE_GAP if width >= _WIDE_FROM else _GAP
    most = {c.key: max(len(c.title), min(c.most, content.get(c.key, c.most))) for c in columns}
    widths: dict[str, int] = {}
    spare = width - _INDENT + gap
    for column in sorted((c for c in columns if not c.is_extra), key=lambda c: c.leaves):
        least = min(column.least, most[column.key])
        if column.leaves and least + gap > spare:
            break
        widths[column.key] = least
        spare -= least + gap
    for group in _GROWTH:
        wants = {key: most[key] - widths[key] for key in group if key in widths}
        if len(group) == 1:
            wants = {key: min(want, spare) for key, want in wants.items()}
        if 0 < sum(wants.values()) <= spare:
            widths |= {key: widths[key] + want for key, want in wants.items()}
            spare -= sum(wants.values())
    for column in columns:
        if column.is_extra and column.least + gap <= spare:
            widths[column.key] = min(most[column.key], spare - gap)
            spare -= widths[column.key] + gap
    if not any(column.is_extra and column.key in widths for column in columns):
        for key in _STRETCHING:
            widths[key] += max(0, spare) // len(_STRETCHING) if _has_meter(widths[key]) else 0
    return tuple(_placed(columns, widths, gap))


def _placed(columns: Iterable[Column], widths: Mapping[str, int], gap: int) -> Iterator[Placed]:
    x = _INDENT
    for column in columns:
        if column.key in widths:
            yield Placed(column, x, widths[column.key])
            x += widths[column.key] + gap


def content_widths(rows: Sequence[Node]) -> dict[str, int]:
    """How wide the columns need to be whose content differs most from fleet to fleet."""
    states = {node.state + f" {DEGRADED}" * node.is_degraded for node in rows}
    return {
        "state": 2 + max(map(cell_len, states), default=0),
        "name": max((node.profile.name_width for node in rows), default=0),
        "fullest": _PERCENT_WIDTH + 1 + max((n.profile.mount_width for n in rows), default=0),
    }


def cells(
    node: Node, moment: Moment, placed: Iterable[Placed], *, is_current: bool
) -> tuple[Pieces, ...]:
    """What `node` shows in each column.

    What is history loses its colours: the numbers of a node that has not beaten lately, and all of
    it when the picture itself is not current.
    """
    is_stale = node.is_stale(moment)
    return tuple(
        _faded(column.draw(node, moment, width))
        if not is_current or (is_stale and column.is_measured)
        else column.draw(node, moment, width)
        for column, _, width in placed
    )


def _faded(pieces: Pieces) -> Pieces:
    return tuple(
        Piece(text, Tone.FAINT if tone is Tone.FAINT else Tone.MUTED) for text, tone in pieces
    )
