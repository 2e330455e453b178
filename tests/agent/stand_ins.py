"""Stand-ins for functions of psutil."""

from collections.abc import Callable


def in_turn(values: list[object]) -> Callable[..., object]:
    """A function of any arguments that returns one value after another."""
    remaining = iter(values)
    return lambda *_, **__: next(remaining)
