"""Bringing up the dashboard, which is optional and needs a terminal."""

import os
import sys
from typing import TYPE_CHECKING

import click

from heartline.invocation import Invocation
from shared.errors import UserError

if TYPE_CHECKING:
    from tui.clock import Clock
    from tui.filters import Filter
    from tui.link import Source


def has_terminal() -> bool:
    """Whether there is a terminal to show anything on, and to be told by."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def parsed_filter(line: str) -> "Filter":
    """What a filter line means, by the dashboard's own rules.

    Raises:
        click.UsageError: the line is no filter.
        UserError: the dashboard, which knows the rules, is not installed.
    """
    try:
        from tui.filters import FilterError, parse_filter  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise lacking(error) from error
    try:
        return parse_filter(line)
    except FilterError as error:
        raise click.UsageError(f"--filter: {error}") from error


def dashboard(source: "Source", clock: "Clock | None" = None, wanted: str = "") -> int:
    """Shows one fleet until the user leaves, as the settings of this command say; the exit code.

    `wanted` is the filter line to begin with.

    Raises:
        click.UsageError: it is no filter, or there is no terminal for the dashboard.
        ConfigError: the settings cannot be used.
        UserError: the dashboard is not installed.
    """
    if not has_terminal():
        raise click.UsageError(
            "there is no terminal for the dashboard; for scripts: heartline top --once"
        )
    try:
        from tui import app  # noqa: PLC0415 - twenty megabytes, and optional
    except ModuleNotFoundError as error:
        raise lacking(error) from error
    from tui.look import Look  # noqa: PLC0415 - see above
    from tui.options import Options, for_terminal  # noqa: PLC0415 - see above

    invocation = click.get_current_context().ensure_object(Invocation)
    settings = invocation.settings().top
    look = Look(settings.warn_ratio, settings.critical_ratio)
    options = Options(look=look, folder=invocation.folder.root, filter=parsed_filter(wanted))
    return app.show(source, for_terminal(options, os.environ, settings.symbols), clock)


def lacking(error: ModuleNotFoundError) -> UserError:
    """What to do where the dashboard is not installed."""
    return UserError(f"the dashboard lacks {error.name}; install it: pip install 'heartline[tui]'")
