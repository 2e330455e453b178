"""Numbers as people read them: exact texts, widths that hold, no number that breaks a format."""

from collections.abc import Callable
from datetime import UTC, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.metrics import LARGEST
from tui import formats

anything_on_the_wire = st.integers(min_value=0, max_value=LARGEST)


@pytest.mark.parametrize(
    ("basis_points", "text"),
    [(None, "–"), (0, "0%"), (49, "0%"), (50, "1%"), (6170, "62%"), (9999, "100%")],
)
def test_percent_is_rounded_to_whole_points(basis_points: int | None, text: str) -> None:
    assert formats.percent(basis_points) == text


@pytest.mark.parametrize(
    ("count_bytes", "text"),
    [
        (None, "–"),
        (0, "0"),
        (999, "999"),
        (1000, "1.0K"),
        (1024, "1.0K"),
        (1536, "1.5K"),
        (10_240, "10K"),
        (1023 * 1024, "1.0M"),
        (23 * 2**20, "23M"),
        (730 * 2**30, "730G"),
        (5 * 2**40, "5.0T"),
    ],
)
def test_size_has_two_or_three_digits_and_a_letter(count_bytes: int | None, text: str) -> None:
    assert formats.size(count_bytes) == text


def test_size_from_kib_is_the_same_size() -> None:
    assert formats.size_kib(1536) == formats.size(1536 * 1024) == "1.5M"
    assert formats.size_kib(None) == "–"


@pytest.mark.parametrize(
    ("centi", "text"),
    [(None, "–"), (0, "0.00"), (42, "0.42"), (999, "9.99"), (1230, "12.3"), (14_000, "140")],
)
def test_load_keeps_the_digits_that_matter(centi: int | None, text: str) -> None:
    assert formats.load(centi) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (-3.0, "0s"),
        (0.99, "0s"),
        (3.0, "3s"),
        (99.9, "99s"),
        (100.0, "1m"),
        (5999.0, "99m"),
        (6000.0, "1h"),
        (47.9 * 3600, "47h"),
        (48.0 * 3600, "2d"),
    ],
)
def test_age_is_one_unit_rounded_down(seconds: float | None, text: str) -> None:
    assert formats.age(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (42, "42s"),
        (303, "5m 3s"),
        (4 * 3600 + 12 * 60 + 59, "4h 12m"),
        (3 * 86400 + 4 * 3600, "3d 4h"),
        (2 * 365 * 86400 + 30 * 86400, "2y 30d"),
    ],
)
def test_duration_is_two_units(seconds: float | None, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (0.00042, "0.4 ms"), (0.0123, "12 ms"), (1.24, "1.2 s")]
)
def test_delay_is_in_the_unit_that_fits(seconds: float | None, text: str) -> None:
    assert formats.delay(seconds) == text


def test_temperature_and_count_are_short() -> None:
    assert formats.temperature(618) == "62°"
    assert formats.temperature(None) == "–"
    assert formats.count(12_345) == "12,345"
    assert formats.count(None) == "–"


def test_clock_time_is_short_today_and_dated_on_any_other_day() -> None:
    now_ms = 1_795_000_000_000  # 2026-11-18 11:06:40 UTC
    assert formats.clock_time(now_ms - 1000, now_ms, UTC) == "11:06:39"
    assert formats.clock_time(now_ms - 86_400_000, now_ms, UTC) == "2026-11-17 11:06"
    assert formats.clock_time(None, now_ms, UTC) == "–"


def test_clock_time_follows_the_zone() -> None:
    now_ms = 1_795_000_000_000
    assert formats.clock_time(now_ms, now_ms, timezone(timedelta(hours=2))) == "13:06:40"


@given(st.integers(min_value=-LARGEST, max_value=LARGEST))
def test_clock_time_of_any_stamp_is_a_text(wall_ms: int) -> None:
    assert formats.clock_time(wall_ms, 0, UTC)


@pytest.mark.parametrize(
    ("form", "width", "largest"),
    [
        (formats.percent, 4, 10_000),
        (formats.size, 4, 999 * 2**50),
        (formats.load, 4, 999_900),
        (formats.age, 4, 999 * 86_400),
        (formats.duration, 8, 99 * 365 * 86_400),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_texts_keep_within_their_stated_width(
    form: Callable[[int | None], str], width: int, largest: int
) -> None:
    @given(st.integers(min_value=0, max_value=largest))
    def holds(value: int) -> None:
        assert 0 < len(form(value)) <= width

    holds()


@given(anything_on_the_wire)
def test_no_value_of_the_wire_breaks_a_format(value: int) -> None:
    for form in (
        formats.percent,
        formats.size,
        formats.size_kib,
        formats.load,
        formats.count,
        formats.temperature,
        formats.age,
        formats.duration,
        formats.delay,
    ):
        assert form(value)
