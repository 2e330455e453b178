"""The line of time: spans, cells, what they say, and which questions it takes."""

from collections.abc import Iterable
from itertools import count

import pytest

from shared import messages as m
from shared.causes import Cause
from tests.tui import then
from tests.tui.fleets import WALL_MS
from tui import timeline
from tui.asking import Asking
from tui.landmarks import REFRESH_S, Landmarks
from tui.spans import SPANS, Span, Window, cell_ms, window
from tui.timeline import Cell
from tui.tones import Pieces

HOUR = SPANS[1]
NOW = WALL_MS - WALL_MS % 60_000
WINDOW = Window(NOW - 3_600_000, 60_000, 60)


def text(pieces: Pieces) -> str:
    return "".join(piece.text for piece in pieces)


def drawn(*outages: m.Outage, missing: Iterable[int] = (), total: int = 10) -> str:
    """`missing` are the cells in which samples are."""
    first = WINDOW.begin_wall_ms // WINDOW.cell_ms
    found = timeline.cells(WINDOW, outages, {first + place: 1 for place in missing})
    return text(timeline.line(found, WINDOW, total, 0, NOW + 60_000))


# --- spans ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [1, 20, 70, 110, 190])
@pytest.mark.parametrize("span", SPANS, ids=lambda span: span.title)
def test_cells_fit_and_show_all_of_the_span(span: Span, room: int) -> None:
    each = window(span, room, WALL_MS, WALL_MS)
    assert each.cells <= room
    assert each.cells * each.cell_ms >= span.length_ms
    assert each.begin_wall_ms % each.cell_ms == 0


def test_cells_are_as_long_as_people_count() -> None:
    assert [cell_ms(span, 70) // 1_000 for span in SPANS] == [15, 60, 1_800, 10_800, 43_200]


def test_window_ends_now_and_goes_along_with_a_cursor_that_leaves_it() -> None:
    near = window(HOUR, 70, WALL_MS - 1_800_000, WALL_MS)
    assert near.end_wall_ms > WALL_MS >= near.end_wall_ms - near.cell_ms
    far = window(HOUR, 70, WALL_MS - 86_400_000, WALL_MS)
    assert far.place(WALL_MS - 86_400_000) == far.cells // 2 - 1


# --- cells ----------------------------------------------------------------------------------------


def test_outage_fills_its_cells_by_how_many_were_away() -> None:
    one = then.outage("web-1", 30, 3)
    three = [then.outage(f"web-{n}", 30, 3) for n in range(3)]
    all_ten = [then.outage(f"web-{n}", 30, 3) for n in range(10)]
    for outages, shape in (([one], "▄"), (three, "▆"), (all_ten, "█")):
        assert drawn(*outages).count(shape) == 4
        assert drawn(*outages).count("━") == 56


def test_one_node_of_many_still_shows() -> None:
    assert "▂" in drawn(then.outage("web-1", 30, 0.01), total=10_000)


def test_outage_that_lasts_reaches_to_the_end() -> None:
    assert drawn(then.outage("web-1", 10, None)).endswith("▄" * 10)


def test_goodbyes_and_the_masters_own_absence_are_no_outages() -> None:
    away = then.outage("web-1", 30, 3, cause=Cause.MASTER_AWAY)
    assert drawn(away).count("◔") == 4
    assert drawn(then.outage("web-1", 30, 3, planned=True)).count("━") == 60
    assert drawn(then.outage("web-1", 30, 3, planned=True), total=1).count("○") == 4


def test_missing_samples_show_where_nobody_was_away() -> None:
    line = drawn(then.outage("web-1", 30, 3), missing=range(33, 39))
    assert (line.count("▄"), line.count("╍")) == (4, 5)


def test_nothing_is_claimed_of_before_the_first_node_and_of_what_is_to_come() -> None:
    found = timeline.cells(WINDOW, (), {})
    begin_ms = WINDOW.begin_wall_ms
    line = timeline.line(found, WINDOW, 1, begin_ms + 600_000, begin_ms + 1_200_000)
    assert text(line) == "·" * 10 + "━" * 11 + " " * 39


@pytest.mark.parametrize(
    ("cell", "total", "said"),
    [
        (Cell(), 30, []),
        (Cell(away=3, missing=2), 30, ["3 of 30 away", "samples missing of 2"]),
        (Cell(away=1), 1, ["away"]),
        (Cell(unobserved=30), 30, ["the master was away"]),
        (Cell(planned=1), 1, ["had left"]),
    ],
)
def test_words_under_the_cursor(cell: Cell, total: int, said: list[str]) -> None:
    assert timeline.words(cell, total) == said


def test_axis_is_as_wide_as_the_line_wherever_the_cursor_is() -> None:
    found = [Cell(away=3, planned=4, missing=12)] * 60
    for place in range(60):
        at_ms = WINDOW.begin_wall_ms + place * 60_000
        axis = text(timeline.axis(found, WINDOW, at_ms, NOW + 60_000, 30))
        assert axis.rstrip()[: place + 1].endswith("▲")
        assert len(axis) <= 60
        assert "3 of 30 away" in axis


# --- questions ------------------------------------------------------------------------------------


def test_landmarks_are_asked_for_once_and_again_in_a_while() -> None:
    sent: list[m.FromViewer] = []
    landmarks = Landmarks(sent.append, count(1))
    landmarks.want("", WINDOW, 0.0)
    landmarks.want("", WINDOW, 0.0)
    outages, gaps = sent
    assert isinstance(outages, m.ListOutages)
    assert isinstance(gaps, m.GetCoverage)
    assert (gaps.from_wall_ms, gaps.to_wall_ms) == (WINDOW.begin_wall_ms, WINDOW.end_wall_ms)
    landmarks.take(m.Outages(outages.request, (then.outage("web-1", 30, 3),)), 0.0)
    landmarks.take(then.coverage(gaps, {"web-1": (then.gap(50, 1),)}, is_last=False), 0.0)
    landmarks.take(then.coverage(gaps, {"web-2": (then.gap(50, 1, "late"),)}), 0.0)
    assert landmarks.cells(WINDOW).count(Cell(missing=1)) == 2
    landmarks.want("", WINDOW, REFRESH_S - 1)
    assert len(sent) == 2
    landmarks.want("", WINDOW, REFRESH_S + 1)
    assert len(sent) == 4


def test_landmarks_of_another_node_are_others() -> None:
    sent: list[m.FromViewer] = []
    landmarks = Landmarks(sent.append, count(1))
    landmarks.want("", WINDOW, 0.0)
    landmarks.want("id-web-1", WINDOW, 0.0)
    assert not landmarks.take(m.Outages(1, (then.outage("db-1", 30, 3),)), 0.0)
    assert landmarks.outages == ()
    assert {each.node for each in sent if isinstance(each, m.ListOutages)} == {"", "id-web-1"}


def test_failed_landmarks_are_not_asked_for_at_once_again() -> None:
    sent: list[m.FromViewer] = []
    landmarks = Landmarks(sent.append, count(1))
    landmarks.want("", WINDOW, 0.0)
    for request in (1, 2):
        assert landmarks.take(m.Failed(request, "not-read", "no"), 0.0)
    landmarks.want("", WINDOW, 1.0)
    assert len(sent) == 2


def test_questions_replace_each_other() -> None:
    sent: list[tuple[int, str]] = []
    asking = Asking[str](lambda number, what: sent.append((number, what)), count(7))
    for what in "abcd":
        asking.want(what, 0.0)
    assert sent == [(7, "a")]
    assert asking.answered(6, 1.0) is None
    assert asking.answered(7, 1.0) == "a"
    assert sent == [(7, "a"), (8, "d")]
    assert asking.waiting_s(1.5) == 0.5
    asking.again(2.0)
    assert sent[-1] == (9, "d")
    asking.drop()
    assert asking.answered(9, 3.0) is None
    assert not asking.is_open
