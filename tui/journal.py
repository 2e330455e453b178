"""What happened: the events that the master has told, newest last, each once. A pure model."""

from bisect import insort
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import structs

from shared.messages import Event
from shared.text import clean

EVENTS_KEPT: Final = 2_000
"""The oldest go first."""


class Journal:
    """Events by their number."""

    def __init__(self) -> None:
        self.version = 0
        """Grows with every change."""
        self._events: list[Event] = []
        self._numbers: set[int] = set()

    def __repr__(self) -> str:
        return f"<Journal of {len(self._events)} events>"

    @property
    def events(self) -> Sequence[Event]:
        """All of them, oldest first, cleaned."""
        return self._events

    def of(self, node_id: str) -> Sequence[Event]:
        """Those of one node, oldest first."""
        return [event for event in self._events if event.node_id == node_id]

    def add(self, events: Iterable[Event]) -> None:
        """Takes in what is new among `events`."""
        for event in events:
            if event.number not in self._numbers:
                self._numbers.add(event.number)
                insort(self._events, _cleaned(event), key=lambda known: known.number)
                self.version += 1
        for dropped in self._events[:-EVENTS_KEPT]:
            self._numbers.discard(dropped.number)
        del self._events[:-EVENTS_KEPT]


def _cleaned(event: Event) -> Event:
    texts = ("event", "node_id", "name", "before", "after", "text")
    return structs.replace(event, **{field: clean(getattr(event, field)) for field in texts})
