"""The overview: graphs that grow while one looks, and what the host is about."""

from collections.abc import Iterator, Sequence
from typing import Final

from shared.families import Connections, Processes, System, Users
from shared.metrics import Core
from tui import formats
from tui.curves import with_tail
from tui.graphs import Drawn, area, ceiling, columns_per_cell
from tui.pages.page import Scene, Sheet
from tui.pages.parts import beside, facts, known, muted, percent, rate, size, width_of
from tui.tones import Piece, Pieces, Tone

_BOX_LEAST: Final = 36
_GRAPH_LEAST: Final = 2
_GRAPH_MOST: Final = 20
RATE_LEAST: Final = 16 * 1024.0
"""Bytes a second: a graph of less is of noise."""

_FACT_LINES: Final = 6


def overview(scene: Scene) -> Sheet:
    """Processors, memory, network, disks, load and temperature over the last minutes."""
    across = min(3, max(1, scene.width // _BOX_LEAST))
    boxes_down = -(-6 // across)
    room = scene.height - _FACT_LINES - boxes_down
    height = min(_GRAPH_MOST, max(_GRAPH_LEAST, room // boxes_down))
    widths = [scene.width // across] * across
    boxes = list(_boxes(scene, widths[0] - 2, height))
    body: list[Pieces] = []
    for first in range(0, len(boxes), across):
        blocks = boxes[first : first + across]
        body += beside(blocks, widths[: len(blocks)])
    half = scene.width // 2
    left, right = _facts(scene)
    return Sheet([*body, (), *beside([facts(left), facts(right)], [half, scene.width - half])])


def series(scene: Scene, field: str, width: int) -> Drawn:
    """A field of the trail, or of the history, for a graph of `width` cells up to now, or then."""
    count = width * columns_per_cell(scene.sight.look.symbols)
    now_ms = scene.sight.moment.master_mono_ms
    if scene.curves is None or scene.stretch is None:
        if now_ms is None:
            return Drawn((None,) * count)
        step_ms = scene.choices.zoom.step_s * 1000
        return Drawn(scene.focus.trail.series(field, now_ms, step_ms=step_ms, count=count))
    dots = scene.curves.dots(scene.stretch, field, count)
    if now_ms is not None:
        length_ms = scene.stretch.end_wall_ms - scene.stretch.begin_wall_ms
        dots = with_tail(dots, scene.focus.trail, field, now_ms, length_ms / max(1, count))
    return Drawn(
        [None if dot is None else dot.mean for dot in dots],
        [None if dot is None else dot.most for dot in dots],
    )


def ratio_graph(
    scene: Scene, field: str, width: int, height: int, tone: Tone | None = None
) -> tuple[Pieces, ...]:
    """A graph of parts of a whole."""
    return area(series(scene, field, width), 1.0, height, scene.sight.look, tone)


def _boxes(scene: Scene, width: int, height: int) -> Iterator[list[Pieces]]:
    core, look = scene.node.core, scene.sight.look
    yield _ratio_box(scene, "cpu", _share(core.cpu_busy_bp), width, height)
    yield _ratio_box(scene, "memory", _share(core.memory_used_bp), width, height)
    received, sent = core.network_receive_bytes_per_s, core.network_transmit_bytes_per_s
    yield _rate_box(scene, "network", (("received", received), ("sent", sent)), width, height)
    read, written = core.disk_read_bytes_per_s, core.disk_write_bytes_per_s
    yield _rate_box(scene, "disks", (("read", read), ("written", written)), width, height)
    load = series(scene, "load", width)
    top = ceiling(load.all, float(core.cpu_count or 1))
    now = (Piece("load  ", Tone.BRAND), *known(formats.load(core.load_1m_centi)))
    rows = area(load, top, height, look, Tone.SERIES)
    yield [_title(now, muted(_load_scale(core.cpu_count, top)), width), *map(_indented, rows)]
    temperature = series(scene, "temperature", width)
    now = (Piece("hottest  ", Tone.BRAND), *known(formats.temperature(core.temperature_max_dc)))
    rows = area(temperature, 100, height, look, Tone.SERIES)
    yield [_title(now, muted("of 100°"), width), *map(_indented, rows)]


def _load_scale(cpu_count: int | None, top: float) -> str:
    """What the height of the graph stands for, beside what the load has to share."""
    if cpu_count is None:
        return f"up to {top:g}"
    cpus = f"{cpu_count} cpu{'s' * (cpu_count != 1)}"
    return f"of {cpus}" if top == cpu_count else f"{cpus}, up to {top:g}"


def _ratio_box(
    scene: Scene, field: str, ratio: float | None, width: int, height: int
) -> list[Pieces]:
    rows = ratio_graph(scene, field, width, height)
    now = (Piece(f"{field}  ", Tone.BRAND), *percent(ratio, scene.sight.look))
    return [_title(now, muted("of 100%"), width), *map(_indented, rows)]


def _rate_box(
    scene: Scene,
    name: str,
    flows: Sequence[tuple[str, float | None]],
    width: int,
    height: int,
) -> list[Pieces]:
    """Two flows, one over the other, by the same measure."""
    drawn = [series(scene, field, width) for field, _ in flows]
    top = ceiling([value for values in drawn for value in values.all], RATE_LEAST)
    title: list[Piece] = [Piece(name, Tone.BRAND)]
    lines: list[Pieces] = []
    heights = (height - height // 2, height // 2)
    tones = (Tone.SERIES, Tone.OTHER)
    for (field, now), values, rows, tone in zip(flows, drawn, heights, tones, strict=True):
        title += (Piece(f"  {field} ", tone), *rate(now))
        if rows:
            lines += area(values, top, rows, scene.sight.look, tone)
    scale = muted(f"of {formats.size(round(top))}/s")
    return [_title(tuple(title), scale, width), *map(_indented, lines)]


def _title(left: Pieces, right: Pieces, width: int) -> Pieces:
    room = width - width_of(left) - width_of(right) - 2
    if room < 0:
        return _indented(left)
    return _indented((*left, Piece(f" {'─' * room} ", Tone.FAINT), *right))


def _indented(pieces: Pieces) -> Pieces:
    return Piece(" "), *pieces


def _share(basis_points: int | None) -> float | None:
    return None if basis_points is None else basis_points / 10_000


def _facts(scene: Scene) -> tuple[dict[str, Pieces], dict[str, Pieces]]:
    core, focus = scene.node.core, scene.focus
    system, users = focus.data(System), focus.data(Users)
    processes, connections = focus.data(Processes), focus.data(Connections)
    left = {
        "up": known(formats.duration(system.uptime_s if system else core.uptime_s)),
        "processors": _processors(scene, core),
        "memory": known(formats.size_kib(core.memory_total_kib)),
        "processes": known(_counted(processes.total if processes else core.processes)),
        "threads": known(_counted(processes.threads if processes else core.threads)),
    }
    who = sorted({session.user for session in users.sessions}) if users else []
    right = {
        "users": known(", ".join(who) if who else _counted(core.users)),
        "tcp": known(_counted(core.tcp_established)),
        "listening": known(
            _counted(len(connections.listening) if connections else core.tcp_listening)
        ),
        "agent cpu": percent(system.agent_cpu_ratio if system else None, scene.sight.look),
        "agent memory": size(system.agent_memory_bytes if system else None),
    }
    return left, right


def _processors(scene: Scene, core: Core) -> Pieces:
    model = scene.focus.inventory.cpu_model if scene.focus.inventory else None
    count = _counted(core.cpu_count)
    return known(f"{count} × {model}" if model else count)


def _counted(number: int | None) -> str:
    return formats.count(number)
