"""The host's three clocks, read together: what happened between two readings shows in how far each
of them moved."""

import time
from collections.abc import Callable
from typing import Final, TypeAlias

from msgspec import Struct

from shared.clock import wall_ms

TOGETHER_MS: Final = 10
"""Readings that took longer are taken again: a process stopped between two of them would look like
a host that was suspended."""

TRIES: Final = 3


class Instant(Struct, frozen=True, array_like=True, gc=False):
    """One reading, in milliseconds."""

    wall_ms: int
    """Unix time: a record for people."""
    boot_ms: int
    """Since the host booted, suspended or not."""
    awake_ms: int
    """Monotonic, and stands still while the host is suspended."""


ReadClocks: TypeAlias = Callable[[], Instant]


def _clock(*names: str) -> Callable[[], int]:
    """The first of these clocks that the system has; the plain monotonic one where it has none."""
    for name in names:
        number: int | None = getattr(time, name, None)
        if number is not None:
            return lambda: time.clock_gettime_ns(number) // 1_000_000
    return lambda: time.monotonic_ns() // 1_000_000


# Linux stops CLOCK_MONOTONIC while suspended and not CLOCK_BOOTTIME; macOS stops CLOCK_UPTIME_RAW
# and not CLOCK_MONOTONIC. Elsewhere both are one clock, and no host is ever seen to be suspended.
_boot_ms: Final = _clock("CLOCK_BOOTTIME", "CLOCK_MONOTONIC")
_awake_ms: Final = _clock("CLOCK_UPTIME_RAW", "CLOCK_MONOTONIC")


def read_clocks() -> Instant:
    """This instant."""
    before_ms, boot_ms, awake_ms = _awake_ms(), _boot_ms(), _awake_ms()
    for _ in range(TRIES):
        if awake_ms - before_ms <= TOGETHER_MS:
            break
        before_ms, boot_ms, awake_ms = awake_ms, _boot_ms(), _awake_ms()
    return Instant(wall_ms(), boot_ms, awake_ms)
