"""The columns of the fleet table: what each shows of a node.

Pure: a column draws a node at a moment into `Piece`s at most as wide as it was given, in cells of
the terminal. To add one is to add a row to `COLUMNS`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from rich.cells import cell_len

from shared.liveness import State
from tui import formats
from tui.graphs import columns_per_cell, sparkline
from tui.look import Look, Sight
from tui.measures import MEASURES
from tui.node import Node
from tui.shortening import shorten, shorten_path
from tui.since import PASSED_WIDTH, PASSING, lasted, since
from tui.tones import DEGRADED, FLAPPING, Piece, Pieces, Tone, mark, meter

PERCENT_WIDTH: Final = 4
_MOST: Final = 10_000
"""All of it, in basis points."""

METER_LEAST: Final = 4
"""A meter of fewer cells tells nothing that its number does not."""

NOTE_LEAST: Final = 16
"""A note narrower than this says nothing."""

HOTTEST_DC: Final = 1_000
"""What temperatures are measured against: the boiling point of water, in tenths of a degree."""

BUSY_LOAD: Final = 1.0
OVERLOAD: Final = 2.0
"""Load average per processor: from here on work waits, and waits long."""

Draw: TypeAlias = Callable[[Node, Sight, int], Pieces]


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


def badge_width(node: Node) -> int:
    """How wide the state is, its marks, and how long it has been so where that matters."""
    passed = PASSED_WIDTH if node.state in PASSING else 0
    return 2 + cell_len(node.state) + 2 * len(_marks(node)) + passed


def _marks(node: Node) -> list[str]:
    marks = ((DEGRADED, node.is_degraded), (FLAPPING, node.vitals.flapping))
    return [sign for sign, is_on in marks if is_on]


def _state(node: Node, sight: Sight, width: int) -> Pieces:
    shape, tone = mark(node.state)
    word = shorten(node.state, width - 2)
    pieces = [Piece(shape + " ", tone), Piece(word, tone)]
    room = width - 2 - cell_len(word)
    for sign in _marks(node):
        if room >= 2:
            pieces.append(Piece(f" {sign}", Tone.WARM))
            room -= 2
    passed = lasted(node, sight.moment)
    if passed and len(passed) < room:
        pieces.append(Piece(f" {passed}", tone))
    return tuple(pieces)


def _name(node: Node, _sight: Sight, width: int) -> Pieces:
    name = shorten(node.profile.name, width)
    return (Piece(name, Tone.STRONG if node.is_problem else Tone.PLAIN),)


def share(basis_points: int | None, look: Look, width: int) -> Pieces:
    """A part of a whole: the number, before it a meter where there is room."""
    text = formats.percent(basis_points)
    if basis_points is None:
        return (Piece(f"{text:>{PERCENT_WIDTH}}", Tone.FAINT),)
    ratio = basis_points / _MOST
    tone = look.heat(ratio)
    number = Piece(f"{text:>{PERCENT_WIDTH}}", Tone.PLAIN if tone is Tone.CALM else tone)
    if not has_meter(width):
        return (number,)
    return (*meter(ratio, width - PERCENT_WIDTH - 1, tone), Piece(" "), number)


def has_meter(width: int) -> bool:
    """Whether a share of so many cells shows more than its number."""
    return width >= PERCENT_WIDTH + 1 + METER_LEAST


def _cpu(node: Node, sight: Sight, width: int) -> Pieces:
    return share(node.core.cpu_busy_bp, sight.look, width)


def _trail(node: Node, sight: Sight, width: int) -> Pieces:
    """How busy it was in its latest beats."""
    symbols = sight.look.symbols
    ratios = node.pulse.ratios(width * columns_per_cell(symbols))
    busiest = max((ratio for ratio in ratios if ratio is not None), default=0.0)
    tone = sight.look.heat(busiest)
    return (Piece(sparkline(ratios, symbols), Tone.SERIES if tone is Tone.CALM else tone),)


def _memory(node: Node, sight: Sight, width: int) -> Pieces:
    return share(node.core.memory_used_bp, sight.look, width)


def _swap(node: Node, sight: Sight, width: int) -> Pieces:
    return share(node.core.swap_used_bp, sight.look, width)


def _load(node: Node, _sight: Sight, _width: int) -> Pieces:
    core = node.core
    if core.load_1m_centi is None:
        return (Piece(formats.ABSENT, Tone.FAINT),)
    per_cpu = core.load_1m_centi / 100 / max(core.cpu_count or 1, 1)
    return (Piece(formats.load(core.load_1m_centi), _load_tone(per_cpu)),)


def _per_core(node: Node, sight: Sight, _width: int) -> Pieces:
    value = MEASURES["load/core"].value(node, sight.moment)
    if value is None:
        return (Piece(formats.ABSENT, Tone.FAINT),)
    return (Piece(formats.load(round(value * 100)), _load_tone(value)),)


def _load_tone(per_cpu: float) -> Tone:
    return Tone.HOT if per_cpu >= OVERLOAD else Tone.WARM if per_cpu >= BUSY_LOAD else Tone.PLAIN


def _temperature(node: Node, sight: Sight, width: int) -> Pieces:
    hottest_dc = node.core.temperature_max_dc
    if hottest_dc is None:
        return (Piece(formats.ABSENT, Tone.FAINT),)
    tone = sight.look.heat(hottest_dc / HOTTEST_DC)
    text = shorten(formats.temperature(hottest_dc), width)
    return (Piece(text, Tone.PLAIN if tone is Tone.CALM else tone),)


def _labels(node: Node, _sight: Sight, width: int) -> Pieces:
    labels = " ".join(f"{key}={value}" for key, value in node.profile.labels.items())
    return (Piece(shorten(labels, width), Tone.AWAY),)


def _fullest(node: Node, sight: Sight, width: int) -> Pieces:
    used_bp = node.core.filesystem_used_max_bp
    (number,) = share(used_bp, sight.look, PERCENT_WIDTH)
    mount = shorten_path(node.fullest_filesystem, width - PERCENT_WIDTH - 1)
    return (number, Piece(f" {mount}", Tone.MUTED)) if mount else (number,)


def rate(bytes_per_s: int | None) -> Pieces:
    tone = Tone.PLAIN if bytes_per_s else Tone.FAINT
    return (Piece(formats.size(bytes_per_s), tone),)


def _received(node: Node, _sight: Sight, _width: int) -> Pieces:
    return rate(node.core.network_receive_bytes_per_s)


def _sent(node: Node, _sight: Sight, _width: int) -> Pieces:
    return rate(node.core.network_transmit_bytes_per_s)


def _uptime(node: Node, _sight: Sight, width: int) -> Pieces:
    up_s = node.core.uptime_s
    if up_s is None:
        return (Piece(formats.ABSENT, Tone.FAINT),)
    return (Piece(formats.duration(up_s) if width >= 8 else formats.age(up_s), Tone.MUTED),)


def _age(node: Node, sight: Sight, _width: int) -> Pieces:
    age_s = node.age_s(sight.moment)
    if age_s is None:
        return (Piece("never", Tone.FAINT),)
    about = "~" if node.vitals.seen_mono_ms is None else ""
    tone = mark(node.state).tone if node.is_stale(sight.moment) else Tone.MUTED
    return (Piece(about + formats.age(age_s), tone),)


def _note(node: Node, sight: Sight, width: int) -> Pieces:
    """Why and since when, for whatever is not simply up; else how the node is labelled."""
    if node.state == State.UP and not node.is_problem:
        labels = " ".join(f"{key}={value}" for key, value in node.profile.labels.items())
        return (Piece(shorten(labels, width), Tone.AWAY),)
    tone = Tone.WARM if node.state == State.UP else mark(node.state).tone
    when = since(node, sight.moment)
    flapping = f"{FLAPPING} flapping" * node.vitals.flapping
    why = " · ".join(filter(None, (flapping, node.reason)))
    if not why:
        return (Piece(shorten(when, width), Tone.MUTED),)
    room = width - cell_len(when) - 3
    if room < cell_len(why):
        return (Piece(shorten(why, width), tone),)
    return Piece(why, tone), Piece(f" · {when}", Tone.MUTED)


COLUMNS: Final = (
    Column("state", "state", 8, 16, _state),
    Column("name", "name", 12, 32, _name),
    Column("cpu", "cpu", 4, 13, _cpu, is_number=True, is_measured=True),
    Column("trail", "cpu trail", 9, 16, _trail, is_measured=True, leaves=1, is_extra=True),
    Column("memory", "mem", 4, 13, _memory, is_number=True, is_measured=True),
    Column("swap", "swap", 4, 4, _swap, is_number=True, is_measured=True, leaves=3, is_extra=True),
    Column("load", "load", 5, 5, _load, is_number=True, is_measured=True, leaves=2),
    Column(
        "per-core",
        "/core",
        5,
        5,
        _per_core,
        is_number=True,
        is_measured=True,
        leaves=5,
        is_extra=True,
    ),
    Column("fullest", "fullest", 9, 20, _fullest, is_measured=True, leaves=4),
    Column("received", "in/s", 5, 5, _received, is_number=True, is_measured=True, leaves=5),
    Column("sent", "out/s", 5, 5, _sent, is_number=True, is_measured=True, leaves=6),
    Column(
        "temperature",
        "temp",
        4,
        4,
        _temperature,
        is_number=True,
        is_measured=True,
        leaves=2,
        is_extra=True,
    ),
    Column("uptime", "up", 4, 8, _uptime, is_number=True, is_measured=True, leaves=3),
    Column("age", "age", 5, 5, _age, is_number=True, leaves=1),
    Column("labels", "labels", 16, 40, _labels, leaves=6, is_extra=True),
    Column("note", "note", NOTE_LEAST, 80, _note, leaves=4, is_extra=True),
)
"""Every column, from the left."""

BY_KEY: Final[Mapping[str, Column]] = {column.key: column for column in COLUMNS}

DEFAULT: Final = tuple(c.key for c in COLUMNS if c.key not in {"per-core", "labels"})
"""Those shown unless the user chooses others: the note tells the labels of what is up."""


def chosen(keys: Iterable[str]) -> tuple[Column, ...]:
    """The columns with these keys, in this order; what is not known here is left out."""
    known = tuple(BY_KEY[key] for key in dict.fromkeys(keys) if key in BY_KEY)
    return known or chosen(DEFAULT)
