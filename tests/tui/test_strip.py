"""The last day of a node in one line: the worst of each stretch, and what is not known."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from shared.liveness import State
from shared.messages import Event, Outage
from tests.tui.fleets import WALL_MS
from tui import strip
from tui.ascii import to_ascii
from tui.outages import OUTAGES_ASKED
from tui.strip import DAY_MS, UNKNOWN, Span
from tui.tones import Pieces, Tone

HOUR_MS = 3_600_000
BEGIN_MS = WALL_MS - DAY_MS


def text(pieces: Pieces) -> str:
    return "".join(piece.text for piece in pieces)


def hours_ago(hours: float) -> int:
    return WALL_MS - round(hours * HOUR_MS)


def change(hours: float, before: str, after: str) -> Event:
    return Event(1, hours_ago(hours), "state", "id-a", "a", before, after)


def outage(hours: float, lasted_h: float | None, **changes: Any) -> Outage:
    from_ms = hours_ago(hours)
    to_ms = None if lasted_h is None else from_ms + round(lasted_h * HOUR_MS)
    fields: dict[str, Any] = {"cause": "network-cut", "evidence": ()} | changes
    return Outage(1, "id-a", "a", from_ms, from_ms, to_ms, **fields)


def drawn(
    *events: Event,
    outages: tuple[Outage, ...] | None = None,
    state: str = State.UP,
    since_h: float = 48.0,
    seen_h: float = 100.0,
    cells: int = 24,
) -> str:
    present = Span(hours_ago(since_h), WALL_MS, state)
    spans = strip.history(present, events, outages, hours_ago(seen_h))
    return text(strip.strip(strip.states(spans, BEGIN_MS, WALL_MS, cells)))


def test_node_that_was_up_all_day_is_a_line() -> None:
    assert drawn() == "━" * 24


def test_each_state_has_a_shape_of_its_own_as_well_as_a_tone() -> None:
    signs = [strip.sign(state) for state in (*State, UNKNOWN) if state != State.NEVER_SEEN]
    assert len({sign.text for sign in signs}) == len(signs)
    assert all(cell_len(sign.text) == 1 for sign in signs)
    assert strip.sign(State.DOWN).tone is Tone.DOWN
    assert strip.sign(UNKNOWN).tone is Tone.FAINT
    plain = {to_ascii(sign.text) for sign in signs}
    assert all(sign.isascii() for sign in plain)
    assert len(plain) == len(signs)


def test_between_outages_the_node_was_there_as_far_back_as_they_are_told() -> None:
    assert drawn(outages=(), since_h=1) == "━" * 24
    assert drawn(outages=(outage(3.5, 0.1),), since_h=1, seen_h=12) == "·" * 12 + "━" * 8 + "✗━━━"
    many = tuple(outage(5.5 - n / 1000, 0.0001) for n in range(OUTAGES_ASKED))
    assert drawn(outages=many, since_h=1) == "·" * 18 + "✗" + "━" * 5
    assert drawn(outages=None, since_h=1) == "·" * 23 + "━"


def test_short_outage_takes_a_cell_of_its_own() -> None:
    assert drawn(outages=(outage(3.5, 0.001),)) == "━" * 20 + "✗" + "━" * 3


def test_outage_that_lasts_reaches_to_the_end() -> None:
    away = drawn(outages=(outage(3.5, None),), state=State.DOWN, since_h=3.4)
    assert away == "━" * 20 + "✗✗✗✗"


def test_worst_state_of_a_stretch_is_the_one_that_is_drawn() -> None:
    events = (
        change(5.9, "up", "late"),
        change(5.8, "late", "down"),
        change(5.7, "down", "up"),
        change(2.9, "up", "late"),
        change(2.8, "late", "up"),
    )
    assert drawn(*events, since_h=2.8) == "━" * 18 + "✗━━▲━━"


def test_first_change_tells_what_was_before_it() -> None:
    events = (change(6, "down", "up"),)
    assert drawn(*events, since_h=6) == "✗" * 18 + "━" * 6


def test_nothing_is_known_of_before_a_node_was_first_seen() -> None:
    events = (change(10, "never-seen", "up"), change(4, "up", "late"), change(3.9, "late", "up"))
    assert drawn(*events, since_h=3.9, seen_h=12) == "·" * 14 + "━" * 6 + "▲━━━"
    assert drawn(change(6, "late", "up"), since_h=6, seen_h=8) == "·" * 16 + "▲▲" + "━" * 6


def test_planned_absence_and_the_masters_own_are_not_drawn_as_failures() -> None:
    assert drawn(outages=(outage(2.5, 1.4, planned=True),))[-3:] == "○○━"
    assert drawn(outages=(outage(2.5, 1.4, cause="master-away"),))[-3:] == "◔◔━"
    assert drawn(outages=(outage(2.5, 1.4, cause="process-hung"),))[-3:] == "■■━"


def test_state_of_a_newer_master_is_drawn_and_named() -> None:
    assert drawn(state="quarantined", since_h=1.5)[-2:] == "??"
    assert "? quarantined" in text(strip.legend(["quarantined"]))


def test_legend_explains_what_is_drawn_and_no_more() -> None:
    said = text(strip.legend([UNKNOWN, State.UP, State.UP, State.DOWN]))
    assert said.split() == ["✗", "away", "━", "up", "·", "not", "known"]


@given(
    st.lists(
        st.tuples(
            st.integers(-2 * DAY_MS, DAY_MS),
            st.integers(-2 * DAY_MS, DAY_MS),
            st.sampled_from([*State, "x"]),
        )
    ),
    st.integers(min_value=1, max_value=250),
)
def test_strip_always_fills_its_width(spans: list[tuple[int, int, str]], cells: int) -> None:
    moved = [Span(WALL_MS + a, WALL_MS + b, state) for a, b, state in spans]
    assert cell_len(text(strip.strip(strip.states(moved, BEGIN_MS, WALL_MS, cells)))) == cells


@given(st.integers(min_value=4, max_value=250))
def test_axis_is_as_wide_as_its_strip(width: int) -> None:
    line = text(strip.axis(width))
    assert len(line) == width
    assert line.endswith("now")


def test_axis_names_hours_where_they_are() -> None:
    line = text(strip.axis(96))
    assert [line.index(label) for label in ("╵24h ago", "╵18h", "╵12h", "╵6h")] == [0, 24, 48, 72]
