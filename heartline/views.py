"""Nodes on the screen: a row of the table, everything about one, and the same for programs."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from heartline import reliability
from heartline.fleet import Node, node_of
from heartline.plain import plain
from heartline.tables import Cell, Column
from heartline.times import moment, on_screen
from heartline.values import text_of
from shared import messages as m
from shared.families import decode_family
from shared.inventory import Inventory
from shared.liveness import State
from shared.metrics import Core, metrics
from shared.text import clean
from tui import formats

_COLORS: Final[Mapping[str, str]] = {
    State.UP: "green",
    State.LATE: "yellow",
    State.HUNG: "yellow",
    State.AWAITED: "yellow",
    State.JOINING: "cyan",
    State.LOST: "red",
    State.DOWN: "red",
}

_INDEX: Final = "filesystem_fullest"
"""A position in the inventory: of no use to people."""

COLUMNS: Final = (
    Column("STATE"),
    Column("NAME", flexible=True),
    Column("FOR", right=True),
    Column("SEEN", right=True),
    Column("CPU", right=True),
    Column("MEM", right=True),
    Column("LOAD", right=True),
    Column("ADDRESS", flexible=True),
    Column("LABELS", flexible=True),
    Column("REASON", flexible=True),
)


def row(node: Node, now_wall_ms: int) -> list[str | Cell]:
    """A node in the order of `COLUMNS`; what a node was like before it fell silent is not shown."""
    core = node.core or Core()
    alive = node.state in {State.UP, State.LATE}
    return [
        Cell(node.state, _COLORS.get(node.state)),
        node.name,
        formats.age(_for_s(node, now_wall_ms)),
        formats.age(node.last_seen_s),
        formats.percent(core.cpu_busy_bp if alive else None),
        formats.percent(core.memory_used_bp if alive else None),
        formats.load(core.load_1m_centi if alive else None),
        node.address,
        _labels(node),
        ": ".join(filter(None, ("identity conflict" if node.conflict else "", node.reason))),
    ]


def _for_s(node: Node, now_wall_ms: int) -> float | None:
    return None if node.since is None else now_wall_ms / 1000 - node.since.timestamp()


def _labels(node: Node) -> str:
    return ",".join(f"{key}={value}" for key, value in node.labels.items())


def inventory_of(detail: m.NodeDetail) -> Inventory | None:
    """What the node said of its hardware and system; None before it did."""
    try:
        return msgspec.msgpack.decode(detail.inventory, type=Inventory | None)
    except msgspec.DecodeError:
        return None


def summary(node: Node, inventory: Inventory | None, now_wall_ms: int) -> Iterator[tuple[str, str]]:
    """Who the node is and how it fares, as names and values; empty values are nothing to show."""
    yield "name", node.name
    yield "id", node.id
    yield "state", f"{node.state} for {formats.duration(_for_s(node, now_wall_ms))}"
    yield "reason", node.reason
    yield "conflict", "two hosts use this identity" if node.conflict else ""
    yield (
        "last seen",
        "never" if node.last_seen_s is None else formats.age(node.last_seen_s) + " ago",
    )
    yield "address", node.address
    yield "labels", _labels(node)
    yield "note", node.note
    yield "first seen", on_screen(node.first_seen)
    yield "certificate", "valid until " + on_screen(node.certificate_expires)
    yield "beats", f"every {node.period_s:g} s"
    yield "agent", node.agent_version
    yield "os", node.os
    for trouble in node.troubles:
        yield "trouble", f"{trouble.family} {trouble.state} for {trouble.age_s} s: {trouble.text}"
    if inventory is not None:
        yield from _hardware(inventory)


def _hardware(inventory: Inventory) -> Iterator[tuple[str, str]]:
    yield "kernel", clean(f"{inventory.kernel} ({inventory.architecture})")
    cores = f"{inventory.cpu_logical} × " if inventory.cpu_logical else ""
    yield "processors", clean(f"{cores}{inventory.cpu_model or inventory.architecture}")
    yield "memory", formats.size_kib(inventory.memory_total_kib)
    for filesystem in inventory.filesystems:
        size = formats.size_kib(filesystem.total_kib)
        yield "filesystem", clean(f"{filesystem.mount} ({filesystem.type}, {size})")
    for interface in inventory.interfaces:
        addresses = ", ".join(interface.addresses) or "no address"
        yield (
            "interface",
            clean(f"{interface.name} {'up' if interface.up else 'down'}: {addresses}"),
        )


def vital_signs(core: Core) -> Iterator[tuple[str, str]]:
    """Every core metric that is known, with its unit."""
    for metric in metrics():
        value: int | None = getattr(core, metric.name)
        if value is not None and metric.name != _INDEX:
            yield metric.description, text_of(metric.name, value)


def time_to_detect(detail: m.NodeDetail) -> Iterator[tuple[str, str]]:
    """How soon it would be noticed if the node fell silent after its last beat."""
    found = detail.time_to_detect
    if found is None:
        return
    yield (
        "found out",
        f"late after {_seconds(found.late_ms)}; down after {_seconds(found.down_ms)} if its host "
        f"is gone, {_seconds(found.hung_down_ms)} if its agent hangs, and "
        f"{_seconds(found.lost_down_ms)} after its link breaks",
    )
    yield "margin", f"{_seconds(found.margin_ms)}, for the lateness of its beats"


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.1f} s"


def detail_of(detail: m.NodeDetail, now_wall_ms: int) -> dict[str, object]:
    """Everything about a node, for programs: as in `nodes --json`, with inventory and families."""
    node = node_of(detail.info, detail.vitals, detail.now_mono_ms, now_wall_ms)
    families: dict[str, object] = {}
    for sample in detail.families:
        data = _family(sample)
        if data is not None:
            families[clean(sample.family)] = {
                "measured": plain(moment(sample.wall_ms)),
                "period_s": sample.period_ms / 1000,
                "data": data,
            }
    return {
        **{key: plain(value) for key, value in msgspec.structs.asdict(node).items()},
        **reliability.detail_of(detail, now_wall_ms),
        "time_to_detect": _time_to_detect_of(detail),
        "inventory": plain(inventory_of(detail)),
        "families": families,
    }


def _time_to_detect_of(detail: m.NodeDetail) -> dict[str, float] | None:
    found = detail.time_to_detect
    if found is None:
        return None
    return {
        f"{name.removesuffix('_ms')}_s": value / 1000
        for name, value in msgspec.structs.asdict(found).items()
    }


def _family(sample: m.FamilySample) -> object:
    """A family by its names; None for one that this version does not know or cannot read."""
    try:
        return plain(decode_family(sample.family, sample.data))
    except msgspec.DecodeError:
        return None
