"""Structs as JSON: on the wire they are arrays, in `--json` every value goes by its name."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

import click
import msgspec
from msgspec import Struct


def plain(value: object) -> object:
    """`value` in the types that JSON has, Structs as objects; instants by RFC 3339, in UTC."""
    match value:
        case Struct():
            return {
                field.encode_name: plain(getattr(value, field.name))
                for field in msgspec.structs.fields(value)
            }
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case Mapping():
            pairs = cast("Mapping[object, object]", value)
            return {str(key): plain(item) for key, item in pairs.items()}
        case list() | tuple():
            return [plain(item) for item in cast("list[object]", value)]
        case _:
            return value


def print_json(value: object) -> None:
    """Prints one value over several lines, for people as much as for programs."""
    click.echo(msgspec.json.format(msgspec.json.encode(plain(value)), indent=2).decode())


def print_json_line(value: object) -> None:
    """Prints one value on a line of its own, at once: for streams of them."""
    click.echo(msgspec.json.encode(plain(value)).decode())
