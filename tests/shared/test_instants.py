"""Instants and lengths of time as people type them."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta

import pytest

from shared.instants import InstantError, parse_instant, parse_length_s
from tests.zones import in_zone


@pytest.fixture(autouse=True)
def _an_hour_east() -> Generator[None]:
    """Clocks that are put forward and back, an hour east of Greenwich in winter."""
    with in_zone("CET-1CEST,M3.5.0,M10.5.0/3"):
        yield


def now() -> datetime:
    return datetime(2026, 11, 20, 12, 30, 15, tzinfo=UTC).astimezone()


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20 03:12", utc(2026, 11, 20, 2, 12)),
        ("2026-11-20T03:12", utc(2026, 11, 20, 2, 12)),
        ("2026-11-20 03:12:07.250", utc(2026, 11, 20, 2, 12, 7, 250_000)),
        ("2026-07-01 03:12", utc(2026, 7, 1, 1, 12)),
        ("2026-11-20", utc(2026, 11, 19, 23)),
        ("2026-11-20T03:12:00Z", utc(2026, 11, 20, 3, 12)),
        ("2026-11-20 03:12+09:00", utc(2026, 11, 19, 18, 12)),
        ("03:12", utc(2026, 11, 20, 2, 12)),
        ("3:12", utc(2026, 11, 20, 2, 12)),
        ("23:59:59", utc(2026, 11, 20, 22, 59, 59)),
        ("today", utc(2026, 11, 19, 23)),
        ("today 03:12", utc(2026, 11, 20, 2, 12)),
        ("Yesterday", utc(2026, 11, 18, 23)),
        ("yesterday 03:12", utc(2026, 11, 19, 2, 12)),
        ("now", utc(2026, 11, 20, 12, 30, 15)),
        ("-2h", utc(2026, 11, 20, 10, 30, 15)),
        ("2h", utc(2026, 11, 20, 10, 30, 15)),
        ("1h30m ago", utc(2026, 11, 20, 11, 0, 15)),
        ("2h ago", utc(2026, 11, 20, 10, 30, 15)),
        (" -1d12h ", utc(2026, 11, 19, 0, 30, 15)),
        ("2w", utc(2026, 11, 6, 12, 30, 15)),
        # Twice on the clocks that night: the first is meant.
        ("2026-10-25 02:30", utc(2026, 10, 25, 0, 30)),
    ],
)
def test_instant_is_what_its_words_mean_here_and_now(text: str, expected: datetime) -> None:
    assert parse_instant(text, now()) == expected


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2h3", "-", "ago", "25:00", "12:60", "yesterday noon", "tomorrow", "2026-13-01",
     "2026-02-30", "2026-11-20 3pm", "1795132800", "-2h ago ago", "2 hours", "-h"],
)  # fmt: skip
def test_words_that_name_no_instant_are_an_error_with_examples(text: str) -> None:
    with pytest.raises(InstantError, match="names no instant; write '2026-11-20 03:12'"):
        parse_instant(text, now())


def test_time_that_the_clocks_skip_is_an_error() -> None:
    with pytest.raises(InstantError, match="there was no 2026-03-29 02:30:00 here"):
        parse_instant("2026-03-29 02:30", now())


@pytest.mark.parametrize("text", ["0001-01-01", "999999999w"])
def test_instant_that_no_calendar_holds_is_an_error(text: str) -> None:
    with pytest.raises(InstantError, match="no time"):
        parse_instant(text, now())


def test_any_instant_that_is_printed_is_read_back() -> None:
    for hours in range(0, 24 * 400, 7):
        instant = (now() - timedelta(hours=hours)).astimezone(UTC).astimezone()
        assert parse_instant(f"{instant:%Y-%m-%d %H:%M:%S}", now()) == instant
        assert parse_instant(instant.isoformat(), now()) == instant


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1h30m", 5_400), ("2w", 1_209_600), ("h", None), ("", None)]
)
def test_lengths_of_time(text: str, seconds: int | None) -> None:
    assert parse_length_s(text) == seconds
