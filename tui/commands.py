"""What can be typed after `:`, and which of it fits what has been typed so far. Pure."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

SHOWN_MOST: Final = 100
"""Commands offered at once: nobody reads more."""


@dataclass(frozen=True, slots=True)
class Command:
    """One thing to do."""

    name: str
    """As it is typed."""
    meaning: str
    run: Callable[[], Awaitable[object] | None]
    key: str = ""
    """The key that does the same."""


def fitting(commands: Iterable[Command], typed: str) -> list[Command]:
    """The commands that have every word of `typed`, those that begin with it first."""
    text = typed.strip().casefold()
    words = text.split()
    found = [
        command
        for command in commands
        if all(word in f"{command.name} {command.meaning}".casefold() for word in words)
    ]
    found.sort(key=lambda command: _distance(command, text, words))
    return found[:SHOWN_MOST]


def _distance(command: Command, text: str, words: list[str]) -> int:
    """How far from what was typed: exactly it, begun so, in its name, in its meaning."""
    name = command.name.casefold()
    if name == text:
        return 0
    if name.startswith(text):
        return 1
    return 2 if all(word in name for word in words) else 3
