"""Bringing up the dashboard, which is optional and needs a terminal."""

import sys
from typing import TYPE_CHECKING

from shared.errors import UserError

if TYPE_CHECKING:
    from tui.clock import Clock
    from tui.link import Source


def has_terminal() -> bool:
    """Whether there is a terminal to show anything on, and to be told by."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def dashboard(source: "Source", clock: "Clock | None" = None) -> int:
    """Shows one fleet until the user leaves; the exit code.

    Raises:
        UserError: the dashboard is not installed, or there is no terminal for it.
    """
    if not has_terminal():
        raise UserError("there is no terminal for the dashboard; for scripts: heartline top --once")
    try:
        from tui import app  # noqa: PLC0415 - twenty megabytes, and optional
    except ModuleNotFoundError as error:
        raise lacking(error) from error
    return app.show(source, clock=clock)


def lacking(error: ModuleNotFoundError) -> UserError:
    """What to do where the dashboard is not installed."""
    return UserError(f"the dashboard lacks {error.name}; install it: pip install 'heartline[tui]'")
