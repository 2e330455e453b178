"""Numbers as people read them: pure functions from wire units to short text.

Every function takes None for "not known" and answers `ABSENT`. Texts have a stated greatest width
and never claim more digits than matter at a glance. Sizes and rates count in 1024s, as most tools
do; the letter alone (`K`, `M`, …) says how often.
"""

from datetime import UTC, datetime, tzinfo
from typing import Final

ABSENT: Final = "–"
"""What stands where a value is not known."""

_UNITS: Final = "KMGTPE"
_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400
_YEAR_S: Final = 365 * _DAY_S


def percent(basis_points: int | None) -> str:
    """`62%` of 6 170 basis points; at most 4 characters up to 100 %."""
    return ABSENT if basis_points is None else f"{(basis_points + 50) // 100}%"


def size(count_bytes: int | None) -> str:
    """`512`, `1.5K`, `23M`, `730G`: at most 4 characters below an exbibyte."""
    if count_bytes is None:
        return ABSENT
    if count_bytes < 1000:
        return str(count_bytes)
    value = count_bytes / 1024
    for unit in _UNITS:
        if value < 9.95:
            return f"{value:.1f}{unit}"
        if value < 999.5 or unit == _UNITS[-1]:
            return f"{value:.0f}{unit}"
        value /= 1024
    raise AssertionError("the last unit takes every value")


def size_kib(count_kib: int | None) -> str:
    """The same from KiB, the unit in which memory and filesystems travel."""
    return ABSENT if count_kib is None else size(count_kib * 1024)


def load(centi: int | None) -> str:
    """`0.42`, `12.3`, `140`: a load average, at most 4 characters below 10 000."""
    if centi is None:
        return ABSENT
    value = centi / 100
    if value < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def count(number: int | None) -> str:
    """`12,345`."""
    return ABSENT if number is None else f"{number:,}"


def temperature(deci_celsius: int | None) -> str:
    """`62°` of 618 tenths of a degree Celsius."""
    return ABSENT if deci_celsius is None else f"{(deci_celsius + 5) // 10}°"


def age(seconds: float | None) -> str:
    """How long ago, in one unit: `3s`, `42m`, `31h`, `12d`; at most 4 characters below 1 000 days.

    Rounded down, so that an age never claims time that has not passed; a negative one is `0s`.
    """
    if seconds is None:
        return ABSENT
    whole = max(0, int(seconds))
    if whole < 100:
        return f"{whole}s"
    if whole < 100 * _MINUTE_S:
        return f"{whole // _MINUTE_S}m"
    if whole < 48 * _HOUR_S:
        return f"{whole // _HOUR_S}h"
    return f"{whole // _DAY_S}d"


def duration(seconds: float | None) -> str:
    """How long, in two units: `42s`, `5m 3s`, `4h 12m`, `3d 4h`, `2y 30d`; at most 8 characters."""
    if seconds is None:
        return ABSENT
    whole = max(0, int(seconds))
    if whole < _MINUTE_S:
        return f"{whole}s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S}m {whole % _MINUTE_S}s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S}h {whole % _HOUR_S // _MINUTE_S}m"
    if whole < _YEAR_S:
        return f"{whole // _DAY_S}d {whole % _DAY_S // _HOUR_S}h"
    return f"{whole // _YEAR_S}y {whole % _YEAR_S // _DAY_S}d"


def delay(seconds: float | None) -> str:
    """A round trip: `0.4 ms`, `12 ms`, `1.2 s`."""
    if seconds is None:
        return ABSENT
    milliseconds = seconds * 1000
    if milliseconds < 9.95:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds:.0f} ms" if milliseconds < 999.5 else f"{seconds:.1f} s"


def clock_time(wall_ms: int | None, now_wall_ms: int, zone: tzinfo | None = None) -> str:
    """When, in `zone` (None: this machine's): `14:03:22` today, else `2026-11-20 14:03`.

    A time that no calendar holds is `ABSENT`: it came from somebody's clock.
    """
    if wall_ms is None:
        return ABSENT
    try:
        then = datetime.fromtimestamp(wall_ms / 1000, UTC).astimezone(zone)
        today = datetime.fromtimestamp(now_wall_ms / 1000, UTC).astimezone(zone)
    except (OverflowError, OSError, ValueError):
        return ABSENT
    return f"{then:%H:%M:%S}" if then.date() == today.date() else f"{then:%Y-%m-%d %H:%M}"
