"""Everything that `:` can do on a screen: its keys, and what needs a word more than a key."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from shared.instants import InstantError
from tui.columns import COLUMNS
from tui.commands import SHOWN_MOST, Command
from tui.filters import FilterError, parse_filter
from tui.keys import key_name
from tui.past_words import instant
from tui.screens.timed import TimedScreen
from tui.themes import TITLES

if TYPE_CHECKING:
    from tui.app import Dashboard


def offers(app: "Dashboard", beneath: Screen[Any], typed: str) -> Iterator[Command]:
    """The commands for what has been typed; nodes and filters once one asks for them."""
    yield from _bound(app, beneath)
    for name, title in TITLES.items():
        yield Command(f"theme {title}", "Colours", partial(app.use_theme, name))
    yield Command("columns", "Choose the columns", app.action_columns, "c")
    fleet = app.fleet_screen
    timed = beneath if isinstance(beneath, TimedScreen) else fleet
    for column in COLUMNS:
        if column.key != "state":
            sort = partial(fleet.sort_by, column.key)
            yield Command(f"sort {column.key}", f"Sort by {column.title}", sort)
    yield Command("sort problems", "Problems first", partial(fleet.sort_by, ""))
    for label in fleet.labels:
        yield Command(f"group {label}", f"Group by {label}", partial(fleet.group_by, label))
    yield Command("group none", "No groups", partial(fleet.group_by, ""))
    word, _, rest = typed.strip().partition(" ")
    if word == "filter":
        yield _filtering(app, rest)
    else:
        yield Command("filter", "Filter the fleet: filter TERMS", fleet.action_search, "/")
    yield (
        _travelling(app, timed, rest)
        if word == "at"
        else Command(
            "at", "The past: at 2026-11-20 03:12, at -2h", partial(app.action_palette, "at ")
        )
    )
    if word == "go":
        yield from _nodes(app, rest)
    else:
        yield Command("go", "Open a node: go NAME", partial(app.action_palette, "go "))


def _bound(app: "Dashboard", beneath: Screen[Any]) -> Iterator[Command]:
    """What the keys of the screen do, each once."""
    seen: set[str] = set()
    for active in beneath.active_bindings.values():
        binding = active.binding
        if active.enabled and binding.description and binding.action not in seen:
            seen.add(binding.action)
            run = _running(app, binding.action, active.node)
            name = binding.description.casefold()
            yield Command(name, "", run, key_name(binding.key))


def _running(app: "Dashboard", action: str, node: Any) -> Callable[[], Awaitable[object]]:
    async def run() -> None:
        await app.run_action(action, node)

    return run


def _filtering(app: "Dashboard", text: str) -> Command:
    try:
        parse_filter(text)
    except FilterError as error:
        return _refusing(app, f"filter {text}", str(error))
    filter_by = partial(app.fleet_screen.filter_by, text)
    return Command(f"filter {text}".strip(), "Show these nodes only", filter_by)


def _travelling(app: "Dashboard", screen: TimedScreen, text: str) -> Command:
    try:
        at_wall_ms = screen.instant_of(text)
    except InstantError as error:
        return _refusing(app, f"at {text}", str(error))
    return Command(f"at {text}", instant(at_wall_ms), partial(screen.go_to, at_wall_ms))


def _refusing(app: "Dashboard", name: str, why: str) -> Command:
    """A command that cannot be done; who insists is told again."""
    return Command(name, why, partial(app.notify, why, severity="warning", markup=False))


def _nodes(app: "Dashboard", text: str) -> Iterator[Command]:
    wanted = text.strip().casefold()
    found = 0
    for node in app.feed.fleet.rows:
        if wanted in node.searchable and found < SHOWN_MOST:
            found += 1
            open_node = partial(app.open_node, node)
            yield Command(f"go {node.profile.name}", f"{node.state} {node.reason}", open_node)
    if not found:
        yield _refusing(app, f"go {text}".strip(), f"There is no such node: {text}")
