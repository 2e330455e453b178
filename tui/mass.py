"""Many nodes gone at once: what the banner says of it, and when it has been said long enough.

The master tells a mass event once, as text, right after it has told the falls that make it. Which
nodes those are is read from the events before it; those that follow within moments fell with them.
The banner goes when all of them are back, and in any case after `SHOWN_S`. Pure.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from shared.causes import lasting
from shared.liveness import State
from shared.messages import Event
from tui import formats
from tui.fleet import Fleet
from tui.tones import Piece, Pieces, Tone, mark

SHOWN_S: Final = 300.0

WINDOW_PERIODS: Final = 2
"""So many periods before and after the event a fall belongs to it; the master counts likewise."""

_PERIOD_MS: Final = 5_000
"""Of a node that is no longer known."""

_FALLEN: Final = frozenset({State.LATE, State.LOST})
_BACK: Final = frozenset({State.UP, State.LEFT, State.REVOKED})


class Mass(NamedTuple):
    """One mass event."""

    text: str
    ago_s: float
    fallen: int
    """How many nodes are known to have fallen in it."""
    away: int
    """How many of them are not back."""


def latest(events: Sequence[Event], fleet: Fleet, now_wall_ms: int) -> Mass | None:
    """The mass event that people should know of now, if there is one.

    `events` are oldest first; `now_wall_ms` is on the master's wall clock.
    """
    place = _latest_place(events, now_wall_ms - round(SHOWN_S * 1000))
    if place is None:
        return None
    event = events[place]
    fallen = _fallen(events, place, fleet)
    nodes = [fleet.node(node_id) for node_id in fallen]
    away = sum(node is not None and node.state not in _BACK for node in nodes)
    if fallen and not away:
        return None
    return Mass(event.text, max(0, now_wall_ms - event.wall_ms) / 1000, len(fallen), away)


def words(mass: Mass | None) -> Pieces:
    """The banner; empty when there is nothing to say."""
    if mass is None:
        return ()
    shape = mark(State.LATE).shape
    back = f"  {formats.count(mass.fallen - mass.away)} back" if mass.away < mass.fallen else ""
    return (Piece(f"{shape} {mass.text}{back}", Tone.STRONG),)


def age(mass: Mass | None) -> Pieces:
    """What stands at the banner's right."""
    return () if mass is None else (Piece(f"{lasting(mass.ago_s)} ago"),)


def _latest_place(events: Sequence[Event], since_wall_ms: int) -> int | None:
    for place in reversed(range(len(events))):
        if events[place].wall_ms < since_wall_ms:
            return None
        if events[place].event == "mass":
            return place
    return None


def _fallen(events: Sequence[Event], place: int, fleet: Fleet) -> set[str]:
    """The ids of the nodes that fell around the event at `place`."""
    at_ms = events[place].wall_ms
    fallen: set[str] = set()
    for event in events:
        if event.event == "state" and event.before == State.UP and event.after in _FALLEN:
            node = fleet.node(event.node_id)
            period_ms = node.vitals.period_ms if node is not None else _PERIOD_MS
            if abs(event.wall_ms - at_ms) <= WINDOW_PERIODS * period_ms:
                fallen.add(event.node_id)
    return fallen
