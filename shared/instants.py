"""Instants and lengths of time as people type them. Local time unless a zone is given.

A time that the clocks skip here in spring is an error; of one that they show twice in autumn, the
first is meant.
"""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

EXAMPLES: Final = "'2026-11-20 03:12', 2026-11-20T03:12:00Z, 'yesterday 03:12', 03:12 or 2h (ago)"

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PART: Final = re.compile(r"(\d{1,9})([smhdw])")
_AGO: Final = re.compile(r"-?\s*((\d{1,9}[smhdw])+)(\s+ago)?")
_DAYS: Final = {"today": 0, "yesterday": 1}
_CLOCK: Final = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d{1,6})?)?")


class InstantError(ValueError):
    """A text that names no instant; says why."""


def parse_length_s(text: str) -> int | None:
    """Seconds of `90s`, `15m`, `24h`, `7d` or `1h30m`; None: that is no length of time."""
    parts: list[tuple[str, str]] = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(int(number) * _UNITS_S[unit] for number, unit in parts)


def parse_instant(text: str, now: datetime) -> datetime:
    """The instant that `text` means to somebody who types it at `now`, which is in the zone of
    this system.

    Raises:
        InstantError: none.
    """
    words = text.strip().lower()
    if words == "now":
        return now
    ago = _AGO.fullmatch(words)
    if ago is not None:
        return _ago(parse_length_s(ago[1]) or 0, now)
    day, _, clock = words.partition(" ")
    if day in _DAYS:
        return _local(now.date() - timedelta(days=_DAYS[day]), _clock(clock or "00:00", text))
    if _CLOCK.fullmatch(words):
        return _local(now.date(), _clock(words, text))
    return _by_calendar(text)


def _ago(length_s: int, now: datetime) -> datetime:
    try:
        return now - timedelta(seconds=length_s)
    except OverflowError:
        raise InstantError(f"there was no time {length_s} s ago") from None


def _clock(clock: str, text: str) -> time:
    padded = clock if clock[1:2] != ":" else "0" + clock
    if not _CLOCK.fullmatch(padded):
        raise _no_instant(text)
    try:
        return time.fromisoformat(padded)
    except ValueError:
        raise _no_instant(text) from None


def _by_calendar(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise _no_instant(text) from None
    if found.tzinfo is not None:
        return found
    return _local(found.date(), found.time())


def _local(day: date, clock: time) -> datetime:
    """This day and time by the clocks here."""
    shown = datetime.combine(day, clock)
    try:
        # A zone from the system's tables, not the offset that `now` happens to have.
        instant = shown.astimezone()
        again = instant.astimezone(UTC).astimezone()
    except (OverflowError, OSError, ValueError):
        raise InstantError(f"{shown} is no time that this system's calendar holds") from None
    if again.replace(tzinfo=None) != shown:
        raise InstantError(f"there was no {shown} here: the clocks were put forward")
    return instant


def _no_instant(text: str) -> InstantError:
    return InstantError(f"{text!r} names no instant; write {EXAMPLES}")
