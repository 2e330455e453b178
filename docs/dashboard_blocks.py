"""The tables of `docs/dashboard.md`, made from the bindings, columns and measures themselves."""

from textual.binding import BindingType
from textual.dom import DOMNode

from docs.struct_tables import table
from tui.app import Dashboard
from tui.columns import COLUMNS, DEFAULT
from tui.filters import KEYS
from tui.keys import uses_of
from tui.measures import MEASURES
from tui.pages import PAGES
from tui.screens.changes import ChangesScreen
from tui.screens.columns import ColumnsScreen
from tui.screens.events import EventsScreen
from tui.screens.fleet import FleetScreen
from tui.screens.node import NodeScreen
from tui.screens.timed import TimedScreen
from tui.widgets.fleet_table import FleetTable
from tui.widgets.honeycomb import Honeycomb
from tui.widgets.sheet import Sheet

_PLACES = (
    ("Everywhere", (Dashboard,)),
    ("Fleet", (FleetScreen,)),
    ("Fleet, as a table", (FleetTable,)),
    ("Fleet, as a honeycomb", (Honeycomb,)),
    ("Node", (NodeScreen, Sheet)),
    ("Time, on the fleet and on a node", (TimedScreen,)),
    ("What changed before an outage", (ChangesScreen, Sheet)),
    ("Events", (EventsScreen, Sheet)),
    ("Choice of columns", (ColumnsScreen,)),
)


def _own(owner: type[DOMNode]) -> list[BindingType]:
    """The bindings of a class, without those of the past that it has to name again."""
    if owner is TimedScreen:
        return TimedScreen.BINDINGS
    return [binding for binding in owner.BINDINGS if binding not in TimedScreen.BINDINGS]


def keys() -> str:
    """A table per place: the keys and what they do there."""
    parts: list[str] = []
    for place, owners in _PLACES:
        rows = [
            (" ".join(f"`{key}`" for key in use.keys), use.meaning)
            for owner in owners
            for use in uses_of(_own(owner))
        ]
        parts += (f"### {place}", table(("keys", "do"), rows))
    return "\n\n".join(parts)


def measures() -> str:
    """What can be compared in a filter, and how it is written."""
    rows = [(f"`{m.key}`", m.meaning, m.unit.value) for m in MEASURES.values()]
    others = ", ".join(f"`{key}`" for key in KEYS if key not in MEASURES)
    return f"{table(('key', 'is', 'as'), rows)}\n\nFor texts: {others}."


def columns() -> str:
    """The columns of the fleet table, and which are shown at first."""
    rows = [(f"`{c.key}`", c.title, "yes" if c.key in DEFAULT else "") for c in COLUMNS]
    return table(("column", "title", "at first"), rows)


def pages() -> str:
    """The pages of a node, and what they are made from."""
    rows = [(f"`{p.hotkey}`", p.title, ", ".join(p.families)) for p in PAGES]
    return table(("key", "page", "families"), rows)
