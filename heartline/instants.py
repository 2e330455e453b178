"""Instants on the command line, as `shared.instants` reads them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from shared.clock import wall_ms
from shared.instants import InstantError, parse_instant


class Instant(click.ParamType[int]):
    """An instant on the command line; its value is Unix time in milliseconds."""

    name = "instant"

    def __init__(self, now: Callable[[], int] = wall_ms) -> None:
        self._now = now

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds; a usage error for what is no instant."""
        if isinstance(value, int):
            return value
        now = datetime.fromtimestamp(self._now() / 1000, UTC).astimezone()
        try:
            return round(parse_instant(str(value), now).timestamp() * 1000)
        except InstantError as error:
            self.fail(str(error), param, ctx)
