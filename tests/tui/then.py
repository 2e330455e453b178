"""A master that has a history, for tests: what it answers about the past."""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import structs

from shared import messages as m
from shared.liveness import State
from tests.tui import details
from tests.tui.fleets import WALL_MS, core, info, vitals

MINUTE_MS: Final = 60_000


def fleet_at(
    request: m.FromViewer, states: Mapping[str, str], *, part: int = 100
) -> Iterator[m.FleetAt]:
    """The answer to `GetFleetAt`, `part` nodes at a time: all last beat 3 s before."""
    assert isinstance(request, m.GetFleetAt)
    names, at_ms = list(states), request.at_wall_ms
    for begin in range(0, max(1, len(names)), part):
        some = names[begin : begin + part]
        yield m.FleetAt(
            request.request,
            at_ms,
            tuple(map(info, some)),
            tuple(vitals_at(name, at_ms, states[name]) for name in some),
            begin + part >= len(names),
        )


def vitals_at(name: str, at_ms: int, state: str = State.UP) -> m.NodeVitals:
    """A node as a master tells of it: without its own monotonic clock."""
    return vitals(
        name,
        state,
        seen_mono_ms=None,
        seen_wall_ms=at_ms - 3_000,
        since_wall_ms=at_ms - 600_000,
        core=m.raw(core(cpu_busy_bp=7_700)),
    )


def node_at(request: m.FromViewer, state: str = State.UP) -> m.NodeAt:
    """The answer to `GetNodeAt`: every family, measured 2 s before."""
    assert isinstance(request, m.GetNodeAt)
    name, at_ms = request.node.removeprefix("id-"), request.at_wall_ms
    families = tuple(
        m.FamilySample(family, 0, at_ms - 2_000, period_ms, m.raw(data))
        for family, (data, period_ms) in details.all_families(5).items()
    )
    return m.NodeAt(
        request.request,
        at_ms,
        info(name),
        vitals_at(name, at_ms, state),
        m.raw(details.INVENTORY),
        families,
    )


def outage(name: str, ago_min: float, lasted_min: float | None, **changes: object) -> m.Outage:
    """One that began so long before `WALL_MS`."""
    from_ms = WALL_MS - round(ago_min * MINUTE_MS)
    to_ms = None if lasted_min is None else from_ms + round(lasted_min * MINUTE_MS)
    told = m.Outage(1, f"id-{name}", name, from_ms, from_ms + 12_000, to_ms, "host-rebooted", ())
    return structs.replace(told, **changes)


def coverage(
    request: m.FromViewer, gaps: Mapping[str, tuple[m.Gap, ...]], *, is_last: bool = True
) -> m.CoverageOf:
    """The answer to `GetCoverage`."""
    assert isinstance(request, m.GetCoverage)
    begin_ms, end_ms = request.from_wall_ms, request.to_wall_ms
    rows = tuple(
        m.Coverage(f"id-{name}", name, begin_ms, end_ms, 720, 700, 0, 20, 0, 0, found)
        for name, found in gaps.items()
    )
    return m.CoverageOf(request.request, rows, is_last)


def gap(ago_min: float, lasted_min: float, kind: str = "lost") -> m.Gap:
    """One that began so long before `WALL_MS`."""
    from_ms = WALL_MS - round(ago_min * MINUTE_MS)
    return m.Gap(from_ms, from_ms + round(lasted_min * MINUTE_MS), kind, 12)
