"""How the tests that keep pictures of the dashboard compare them (pytest-textual-snapshot)."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeAlias

from textual.app import App
from textual.pilot import Pilot

Opening: TypeAlias = Callable[[Pilot[int]], Awaitable[None]]
"""What is done before the picture is taken."""


class Compare(Protocol):
    """The fixture `snap_compare`."""

    def __call__(
        self,
        app: App[int],
        *,
        terminal_size: tuple[int, int],
        press: Iterable[str] = (),
        run_before: Opening | None = None,
    ) -> bool: ...
