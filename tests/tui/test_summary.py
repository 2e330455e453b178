"""The lines around the table: the link told honestly, the fleet in one line, one node in two."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.liveness import State
from shared.messages import Delta
from tests.tui.fleets import MONO_MS, WALL_MS, info, snapshot, vitals
from tui import summary
from tui.filters import parse_filter
from tui.fleet import Fleet
from tui.link import Link, LinkState
from tui.mass import Mass
from tui.moment import Moment
from tui.node import Node, Profile
from tui.tones import Pieces, Tone
from tui.view import Arrangement

ALL = Arrangement()
NOW_S = 100.0
LIVE = Link(LinkState.LIVE, 50.0, "/run/m.sock", cluster="lab", delay_s=0.0012)
LOST = replace(LIVE, state=LinkState.LOST, since_s=88.0, reason="the link was reset")


def text(pieces: Pieces) -> str:
    return "".join(piece.text for piece in pieces)


def fleet_of(**states: str) -> Fleet:
    fleet = Fleet()
    fleet.apply(snapshot(states), NOW_S)
    return fleet


def test_brand_names_the_fleet() -> None:
    assert text(summary.brand(LIVE)) == "♥ heartline  lab"
    assert text(summary.brand(replace(LIVE, cluster=""))) == "♥ heartline"


def test_live_link_shows_its_delay_once_it_is_measured() -> None:
    assert text(summary.link_status(LIVE, Fleet(), NOW_S)) == "● live 1.2 ms"
    assert text(summary.link_status(replace(LIVE, delay_s=None), Fleet(), NOW_S)) == "● live"


def test_live_link_shows_when_this_screen_is_behind() -> None:
    fleet = fleet_of(a=State.UP)
    fleet.apply(Delta(MONO_MS, behind_ms=2_300), NOW_S)
    status = summary.link_status(LIVE, fleet, NOW_S)
    assert text(status) == "● live 2.3 s behind"
    assert status[-1].tone is Tone.WARM


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (LinkState.CONNECTING, "◌ connecting 12s"),
        (LinkState.LOST, "✗ lost 12s"),
        (LinkState.REFUSED, "⊘ refused 12s"),
    ],
)
def test_link_that_is_not_live_says_since_when(state: LinkState, words: str) -> None:
    assert text(summary.link_status(replace(LOST, state=state), Fleet(), NOW_S)) == words


def test_lost_master_is_announced_with_the_reason_and_the_next_attempt() -> None:
    assert text(summary.banner(LOST)) == ("This is the last picture: the link was reset")
    assert text(summary.next_attempt(replace(LOST, retry_at_s=103.2), NOW_S)) == "again in 3 s"
    assert text(summary.next_attempt(replace(LOST, retry_at_s=99.0), NOW_S)) == "again in 1 s"
    assert text(summary.next_attempt(LOST, NOW_S)) == "dialling"


def test_refusal_promises_no_further_attempt() -> None:
    refused = replace(LOST, state=LinkState.REFUSED, reason="revoked")
    assert text(summary.banner(refused)) == "The master refuses this viewer: revoked"
    assert summary.next_attempt(refused, NOW_S) == ()


def test_banner_is_silent_while_all_is_well_and_on_the_first_attempt() -> None:
    assert summary.banner(LIVE) == ()
    assert summary.next_attempt(LIVE, NOW_S) == ()
    connecting = replace(LIVE, state=LinkState.CONNECTING)
    assert summary.banner(connecting) == ()
    failed = replace(connecting, reason="nobody answers")
    assert text(summary.banner(failed)) == "No link yet: nobody answers"


def test_counts_name_every_state_that_a_node_is_in() -> None:
    fleet = fleet_of(a=State.UP, b=State.UP, c=State.DOWN)
    assert text(summary.counts(fleet, 80)) == "3 nodes   ✗ 1 down   ● 2 up"
    assert text(summary.counts(fleet_of(a=State.UP), 80)) == "1 node   ● 1 up"
    assert text(summary.counts(Fleet(), 80)) == "0 nodes"


def test_counts_give_up_gaps_and_then_words_where_there_is_no_room() -> None:
    fleet = fleet_of(a=State.UP, b=State.UP, c=State.DOWN)
    assert text(summary.counts(fleet, 26)) == "3 nodes  ✗ 1 down  ● 2 up"
    assert text(summary.counts(fleet, 20)) == "3 nodes  ✗ 1  ● 2"


@given(
    st.lists(st.integers(min_value=1, max_value=10_000), max_size=10),
    st.integers(min_value=0, max_value=300),
)
def test_bar_fills_its_width_and_shows_every_state(numbers: list[int], width: int) -> None:
    tallies = list(zip(State, numbers, strict=False))
    bar = summary.bar(tallies, width)
    assert len(text(bar)) == width
    if numbers and width >= len(numbers):
        assert [bool(piece.text) for piece in bar] == [True] * len(numbers)


def test_bar_is_shared_in_proportion() -> None:
    bar = summary.bar([(State.DOWN, 25), (State.UP, 75)], 42)
    assert [len(piece.text) for piece in bar] == [11, 31]


def node(state: str = State.UP, **changes: Any) -> Node:
    return Node(Profile(info("db-1", **changes)), vitals("db-1", state, reason="process died"))


def test_inspection_tells_how_the_node_is_and_what_it_is() -> None:
    moment = Moment(MONO_MS, WALL_MS)
    how, what = summary.inspection(node(State.DOWN, labels={"role": "db"}, note="spare"), moment)
    assert text(how).startswith("db-1  ✗ down since ")
    assert text(how).endswith("  process died")
    assert text(what) == (
        "10.0.3.7:51234 · Debian 12 · 8 cpus · 32G · 213 processes · 54° · agent 0.1.0 · role=db"
        " · spare"
    )


def test_condition_says_for_how_long_of_a_state_that_passes_and_whether_it_flaps() -> None:
    hung = vitals("db-1", State.HUNG, age_ms=18_000, since_wall_ms=WALL_MS - 12_000, flapping=True)
    said = text(summary.condition(Node(Profile(info("db-1")), hung), Moment(MONO_MS, WALL_MS)))
    assert said == "■ hung ≈ flapping for 12 s"


def test_fault_of_the_picture_is_said_before_what_the_picture_shows() -> None:
    mass = Mass("5 of 9 nodes fell silent at once", 3.2, 5, 5)
    left, right = summary.notice(LIVE, None, mass, NOW_S, WALL_MS)
    assert (text(left), text(right)) == ("▲ 5 of 9 nodes fell silent at once", "3.2 s ago")
    left, right = summary.notice(LOST, None, mass, NOW_S, WALL_MS)
    assert (text(left), text(right)) == ("This is the last picture: the link was reset", "dialling")
    assert summary.notice(LIVE, None, None, NOW_S, WALL_MS) == ((), ())


def test_inspection_of_a_node_that_never_linked_says_so() -> None:
    _, what = summary.inspection(node(address=""), Moment(MONO_MS, WALL_MS))
    assert text(what).startswith("has not linked yet · ")


def test_empty_screen_says_what_it_waits_for() -> None:
    connecting = Link(LinkState.CONNECTING, 0.0, "/run/m.sock")
    assert summary.nothing_to_show(connecting, Fleet(), ALL) == ("Connecting to /run/m.sock …",)
    assert summary.nothing_to_show(LIVE, Fleet(), ALL) == ("Receiving the fleet …",)
    assert summary.nothing_to_show(LOST, Fleet(), ALL) == ("There is nothing to show.",)
    told = "\n".join(summary.nothing_to_show(LIVE, fleet_of(), ALL))
    assert "heartline token create" in told


def test_past_in_which_nobody_was_known_asks_nobody_to_join() -> None:
    told = summary.nothing_to_show(LIVE, fleet_of(), ALL, is_past=True)
    assert told == ("No node was known at that time.", "Home goes back to now")


def test_filter_that_no_node_fits_is_said_and_how_to_see_all_again() -> None:
    fleet = fleet_of(a=State.UP, b=State.UP)
    wanted = Arrangement(filter=parse_filter("name:zzz"))
    for link in (LIVE, LOST):
        said = summary.nothing_to_show(link, fleet, wanted)
        assert said == ("No nodes fit this filter:  name:zzz", "Esc shows all again: 2")
    faults = replace(wanted, is_faults_only=True)
    assert "need an eye fit this filter" in summary.nothing_to_show(LIVE, fleet, faults)[0]
    (told, _) = summary.nothing_to_show(LIVE, fleet, Arrangement(is_faults_only=True))
    assert told == "There are no nodes that need an eye."
