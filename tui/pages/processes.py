"""The process table: in any order, filtered by text, or as the tree that it is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.families import Process, Processes
from tui import formats
from tui.look import Look
from tui.pages.page import Choices, Scene, Sheet, waiting
from tui.pages.parts import Field, cell, known, muted, number, percent, size, table
from tui.tones import Piece, Pieces, Tone


@dataclass(frozen=True, slots=True)
class Order:
    """One way to sort, by the title of its column."""

    title: str
    hotkey: str
    of: Callable[[Process], float | str]
    """Largest first; texts from the beginning of the alphabet."""


ORDERS: Final[Mapping[str, Order]] = {
    "cpu": Order("cpu", "c", lambda p: -1.0 if p.cpu_ratio is None else p.cpu_ratio),
    "memory": Order("memory", "m", lambda p: p.rss_bytes),
    "pid": Order("pid", "p", lambda p: -p.pid),
    "name": Order("name", "n", lambda p: p.name.casefold()),
    "user": Order("user", "u", lambda p: (p.user or "").casefold()),
    "threads": Order("threads", "d", lambda p: p.threads),
    "age": Order("age", "a", lambda p: p.age_s or 0.0),
}
"""Every order, by its name."""

_FIELDS: Final = (
    Field("pid", is_number=True),
    Field("user", most=16, leaves=2),
    Field("state", most=10, leaves=3),
    Field("cpu", is_number=True),
    Field("memory", is_number=True),
    Field("threads", is_number=True, leaves=4),
    Field("age", is_number=True, leaves=5),
    Field("name", most=400, is_flexible=True),
)

_WORRYING: Final = frozenset({"zombie", "stopped", "disk-sleep", "dead"})


def processes(scene: Scene) -> Sheet:
    """Counts of all, and the largest in full."""
    measured = scene.focus.data(Processes)
    if measured is None:
        return Sheet(waiting("processes"))
    choices = scene.choices
    chosen = _chosen(measured.largest, choices)
    rows = [_row(process, indent, scene.sight.look) for process, indent in chosen]
    titles, lines = table(
        _FIELDS, rows, scene.width, title=lambda field: _title(field.title, choices)
    )
    return Sheet(lines, [_tally(measured, len(rows), choices), titles])


def order_at(scene: Scene, x: int) -> str | None:
    """Which order the title at cell `x` stands for."""
    titles = processes(scene).head
    if not titles:
        return None
    end = 0
    for text, _ in titles[-1]:
        end += len(text)
        if x < end:
            return next((name for name in ORDERS if text.strip(" ▼▲") == name), None)
    return None


def _chosen(largest: Sequence[Process], choices: Choices) -> list[tuple[Process, str]]:
    """The rows with what stands before their names."""
    wanted = choices.text.casefold()
    found = [process for process in largest if wanted in _searchable(process)]
    order = ORDERS.get(choices.process_order, ORDERS["cpu"])
    is_text = order.title in {"name", "user"}
    found.sort(key=lambda process: process.pid)
    found.sort(key=order.of, reverse=is_text is choices.is_reversed)
    if choices.is_tree:
        return list(_tree(found))
    return [(process, "") for process in found]


def _tree(ordered: Sequence[Process]) -> Iterator[tuple[Process, str]]:
    """Children beneath their parents, both in the given order. A loop of parents loses nobody."""
    pids = {process.pid for process in ordered}
    children: dict[int, list[Process]] = {}
    roots: list[Process] = []
    for process in ordered:
        if process.parent_pid in pids and process.parent_pid != process.pid:
            children.setdefault(process.parent_pid, []).append(process)
        else:
            roots.append(process)
    shown: set[int] = set()
    for root in (*roots, *ordered):
        stack = [(root, "", "")]
        while stack:
            process, lead, below = stack.pop()
            if process.pid in shown:
                continue
            shown.add(process.pid)
            yield process, lead
            inner = children.get(process.pid, [])
            for place, child in reversed(list(enumerate(inner))):
                is_last = place == len(inner) - 1
                branch, further = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
                stack.append((child, below + branch, below + further))


def _searchable(process: Process) -> str:
    parts = (str(process.pid), process.name, process.user or "", process.command_line or "")
    return "\n".join(parts).casefold()


def _row(process: Process, lead: str, look: Look) -> tuple[Pieces, ...]:
    name: list[Piece] = [Piece(lead, Tone.FAINT), Piece(process.name)]
    if process.command_line and process.command_line != process.name:
        name.append(Piece(f"  {process.command_line}", Tone.MUTED))
    state_tone = Tone.WARM if process.state in _WORRYING else Tone.MUTED
    return (
        cell(str(process.pid)),
        muted(process.user or formats.ABSENT),
        cell(process.state, state_tone),
        percent(process.cpu_ratio, look),
        size(process.rss_bytes),
        number(process.threads),
        muted(formats.age(process.age_s)),
        tuple(name),
    )


def _title(title: str, choices: Choices) -> Pieces:
    if title == choices.process_order:
        return cell(f"{title}{'▲' if choices.is_reversed else '▼'}", Tone.BRAND)
    return cell(title, Tone.AWAY)


def _tally(measured: Processes, shown: int, choices: Choices) -> Pieces:
    pieces: list[Piece] = [
        Piece(" "),
        *known(formats.count(measured.total)),
        Piece(" processes, ", Tone.MUTED),
        *known(formats.count(measured.threads)),
        Piece(" threads", Tone.MUTED),
    ]
    if shown < measured.total or choices.text:
        what = f' with "{choices.text}"' if choices.text else ""
        pieces.append(Piece(f", {shown} shown{what}", Tone.MUTED))
    for state, count in sorted(measured.by_state.items(), key=lambda item: -item[1]):
        pieces.append(Piece(f"   {state} {count}", Tone.WARM if state in _WORRYING else Tone.MUTED))
    return tuple(pieces)
