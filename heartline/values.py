"""Values of measured Structs as text: the unit at the end of a field's name says how."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, cast

from heartline.times import on_screen
from shared.text import clean
from tui import formats


def _wall_s(value: float) -> str:
    return on_screen(datetime.fromtimestamp(value, UTC)) if value else ""


_BY_SUFFIX: Final[Mapping[str, Callable[[float], str]]] = {
    "_bp": lambda value: formats.percent(round(value)),
    "_ratio": lambda value: formats.percent(round(value * 10_000)),
    "_bytes_per_s": lambda value: f"{formats.size(round(value))}/s",
    "_per_s": lambda value: f"{formats.count(round(value))}/s",
    "_bytes": lambda value: formats.size(round(value)),
    "_kib": lambda value: formats.size_kib(round(value)),
    "_wall_s": _wall_s,
    "_s": formats.duration,
    "_centi": lambda value: formats.load(round(value)),
    "_dc": lambda value: formats.temperature(round(value)),
    "celsius": lambda value: formats.temperature(round(value * 10)),
    "_mhz": lambda value: f"{value:.0f} MHz",
    "_mbps": lambda value: f"{value:.0f} Mb/s",
    "_rpm": lambda value: f"{value:.0f} rpm",
}
"""The first suffix that fits decides."""


def text_of(field: str, value: object) -> str:
    """A field's value for people, empty for one that is not known."""
    match value:
        case None:
            text = ""
        case bool():
            text = "yes" if value else "no"
        case int() | float():
            text = _number(field, value)
        case Mapping():
            pairs = cast("Mapping[object, object]", value).items()
            text = ", ".join([f"{clean(str(key))}: {text_of('', item)}" for key, item in pairs])
        case tuple():
            text = ", ".join([text_of("", item) for item in cast("tuple[object, ...]", value)])
        case _:
            text = clean(str(value))
    return text


def _number(field: str, value: float) -> str:
    for suffix, write in _BY_SUFFIX.items():
        if field.endswith(suffix):
            return write(value)
    return str(value) if isinstance(value, int) else f"{value:.2f}"
