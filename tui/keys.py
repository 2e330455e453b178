"""Which keys do what, read from the bindings themselves: for help, for commands, for the page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from textual.binding import Binding, BindingType

_NAMES: Final[Mapping[str, str]] = {
    "slash": "/",
    "colon": ":",
    "question_mark": "?",
    "space": "Space",
    "escape": "Esc",
    "enter": "Enter",
    "tab": "Tab",
    "shift+tab": "Shift-Tab",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "plus": "+",
    "minus": "-",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "shift+left": "Shift-←",
    "shift+right": "Shift-→",
}


_FOREIGN: Final = frozenset(
    {
        "app.focus_next",
        "app.focus_previous",
        "screen.copy_text",
        "page_left",
        "page_right",
        "scroll_left",
        "scroll_right",
    }
)
"""What the toolkit binds beneath ours, and what does nothing here."""


@dataclass(frozen=True, slots=True)
class Use:
    """What some keys do."""

    keys: tuple[str, ...]
    """By the names that people use."""
    meaning: str
    action: str


def key_name(key: str) -> str:
    """A key as people call it."""
    if key.startswith("ctrl+"):
        return f"Ctrl-{key.removeprefix('ctrl+').upper()}"
    return _NAMES.get(key, key)


def uses_of(bindings: Iterable[BindingType]) -> Sequence[Use]:
    """The uses of keys in a class's `BINDINGS`, each with all of its keys."""
    return merged(
        (key, binding.description, binding.action)
        for binding in bindings
        if isinstance(binding, Binding)
        for key in binding.key.split(",")
    )


def merged(bound: Iterable[tuple[str, str, str]]) -> Sequence[Use]:
    """Keys, what they mean and the actions behind them, as one use for each action."""
    uses: dict[str, Use] = {}
    for key, meaning, action in bound:
        if action in _FOREIGN:
            continue
        known = uses.get(action)
        keys = (*known.keys, key_name(key)) if known else (key_name(key),)
        uses[action] = Use(tuple(dict.fromkeys(keys)), meaning, action)
    return tuple(uses.values())
