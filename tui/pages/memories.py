"""Memory and swap: how full, of what, and the traffic between them."""

from typing import Final

from shared.families import Memory, Swap
from tui.look import Look
from tui.pages.overview import ratio_graph
from tui.pages.page import Scene, Sheet, waiting
from tui.pages.parts import bar, facts, heading, rate, size
from tui.tones import Piece, Pieces, Tone, meter

_GRAPH_LINES: Final = 5
_BAR: Final = 30

_KINDS: Final = ("free", "cached", "buffers", "shared", "active", "inactive", "slab")


def memory(scene: Scene) -> Sheet:
    """Physical memory by use, over time, and swap space."""
    physical, swap = scene.focus.data(Memory), scene.focus.data(Swap)
    if physical is None and swap is None:
        return Sheet(waiting("memory"))
    body: list[Pieces] = []
    if physical is not None:
        body += _physical(scene, physical)
    if swap is not None:
        body += [(), *_swap(scene.sight.look, swap)]
    return Sheet(body)


def _physical(scene: Scene, physical: Memory) -> list[Pieces]:
    look = scene.sight.look
    rows: dict[str, Pieces] = {
        "total": size(physical.total_bytes),
        "used": (
            *bar(physical.used_ratio, _BAR, look),
            Piece("  "),
            *size(physical.total_bytes - physical.available_bytes),
        ),
        "available": _portion(physical.available_bytes, physical.total_bytes),
    }
    for kind in _KINDS:
        rows[kind] = _portion(getattr(physical, f"{kind}_bytes"), physical.total_bytes)
    graph = ratio_graph(scene, "memory", scene.width - 2, _GRAPH_LINES)
    return [heading("Memory"), *((Piece(" "), *row) for row in graph), *facts(rows)]


def _portion(part: int | None, whole: int) -> Pieces:
    if part is None or not whole:
        return size(part)
    ratio = min(1.0, part / whole)
    share = Piece(f"{ratio:>5.0%}", Tone.MUTED)
    return (*meter(ratio, _BAR, Tone.SERIES), share, Piece("  "), *size(part))


def _swap(look: Look, swap: Swap) -> list[Pieces]:
    if not swap.total_bytes:
        return [heading("Swap", "this host has none")]
    used: Pieces = (*bar(swap.used_ratio, _BAR, look), Piece("  "), *size(swap.used_bytes))
    rows = {
        "total": size(swap.total_bytes),
        "used": used,
        "read back": rate(swap.in_bytes_per_s),
        "written out": rate(swap.out_bytes_per_s),
    }
    return [heading("Swap"), *facts(rows)]
