"""Bringing up the dashboard, which is optional and needs a terminal."""

import os
import sys
from typing import TYPE_CHECKING

import click

from heartline.invocation import Invocation
from shared.errors import UserError

if TYPE_CHECKING:
    from tui.clock import Clock
    from tui.link import Source


def has_terminal() -> bool:
    """Whether there is a terminal to show anything on, and to be told by."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def dashboard(source: "Source", clock: "Clock | None" = None) -> int:
    """Shows one fleet until the user leaves, as the settings of this command say; the exit code.

    Raises:
        ConfigError: the settings cannot be used.
        UserError: the dashboard is not installed, or there is no terminal for it.
    """
    if not has_terminal():
        raise UserError("there is no terminal for the dashboard; for scripts: heartline top --once")
    try:
        from tui import app  # noqa: PLC0415 - twenty megabytes, and optional
    except ModuleNotFoundError as error:
        raise lacking(error) from error
    from tui.look import Look  # noqa: PLC0415 - see above
    from tui.options import Options, for_terminal  # noqa: PLC0415 - see above

    invocation = click.get_current_context().ensure_object(Invocation)
    settings = invocation.settings().top
    look = Look(settings.warn_ratio, settings.critical_ratio)
    options = Options(look=look, folder=invocation.folder.root)
    return app.show(source, for_terminal(options, os.environ, settings.symbols), clock)


def lacking(error: ModuleNotFoundError) -> UserError:
    """What to do where the dashboard is not installed."""
    return UserError(f"the dashboard lacks {error.name}; install it: pip install 'heartline[tui]'")
