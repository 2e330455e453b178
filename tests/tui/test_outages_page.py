"""The page of outages: the last day, availability, each absence with its cause and evidence."""

from dataclasses import replace
from typing import Any

import pytest

from shared.liveness import State
from shared.messages import Availability, Event, NodeDetail, Outage, Outages
from tests.tui import details
from tests.tui.fleets import MONO_MS, WALL_MS, info, vitals
from tui.focus import Focus
from tui.look import Sight
from tui.moment import Moment
from tui.node import Node, Profile
from tui.outages import Record, cause_of, lasted_s, noticed_s, percent, ratio_of, window
from tui.pages import PAGES
from tui.pages.outages import chosen_place, outage_beside, outages
from tui.pages.page import Choices, Scene, freshness
from tui.tones import Pieces, Tone
from tui.trail import Trail

NODE_ID = "id-db-1"
DAY_S = 86_400


def record(told: tuple[Outage, ...] | None = None) -> Record:
    made = Record(NODE_ID)
    made.apply(Outages(1, details.outages_of(NODE_ID, "db-1") if told is None else told))
    made.apply(details.node_detail("db-1"))
    return made


def scene(of: Record | None, *, width: int = 100, height: int = 28, **changes: Any) -> Scene:
    node = Node(Profile(info("db-1")), vitals("db-1", since_wall_ms=WALL_MS - 2 * DAY_S * 1000))
    sight = Sight(Moment(MONO_MS, WALL_MS))
    focus = Focus(NODE_ID, Trail())
    made = Scene(node, focus, sight, width, height, Choices(), (), of)
    return replace(made, **changes)


def lines(of: Scene) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in outages(of).body]


def row(of: Scene, wanted: str) -> str:
    return next(line for line in lines(of) if wanted in line)


def outage(**changes: Any) -> Outage:
    fields: dict[str, Any] = {
        "number": 1,
        "node_id": NODE_ID,
        "name": "db-1",
        "from_wall_ms": WALL_MS - 60_000,
        "noticed_wall_ms": WALL_MS - 56_500,
        "to_wall_ms": WALL_MS - 20_000,
        "cause": "agent-killed",
        "evidence": (),
    }
    return Outage(**(fields | changes))


def test_last_day_is_a_strip_with_its_axis_and_legend() -> None:
    shown = lines(scene(record()))
    assert shown[0].strip() == "The last 24 hours"
    assert len(shown[1]) == 99
    assert {"━", "✗", "◔"} <= set(shown[1])
    assert shown[1].endswith("✗")
    assert shown[2].endswith("now")
    assert "✗ away" in shown[3]
    assert "not known" not in shown[3]


def test_strip_knows_short_troubles_from_events() -> None:
    late = (
        Event(1, WALL_MS - 7_200_000, "state", NODE_ID, "db-1", "up", "late"),
        Event(2, WALL_MS - 7_197_000, "state", NODE_ID, "db-1", "late", "up"),
    )
    assert lines(scene(record(()), events=late))[1].count("▲") == 1
    assert "▲" not in lines(scene(record(())))[1]


def test_node_that_was_never_seen_has_no_past() -> None:
    node = Node(Profile(info("db-1")), vitals("db-1", State.NEVER_SEEN))
    assert set(lines(scene(record(()), node=node))[1].strip()) == {"·"}


def test_availability_is_told_for_day_week_and_month() -> None:
    shown = row(scene(record()), "Availability")
    assert "day 99.907 %" in shown
    assert "week 98.51" in shown
    assert "known for 12d 0h" in shown
    assert "late 6.1 s, down 13 s, hung and down 30 s" in row(scene(record()), "Would be noticed")


def test_each_outage_is_told_with_how_long_how_soon_and_why() -> None:
    shown = "\n".join(lines(scene(record())))
    assert "Outages  1 of 4" in shown
    assert "4 m 12 s" in shown
    assert "host rebooted, unclean" in shown
    assert "network cut" in shown
    assert "the master was away" in shown
    assert "still away" in shown


def test_evidence_stands_beneath_the_chosen_outage_only() -> None:
    of = scene(record())
    assert "no evidence yet" in "\n".join(lines(of))
    chosen = replace(of, choices=Choices(outage=5))
    shown = lines(chosen)
    place = next(n for n, line in enumerate(shown) if "host rebooted" in line)
    assert shown[place].startswith("▸", 1)
    assert shown[place + 1].strip() == "├ boot id changed"
    assert shown[place + 4].strip().startswith("└ also: agent and master")
    assert "samples were taken" not in "\n".join(shown)


def test_choosing_steps_through_the_outages_and_stays_on_one_when_more_come() -> None:
    of = scene(record())
    assert outage_beside(of, 1) == 8
    assert outage_beside(of, -1) == 9
    assert outage_beside(of, 99) == 3
    chosen = replace(of, choices=Choices(outage=8))
    assert chosen_place(chosen) == 1
    more = (*details.outages_of(NODE_ID, "db-1"), outage(number=12))
    assert chosen_place(replace(chosen, record=record(more))) == 2
    assert outage_beside(scene(None), 1) == 0
    assert outage_beside(scene(record(())), 1) == 0


@pytest.mark.parametrize("place", [0, 1, 75, 148, 149])
@pytest.mark.parametrize("height", [12, 20, 43])
def test_chosen_outage_and_its_evidence_are_in_sight_however_many_there_are(
    place: int, height: int
) -> None:
    many = tuple(outage(number=n, evidence=(f"proof of {n}",)) for n in range(1, 151))
    number = many[::-1][place].number
    of = scene(record(many), height=height, choices=Choices(outage=number))
    shown = lines(of)
    assert f"proof of {number}" in "\n".join(shown)
    assert f"{place + 1} of 150" in "\n".join(shown)
    if height > 15:
        assert len(shown) <= height


def test_node_without_outages_and_one_of_which_nothing_is_known_are_told_apart() -> None:
    assert "It has never been away." in "\n".join(lines(scene(record(()))))
    assert "No outages yet." in "\n".join(lines(scene(Record(NODE_ID))))
    assert "No outages yet." in "\n".join(lines(scene(None)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cause": "agent-killed", "out_of_memory": True}, "agent killed, out of memory"),
        ({"cause": "agent-restarted", "exit_reason": "SIGTERM"}, "agent restarted (SIGTERM)"),
        ({"cause": "host-rebooted", "clean": True}, "host rebooted, clean"),
        ({"cause": "host-rebooted", "planned": True}, "host rebooted, planned"),
        ({"cause": "unknown"}, "cause unknown"),
        ({"cause": ""}, "not judged yet"),
        ({"cause": "meteorite"}, "meteorite"),
        ({"cause": "", "to_wall_ms": None}, "still away"),
        ({"cause": "", "to_wall_ms": None, "planned": True}, "left"),
    ],
)
def test_cause_is_told_in_words(changes: dict[str, Any], words: str) -> None:
    assert cause_of(outage(**changes)) == words


def test_open_outage_lasts_until_now() -> None:
    assert lasted_s(outage(to_wall_ms=None), WALL_MS) == 60
    assert lasted_s(outage(), WALL_MS) == 40
    assert noticed_s(outage()) == 3.5


def test_hostile_texts_of_an_outage_are_cleaned() -> None:
    evil = "\x1b[2J\u202eevil\x07"
    shown = "\n".join(lines(scene(record((outage(cause=evil, evidence=(evil,)),)))))
    assert "evil" in shown
    assert not set("\x1b\x07\u202e") & set(shown)


def test_answers_about_another_node_are_not_taken_in() -> None:
    of = Record(NODE_ID)
    assert not of.apply(Outages(1, details.outages_of("id-web-1", "web-1")))
    other: NodeDetail = details.node_detail("web-1")
    assert not of.apply(other)
    assert of.outages is None
    assert of.availability == ()


def test_availability_counts_neither_planned_nor_unobserved_time() -> None:
    assert ratio_of(Availability(DAY_S, 1_000, 100, 400, 100)) == 1 - 100 / 500
    assert ratio_of(Availability(DAY_S, 500, 0, 500)) is None
    assert ratio_of(Availability(DAY_S, 0, 0)) is None
    assert percent(1 - 1e-9) == "99.999 %"
    assert percent(1.0) == "100 %"
    assert [window(Availability(s, s, 0)) for s in (DAY_S, 7 * DAY_S, 90_000)] == [
        "day",
        "week",
        "1d 1h",
    ]


def test_poor_availability_is_marked() -> None:
    of = scene(record())
    tones = {text: tone for line in outages(of).body for text, tone in line if text.endswith(" %")}
    assert list(tones.values()) == [Tone.UP, Tone.HOT, Tone.WARM]


def test_availability_says_how_old_it_is_and_is_marked_when_it_should_have_come() -> None:
    page = next(page for page in PAGES if page.key == "outages")
    assert shown_age(freshness(page, scene(record()))) == "availability 0s ago, every 10s"
    later = Sight(Moment(MONO_MS + 32_000, WALL_MS + 32_000))
    told = freshness(page, scene(record(), sight=later))
    assert shown_age(told) == "availability 32s ago, every 10s"
    assert told[-1].tone is Tone.WARM
    assert shown_age(freshness(page, scene(Record(NODE_ID)))) == ""


def shown_age(pieces: Pieces) -> str:
    return "".join(piece.text for piece in pieces).strip()


def test_how_soon_it_is_noticed_fits_a_narrow_screen() -> None:
    assert all(len(line) <= 78 for line in lines(scene(record(), width=78)))
