"""Lengths of time as people type them, and instants as records and screens show them."""

from datetime import UTC, datetime
from typing import Any

import click

from shared.instants import parse_length_s


class Duration(click.ParamType[int]):
    """A length of time in whole seconds: `90s`, `15m`, `24h`, `7d`, `1h30m`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Seconds; a usage error for what is no length of time."""
        if isinstance(value, int):
            return value
        length_s = parse_length_s(str(value).strip().lower())
        if length_s is None:
            self.fail(
                f"{value!r} is no length of time; write 90s, 15m, 24h, 7d or 1h30m", param, ctx
            )
        return length_s


def moment(wall_ms: int | None) -> datetime | None:
    """The instant of a record, in UTC; None where there is none, or no calendar holds it."""
    if not wall_ms:
        return None
    try:
        return datetime.fromtimestamp(wall_ms / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def on_screen(instant: datetime | None) -> str:
    """`2026-11-20 14:03:22` in this machine's zone; a dash for no instant."""
    return "–" if instant is None else f"{instant.astimezone():%Y-%m-%d %H:%M:%S}"
