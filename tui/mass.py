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
from tui.journal import Journal
from tui.moment import Moment
from tui.since import fleet_wall_ms
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


class Masses:
    """Watches a journal for mass events; looks through it again only when it has changed."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._version = journal.version
        self._event: Event | None = None
        self._fallen: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"<Masses, {len(self._fallen)} fallen in the latest>"

    def latest(self, fleet: Fleet, moment: Moment) -> Mass | None:
        """The mass event that people should know of at `moment`, if there is one."""
        if self._version != self._journal.version:
            self._version = self._journal.version
            self._look(fleet)
        event, fallen = self._event, self._fallen
        if event is None:
            return None
        ago_s = (fleet_wall_ms(fleet, moment) - event.wall_ms) / 1000
        if ago_s > SHOWN_S:
            return None
        nodes = map(fleet.node, fallen)
        away = sum(node is not None and node.state not in _BACK for node in nodes)
        if fallen and not away:
            return None
        return Mass(event.text, max(0.0, ago_s), len(fallen), away)

    def _look(self, fleet: Fleet) -> None:
        events = self._journal.events
        found = (event for event in reversed(events) if event.event == "mass")
        self._event = next(found, None)
        self._fallen = _fallen_with(self._event, events, fleet) if self._event else frozenset()


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


def _fallen_with(mass: Event, events: Sequence[Event], fleet: Fleet) -> frozenset[str]:
    """The ids of the nodes that fell around a mass event."""
    fallen: set[str] = set()
    for event in events:
        if event.event == "state" and event.before == State.UP and event.after in _FALLEN:
            node = fleet.node(event.node_id)
            period_ms = node.vitals.period_ms if node is not None else _PERIOD_MS
            if abs(event.wall_ms - mass.wall_ms) <= WINDOW_PERIODS * period_ms:
                fallen.add(event.node_id)
    return frozenset(fallen)
