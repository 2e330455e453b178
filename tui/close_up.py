"""One node from close by, as its pages need it: now, or as it was at an instant. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from shared.messages import Event
from tui.focus import Focus
from tui.outages import Record
from tui.past import Past
from tui.trail import Trail


class CloseUp(NamedTuple):
    """What is known of it beyond its row."""

    focus: Focus
    events: Sequence[Event]
    record: Record | None


def close_up_then(
    past: Past, node_id: str, events: Sequence[Event], record: Record | None
) -> CloseUp:
    """What could have been known at the instant that is shown, of all that is known now."""
    at_ms = past.moment.wall_ms
    focus = past.focus or Focus(node_id, Trail())
    return CloseUp(focus, until(at_ms, events), None if record is None else record.until(at_ms))


def until(wall_ms: int, events: Sequence[Event]) -> Sequence[Event]:
    """The events of before an instant."""
    return [event for event in events if event.wall_ms <= wall_ms]
