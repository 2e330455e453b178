"""Instants and lengths of time as people type them."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from shared.instants import InstantError, parse_instant, parse_length_s


@pytest.fixture(autouse=True)
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def now() -> datetime:
    return datetime(2026, 11, 20, 12, 0, tzinfo=UTC).astimezone()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("now", "2026-11-20T12:00:00"),
        ("2h", "2026-11-20T10:00:00"),
        ("-2h", "2026-11-20T10:00:00"),
        ("1h30m ago", "2026-11-20T10:30:00"),
        ("03:12", "2026-11-20T02:12:00"),
        ("3:12:05", "2026-11-20T02:12:05"),
        ("yesterday 03:12", "2026-11-19T02:12:00"),
        ("today", "2026-11-19T23:00:00"),
        ("2026-07-20 03:12", "2026-07-20T01:12:00"),
        ("2026-11-20T03:12:00Z", "2026-11-20T03:12:00"),
    ],
)
def test_what_people_type_is_an_instant(text: str, meant: str) -> None:
    assert parse_instant(text, now()) == datetime.fromisoformat(f"{meant}+00:00")


@pytest.mark.parametrize("text", ["", "soon", "25:00", "2026-13-01", "2 hours", "-h", "99999999w"])
def test_what_names_no_instant_is_refused(text: str) -> None:
    with pytest.raises(InstantError):
        parse_instant(text, now())


def test_an_hour_that_the_clocks_skip_is_refused() -> None:
    with pytest.raises(InstantError, match="put forward"):
        parse_instant("2026-03-29 02:30", now())


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1h30m", 5_400), ("2w", 1_209_600), ("h", None), ("", None)]
)
def test_lengths_of_time(text: str, seconds: int | None) -> None:
    assert parse_length_s(text) == seconds
