"""The nodes as the command line shows them: one flat record each, made from what the master sent.

Everything is cleaned here, once: the names and texts came from agents.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from heartline.times import moment
from shared import messages as m
from shared.liveness import SEVERITY
from shared.metrics import Core
from shared.text import NAME_LIMIT_CHARACTERS, clean

_SEVERITY: Final[Mapping[str, int]] = {state: place for place, state in enumerate(SEVERITY)}

_CORE: Final[msgspec.msgpack.Decoder[Core | None]] = msgspec.msgpack.Decoder(Core | None)


class Node(Struct, frozen=True, kw_only=True):
    """One node. The fields, in this order, are the keys of `nodes --json`."""

    id: str
    name: str
    state: str
    since: datetime | None
    reason: str
    address: str
    labels: dict[str, str]
    last_seen_s: float | None
    """Seconds since the last sign of life; None: never."""
    note: str
    os: str
    agent_version: str
    first_seen: datetime | None
    certificate_expires: datetime | None
    period_s: float
    conflict: bool
    troubles: list[m.Trouble]
    core: Core | None


class NodeThen(Node, frozen=True, kw_only=True):
    """One node as it was at an instant. Ages are as of then."""

    sample_wall_ms: int | None
    """When the values were measured, by the master's clock; None: nothing near that instant."""


def nodes_of(pieces: Sequence[m.Snapshot], now_wall_ms: int) -> list[Node]:
    """The fleet, problems first, then by name."""
    infos = {info.node_id: info for piece in pieces for info in piece.infos}
    nodes = [
        node_of(infos[vitals.node_id], vitals, piece.now_mono_ms, now_wall_ms)
        for piece in pieces
        for vitals in piece.vitals
        if vitals.node_id in infos
    ]
    return sorted(nodes, key=_problems_first)


def nodes_then(pieces: Sequence[m.FleetAt]) -> list[NodeThen]:
    """The fleet as it was, problems first, then by name."""
    infos = {info.node_id: info for piece in pieces for info in piece.infos}
    nodes = [
        NodeThen(
            **msgspec.structs.asdict(node_of(infos[vitals.node_id], vitals, 0, piece.at_wall_ms)),
            sample_wall_ms=vitals.seen_wall_ms,
        )
        for piece in pieces
        for vitals in piece.vitals
        if vitals.node_id in infos
    ]
    return sorted(nodes, key=_problems_first)


def node_of(info: m.NodeInfo, vitals: m.NodeVitals, now_mono_ms: int, now_wall_ms: int) -> Node:
    """One node, from the two halves in which it travels."""
    return Node(
        id=clean(info.node_id, NAME_LIMIT_CHARACTERS),
        name=clean(info.name, NAME_LIMIT_CHARACTERS),
        state=clean(vitals.state, NAME_LIMIT_CHARACTERS),
        since=moment(vitals.since_wall_ms),
        reason=clean(vitals.reason),
        address=clean(info.address),
        labels={clean(key): clean(value) for key, value in sorted(info.labels.items())},
        last_seen_s=_last_seen_s(vitals, now_mono_ms, now_wall_ms),
        note=clean(info.note),
        os=clean(info.os),
        agent_version=clean(info.agent_version),
        first_seen=moment(info.first_seen_wall_ms),
        certificate_expires=moment(info.certificate_expires_wall_ms),
        period_s=vitals.period_ms / 1000,
        conflict=vitals.conflict,
        troubles=[
            msgspec.structs.replace(trouble, family=clean(trouble.family), text=clean(trouble.text))
            for trouble in vitals.troubles
        ],
        core=core_of(vitals.core),
    )


def core_of(raw: msgspec.Raw) -> Core | None:
    """The vital signs of a beat; None before the first, and for what are none."""
    try:
        return _CORE.decode(raw)
    except msgspec.DecodeError:
        return None


def severity(state: str) -> int:
    """The state's place in the order of problems; a state not known here comes first."""
    return _SEVERITY.get(state, -1)


def _problems_first(node: Node) -> tuple[int, str, str]:
    return severity(node.state), node.name, node.id


def _last_seen_s(vitals: m.NodeVitals, now_mono_ms: int, now_wall_ms: int) -> float | None:
    if vitals.seen_mono_ms is not None:
        return max(0, now_mono_ms - vitals.seen_mono_ms) / 1000
    if vitals.seen_wall_ms is not None:
        # Before the master's own restart: only its record is left, by the clock of this same host.
        return max(0, now_wall_ms - vitals.seen_wall_ms) / 1000
    return None
