"""What a row shows, how it fits, and that nothing in it is wider than its column."""

from datetime import UTC
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from shared.liveness import State
from shared.messages import Trouble, raw
from shared.metrics import Core
from tests.tui.fleets import MONO_MS, WALL_MS, core, info, vitals
from tui import comb, formats
from tui.cells import cells
from tui.columns import BY_KEY, COLUMNS, Column
from tui.look import Sight
from tui.moment import Moment
from tui.node import Node, Profile
from tui.placement import Placed, content_widths, fit
from tui.shortening import shorten, shorten_path
from tui.tones import Piece, Pieces, Tone, meter
from tui.view import Group

NOW = Sight(Moment(MONO_MS, WALL_MS))


def node(state: str = State.UP, *, labels: dict[str, str] | None = None, **changes: Any) -> Node:
    return Node(Profile(info("web-1", labels=labels or {})), vitals("web-1", state, **changes))


def text(pieces: Pieces) -> str:
    return "".join(piece.text for piece in pieces)


def shown(key: str, of: Node, width: int = 20) -> str:
    return text(BY_KEY[key].draw(of, NOW, width))


def tones(key: str, of: Node, width: int = 4) -> set[Tone]:
    return {piece.tone for piece in BY_KEY[key].draw(of, NOW, width)}


def test_state_is_told_by_shape_and_word_as_well_as_tone() -> None:
    badges = {shown("state", node(state), 14) for state in State}
    assert len({badge[0] for badge in badges}) == len(State)
    assert {badge[2:].split()[0] for badge in badges} == set(State)


def test_state_that_nobody_knows_here_is_shown_with_a_question_mark() -> None:
    assert shown("state", node("quarantined"), 13) == "? quarantined"


def test_degraded_node_is_marked_beside_its_state() -> None:
    trouble = (Trouble("disks", "stuck", 41, "no answer"),)
    assert shown("state", node(troubles=trouble), 8) == "● up !"
    assert shown("state", node(conflict=True), 8) == "● up !"


def test_node_that_comes_and_goes_is_marked_beside_its_state_and_in_words() -> None:
    flapping = node(flapping=True)
    assert shown("state", flapping, 8) == "● up ≈"
    assert shown("state", node(flapping=True, conflict=True), 8) == "● up ! ≈"
    assert shown("note", flapping, 60).startswith("≈ flapping · since ")
    why = node(State.DOWN, flapping=True, reason="process died")
    assert shown("note", why, 60).startswith("≈ flapping · process died · since ")
    assert "flapping" in flapping.searchable
    assert flapping.is_problem


def test_cell_of_the_honeycomb_and_sum_of_a_group_tell_of_flapping() -> None:
    flapping = node(flapping=True)
    assert comb.cell(flapping, NOW, is_current=True) == Piece("≈", Tone.WARM)
    assert comb.cell(node(conflict=True), NOW, is_current=True).text == "!"
    group = Group("role", "db", [flapping, node(conflict=True)], is_folded=False)
    place = [Placed(BY_KEY["note"], 0, 40)]
    (said,) = cells(group, NOW, place, is_current=True)
    assert text(said) == "≈ 1 flapping  ! 1 degraded"


def test_passing_state_says_how_long_it_has_lasted() -> None:
    since: dict[str, Any] = {"age_ms": 9_200, "since_wall_ms": WALL_MS - 3_200}
    assert shown("state", node(State.LATE, **since), 14) == "▲ late 3.2 s"
    assert shown("state", node(State.HUNG, **since), 14) == "■ hung 3.2 s"
    assert shown("state", node(State.LATE, **since), 8) == "▲ late"
    assert shown("state", node(State.DOWN, **since), 14) == "✗ down"
    late = node(State.LATE, reason="no beat when promised", **since)
    assert shown("note", late, 60) == "no beat when promised · for 3.2 s"


def test_how_long_a_state_has_lasted_is_told_by_the_masters_clocks_alone() -> None:
    of = node(State.LATE, age_ms=9_200, since_wall_ms=WALL_MS - 3_200)
    sight = Sight(Moment(MONO_MS + 1_000, WALL_MS + 3_600_000))
    assert text(BY_KEY["state"].draw(of, sight, 14)) == "▲ late 4.2 s"
    unheard = node(State.AWAITED, seen_mono_ms=None, since_wall_ms=WALL_MS - 3_200)
    assert text(BY_KEY["state"].draw(unheard, NOW, 16)) == "◔ awaited 3.2 s"


def test_numbers_of_a_node_are_formatted() -> None:
    of = node()
    assert shown("cpu", of, 4) == " 12%"
    assert shown("memory", of, 4) == " 48%"
    assert shown("load", of) == "1.42"
    assert shown("fullest", of, 30) == " 63% /var/lib/postgresql"
    assert shown("received", of) == "1.2M"
    assert shown("sent", of) == "337K"
    assert shown("uptime", of, 8) == "12d 4h"
    assert shown("uptime", of, 4) == "12d"
    assert shown("age", of) == "2s"


@pytest.mark.parametrize(
    "key", [column.key for column in COLUMNS if column.is_measured and column.key != "trail"]
)
def test_value_that_is_not_known_is_a_dash(key: str) -> None:
    assert shown(key, node(core=raw(Core())), 4).strip() == formats.ABSENT


@pytest.mark.parametrize(
    ("basis_points", "tone"),
    [(6_999, Tone.PLAIN), (7_000, Tone.WARM), (8_999, Tone.WARM), (9_000, Tone.HOT)],
)
def test_thresholds_change_the_tone(basis_points: int, tone: Tone) -> None:
    sample = raw(core(cpu_busy_bp=basis_points, filesystem_used_max_bp=basis_points))
    assert tones("cpu", node(core=sample)) == {tone}
    assert tone in tones("fullest", node(core=sample), 9)


def test_load_is_judged_by_the_number_of_processors() -> None:
    for centi, tone in ((790, Tone.PLAIN), (800, Tone.WARM), (1_600, Tone.HOT)):
        assert tones("load", node(core=raw(core(load_1m_centi=centi, cpu_count=8)))) == {tone}


def test_wide_column_has_a_meter_before_its_number() -> None:
    assert shown("cpu", node(core=raw(core(cpu_busy_bp=5_000))), 13) == "━━━━╺━━━  50%"


def test_age_from_before_the_masters_start_is_marked_as_an_estimate() -> None:
    assert shown("age", node(seen_mono_ms=None, seen_wall_ms=WALL_MS - 90_000)) == "~90s"
    assert shown("age", node(seen_mono_ms=None, seen_wall_ms=None)) == "never"


def test_note_of_a_problem_is_its_reason_and_since_when() -> None:
    of = node(State.DOWN, reason="process died", since_wall_ms=WALL_MS - 1_000)
    since = formats.clock_time(WALL_MS - 1_000, WALL_MS)
    assert shown("note", of, 60) == f"process died · since {since}"
    assert shown("note", of, 16) == "process died"


def test_note_of_a_healthy_node_is_its_labels() -> None:
    assert shown("note", node(labels={"zone": "eu-1", "role": "web"}), 60) == "role=web zone=eu-1"


def test_numbers_of_a_silent_node_lose_their_colours_and_its_state_does_not() -> None:
    hot = raw(core(cpu_busy_bp=9_900, memory_used_bp=9_900))
    placed = fit(COLUMNS, 120, {})
    old = node(State.DOWN, age_ms=60_000, core=hot)
    drawn = dict(
        zip((p.column.key for p in placed), cells(old, NOW, placed, is_current=True), strict=True)
    )
    assert {piece.tone for piece in drawn["cpu"]} <= {Tone.MUTED, Tone.FAINT}
    assert {piece.tone for piece in drawn["state"]} == {Tone.DOWN}


def test_whole_row_loses_its_colours_when_the_picture_is_old() -> None:
    placed = fit(COLUMNS, 200, {})
    drawn = cells(node(State.DOWN), NOW, placed, is_current=False)
    assert {piece.tone for pieces in drawn for piece in pieces} <= {Tone.MUTED, Tone.FAINT}


# --- widths ---------------------------------------------------------------------------------------


def end(placed: tuple[Placed, ...]) -> int:
    return placed[-1].x + placed[-1].width


def test_eighty_columns_hold_everything_but_extras() -> None:
    placed = fit(COLUMNS, 78, content_widths([node()]))
    assert [p.column.key for p in placed] == [c.key for c in COLUMNS if not c.is_extra]
    assert end(placed) <= 78


def test_least_important_columns_leave_first() -> None:
    kept = [{place.column.key for place in fit(COLUMNS, width, {})} for width in range(200, 30, -1)]
    for wider, narrower in pairwise(kept):
        assert narrower <= wider
    assert kept[-1] >= {"state", "name", "cpu", "memory"}


@given(st.integers(min_value=36, max_value=400), st.integers(min_value=1, max_value=64))
def test_columns_never_overlap_nor_leave_the_screen(width: int, name: int) -> None:
    placed = fit(COLUMNS, width, {"name": name, "state": 9})
    for one, following in pairwise(placed):
        assert one.x + one.width < following.x
    assert end(placed) <= width


def test_meters_of_cpu_and_memory_are_equally_long() -> None:
    for width in range(40, 250):
        widths = {place.column.key: place.width for place in fit(COLUMNS, width, {})}
        assert widths["cpu"] == widths["memory"]


@given(
    state=st.sampled_from([*State, "some-state-of-the-future"]),
    name=st.text(min_size=1, max_size=64),
    reason=st.text(max_size=100),
    labels=st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=4),
    mount=st.text(max_size=40),
    numbers=st.lists(st.none() | st.integers(0, 10_000), min_size=66, max_size=66),
    screen=st.integers(min_value=36, max_value=250),
    age_ms=st.integers(min_value=0, max_value=10**9),
)
def test_no_cell_is_wider_than_its_column_or_unprintable(
    state: str,
    name: str,
    reason: str,
    labels: dict[str, str],
    mount: str,
    numbers: list[int | None],
    screen: int,
    age_ms: int,
) -> None:
    sample = Core(*numbers[: len(Core.__struct_fields__)])
    of = Node(
        Profile(info(name, labels=labels, filesystems=(mount,) * 10_001)),
        vitals("x", state, reason=reason, core=raw(sample), age_ms=age_ms),
    )
    placed = fit(COLUMNS, screen, content_widths([of]))
    for place, pieces in zip(placed, cells(of, NOW, placed, is_current=True), strict=True):
        assert cell_len(text(pieces)) <= place.width, place.column.key
        assert text(pieces).isprintable()


def test_content_widths_leave_room_for_the_mark_of_a_degraded_node() -> None:
    assert content_widths([node(State.LATE, conflict=True)])["state"] == cell_len("▲ late ! 9.9 s")
    assert content_widths([node(flapping=True)])["state"] == cell_len("● up ≈")


def test_column_that_is_added_needs_no_more_than_its_own_row() -> None:
    def users(of: Node, _sight: Sight, _width: int) -> Pieces:
        return BY_KEY["load"].draw(of, NOW, 5)

    extra = Column("users", "users", 5, 5, users, is_number=True, is_extra=True)
    keys = [place.column.key for place in fit((*COLUMNS, extra), 250, {})]
    assert keys[-1] == "users"


# --- text that does not fit -----------------------------------------------------------------------


@given(st.text(), st.integers(min_value=0, max_value=30))
def test_shortened_text_keeps_within_its_width(long: str, width: int) -> None:
    assert cell_len(shorten(long, width)) <= width
    assert cell_len(shorten_path(long, width)) <= width


def test_shortened_text_says_that_it_is_shortened() -> None:
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdef", 5) == "abcd…"
    assert shorten("日本語です", 6) == "日本…"


def test_path_gives_up_its_beginning_by_whole_names() -> None:
    assert shorten_path("/var/lib/postgresql", 19) == "/var/lib/postgresql"
    assert shorten_path("/var/lib/postgresql", 18) == "…/lib/postgresql"
    assert shorten_path("/var/lib/postgresql", 15) == "…/postgresql"
    assert shorten_path("/var/lib/postgresql", 8) == "postgre…"


@given(st.floats(min_value=0, max_value=2), st.integers(min_value=1, max_value=40))
def test_meter_is_always_as_wide_as_asked(ratio: float, width: int) -> None:
    assert len(text(meter(ratio, width, Tone.CALM))) == width


def test_meter_fills_by_half_cells_and_shows_the_least_use() -> None:
    assert text(meter(0.0, 4, Tone.CALM)) == "╺━━━"
    assert text(meter(0.001, 4, Tone.CALM)) == "╸━━━"
    assert text(meter(0.5, 4, Tone.CALM)) == "━━╺━"
    assert text(meter(0.6, 4, Tone.CALM)) == "━━╸━"
    assert text(meter(1.0, 4, Tone.CALM)) == "━━━━"


def test_times_in_notes_are_in_the_viewers_zone() -> None:
    assert formats.clock_time(WALL_MS, WALL_MS, UTC) == "11:06:40"
