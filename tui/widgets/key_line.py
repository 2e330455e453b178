"""The keys of the screen in its last line, as far as they fit; the mouse presses them.

What holds everywhere comes last and gives way last: the way out is always in sight.

One widget that paints a line. The toolkit's own footer has a widget for each key and makes them
anew whenever the focus moves, which is most of what it costs to open a screen.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

from rich.cells import cell_len
from textual import events
from textual.app import App, ScreenStackError
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from tui.keys import key_name
from tui.tones import Piece, Tone
from tui.widgets.toned import TONE_CLASSES, background, padded, toned

_GAP = 2


class _Hint(NamedTuple):
    """One key, or a group of them, at its place."""

    keys: str
    meaning: str
    actions: Sequence[tuple[str, Any]]
    """For each key of `keys` what it does, and for whom."""
    is_everywhere: bool = False
    """Whether it is a key of the application, and not of one screen."""

    @property
    def width(self) -> int:
        """In cells."""
        return cell_len(self.keys) + 1 + cell_len(self.meaning)


class KeyLine(Widget):
    """Shows the bindings that are live and meant to be shown."""

    COMPONENT_CLASSES: ClassVar[set[str]] = set(TONE_CLASSES)

    def __init__(self) -> None:
        super().__init__()
        self._hints: Sequence[_Hint] = ()

    def on_mount(self) -> None:
        """Follows the bindings of its screen."""
        self.screen.bindings_updated_signal.subscribe(self, self._follow)  # pyright: ignore[reportUnknownMemberType]
        self._follow(self.screen)

    def render_line(self, y: int) -> Strip:
        """See `textual.widget.Widget.render_line`."""
        width, beneath = self.content_size.width, background(self)
        pieces = [Piece(" ")]
        for hint in _fitting(self._hints, width) if not y else ():
            pieces += (
                Piece(hint.keys, Tone.BRAND),
                Piece(f" {hint.meaning}"),
                Piece(" " * _GAP),
            )
        return padded(toned(self, pieces, beneath), width, beneath)

    async def on_click(self, event: events.Click) -> None:
        """Does what the key under the mouse does; beside it, what its first key does."""
        x = 1
        for hint in _fitting(self._hints, self.content_size.width):
            end = x + hint.width
            if x <= event.x < end:
                is_group = len(hint.actions) > 1 and event.x - x < len(hint.actions)
                action, node = hint.actions[event.x - x if is_group else 0]
                await self.app.run_action(action, node)  # pyright: ignore[reportUnknownMemberType]
                return
            x = end + _GAP

    def _follow(self, screen: Screen[Any]) -> None:
        try:
            hints = tuple(_hints(screen))
        except ScreenStackError:
            return
        if hints != self._hints:
            self._hints = hints
            self.refresh()


def _hints(screen: Screen[Any]) -> Iterator[_Hint]:
    """What is bound, shown and enabled; keys of one group together where its first one stands."""
    groups: dict[object, list[tuple[str, str, Any]]] = {}
    for node, binding, is_enabled, _ in screen.active_bindings.values():
        if not (binding.show and is_enabled):
            continue
        of = binding.group if binding.group is not None else binding.action
        key = binding.key_display or key_name(binding.key)
        meaning = binding.group.description if binding.group is not None else binding.description
        known = groups.setdefault(of, [])
        if binding.action not in [action for _, action, _ in known]:
            known.append((f"{key}\n{meaning}", binding.action, node))
    for uses in groups.values():
        keys = "".join(text.partition("\n")[0] for text, _, _ in uses)
        meaning = uses[0][0].partition("\n")[2]
        is_everywhere = all(isinstance(node, App) for _, _, node in uses)
        yield _Hint(keys, meaning, [(action, node) for _, action, node in uses], is_everywhere)


def _fitting(hints: Sequence[_Hint], width: int) -> Sequence[_Hint]:
    """Those that fit into a line of that width, in their order: first what holds everywhere, from
    its end, then what the screen has to offer, from its beginning."""
    everywhere = [hint for hint in reversed(hints) if hint.is_everywhere]
    kept: set[str] = set()
    left = width - 1
    for hint in (*everywhere, *(hint for hint in hints if not hint.is_everywhere)):
        if hint.width > left:
            continue
        kept.add(hint.keys)
        left -= hint.width + _GAP
    return [hint for hint in hints if hint.keys in kept]
