"""How long a node has been as it is, told by the master's clocks alone.

The instant at which a state began is on the master's wall clock, which need not agree with the
viewer's. What the master said of the last sign of life, on both of its clocks, is what bridges the
two. Pure.
"""

from typing import Final

from shared.causes import lasting
from shared.liveness import State
from tui import formats
from tui.fleet import Fleet
from tui.moment import Moment
from tui.node import Node

PASSING: Final = frozenset({State.LATE, State.HUNG, State.LOST, State.JOINING, State.AWAITED})
"""States that no node stays in: how long matters more than since when."""

PASSED_WIDTH: Final = len(" 9.9 s")
"""Room for how long that usually takes."""


def master_wall_ms(node: Node, moment: Moment) -> int:
    """What the master's wall clock says; the viewer's, where the node does not tell."""
    seen_mono_ms, seen_wall_ms = node.vitals.seen_mono_ms, node.vitals.seen_wall_ms
    if seen_mono_ms is None or seen_wall_ms is None or moment.master_mono_ms is None:
        return moment.wall_ms
    return seen_wall_ms + round(moment.master_mono_ms - seen_mono_ms)


def fleet_wall_ms(fleet: Fleet, moment: Moment) -> int:
    """The same by the first node that tells."""
    told = (node for node in fleet.rows if node.vitals.seen_mono_ms is not None)
    node = next(told, None)
    return moment.wall_ms if node is None else master_wall_ms(node, moment)


def in_state_s(node: Node, moment: Moment) -> float:
    """Seconds since the node's state began."""
    return max(0, master_wall_ms(node, moment) - node.vitals.since_wall_ms) / 1000


def lasted(node: Node, moment: Moment) -> str:
    """`3.2 s` of a state that passes; empty of one that lasts."""
    return lasting(in_state_s(node, moment)) if node.state in PASSING else ""


def since(node: Node, moment: Moment) -> str:
    """`for 3.2 s` of a state that passes, `since 14:03:22` of one that lasts."""
    if passed := lasted(node, moment):
        return f"for {passed}"
    return f"since {formats.clock_time(node.vitals.since_wall_ms, moment.wall_ms)}"
