"""The processors: what they do together, over time, and each for itself."""

from typing import Final

from shared.families import Cpu, CpuTimes
from tui import formats
from tui.look import Look
from tui.pages.overview import ratio_graph
from tui.pages.page import Scene, Sheet, waiting
from tui.pages.parts import bar, beside, facts, heading, known, muted, number, percent
from tui.tones import Piece, Pieces, Tone

_CORE_LEAST: Final = 24
_CORE_MOST: Final = 40
_GRAPH_LINES: Final = 6

_PARTS: Final = ("user", "system", "iowait", "irq", "steal")


def processors(scene: Scene) -> Sheet:
    """Times in total and per core, clock, load, switches."""
    cpu = scene.focus.data(Cpu)
    if cpu is None:
        return Sheet(waiting("processor times"))
    look = scene.sight.look
    width = scene.width - 2
    graph = ratio_graph(scene, "cpu", width, _GRAPH_LINES)
    body: list[Pieces] = [_total(cpu.total, look)]
    body += ((Piece(" "), *row) for row in graph)
    body += [(), *_loads(scene, cpu)]
    if cpu.cores:
        body += [(), heading("Cores", f"{len(cpu.cores)}"), *_cores(cpu.cores, scene.width, look)]
    return Sheet(body)


def _total(times: CpuTimes | None, look: Look) -> Pieces:
    if times is None:
        return muted(" busy –")
    pieces: list[Piece] = [Piece(" busy ", Tone.MUTED), *percent(times.busy_ratio, look)]
    for part in _PARTS:
        ratio: float | None = getattr(times, f"{part}_ratio")
        pieces += (Piece(f"   {part} ", Tone.MUTED), *percent(ratio, look))
    return tuple(pieces)


def _loads(scene: Scene, cpu: Cpu) -> list[Pieces]:
    loads = (cpu.load_1m, cpu.load_5m, cpu.load_15m)
    text = "  ".join(formats.load(None if each is None else round(each * 100)) for each in loads)
    clock = formats.ABSENT if cpu.frequency_mhz is None else f"{cpu.frequency_mhz:,.0f} MHz"
    if cpu.frequency_max_mhz:
        clock += f" of {cpu.frequency_max_mhz:,.0f}"
    left = {"load 1 5 15 min": known(text), "clock": known(clock)}
    right = {
        "context switches /s": number(cpu.context_switches_per_s),
        "interrupts /s": number(cpu.interrupts_per_s),
    }
    half = scene.width // 2
    return beside([facts(left), facts(right)], [half, scene.width - half])


def _cores(cores: tuple[CpuTimes, ...], width: int, look: Look) -> list[Pieces]:
    """A bar each, down one column and then the next."""
    across = max(1, min(width // _CORE_LEAST, len(cores)))
    each = min(_CORE_MOST, width // across)
    down = -(-len(cores) // across)
    digits = len(str(len(cores) - 1))
    bars: list[Pieces] = [
        (
            Piece(f" {place:>{digits}} ", Tone.MUTED),
            *bar(times.busy_ratio, each - digits - 8, look),
        )
        for place, times in enumerate(cores)
    ]
    blocks = [bars[first : first + down] for first in range(0, len(bars), down)]
    return beside(blocks, [each] * len(blocks))
