"""Many nodes gone at once: said once, for as long as it matters."""

from collections.abc import Mapping
from typing import Any

from shared.liveness import State
from shared.messages import Delta, Event, Events
from tests.tui.fleets import MONO_MS, WALL_MS, snapshot, vitals
from tests.tui.scripted import LIVE, LOST, ScriptedSource, dashboard, run, screen_lines
from tui import mass
from tui.fleet import Fleet
from tui.journal import Journal
from tui.mass import SHOWN_S, Masses
from tui.moment import Moment
from tui.tones import Pieces

TEXT = "3 of 4 nodes fell silent at once; all of zone=eu-1: network or master?"
FALLEN = ("web-1", "web-2", "web-3")


def text(pieces: Pieces) -> str:
    return "".join(piece.text for piece in pieces)


def events(*, ago_ms: int = 14_000, names: tuple[str, ...] = FALLEN) -> list[Event]:
    at_ms = WALL_MS - ago_ms
    first = Event(1, at_ms - 900_000, "state", "id-db-1", "db-1", "up", "late")
    falls = [
        Event(number, at_ms - 300 * number, "state", f"id-{name}", name, "up", "late")
        for number, name in enumerate(names, 2)
    ]
    return [first, *falls, Event(50, at_ms, "mass", text=TEXT)]


def fleet(**states: str) -> Fleet:
    known = {"db-1": State.UP} | dict.fromkeys(FALLEN, State.LATE)
    made = Fleet()
    made.apply(snapshot(renamed(known, states)), 0.0)
    return made


def renamed(known: Mapping[str, str], states: Mapping[str, str]) -> dict[str, str]:
    return {**known, **{name.replace("_", "-"): state for name, state in states.items()}}


def said(told: list[Event], of: Fleet) -> str:
    journal = Journal()
    masses = Masses(journal)
    journal.add(told)
    found = masses.latest(of, Moment(MONO_MS, WALL_MS))
    return " | ".join(filter(None, (text(mass.words(found)), text(mass.age(found)))))


def test_mass_event_is_said_with_its_age() -> None:
    assert said(events(), fleet()) == f"▲ {TEXT} | 14 s ago"


def test_nodes_that_are_back_are_counted() -> None:
    assert said(events(), fleet(web_1=State.UP)) == f"▲ {TEXT}  1 back | 14 s ago"


def test_nothing_is_said_once_all_of_its_nodes_are_back() -> None:
    back = fleet(web_1=State.UP, web_2=State.LEFT, web_3=State.UP)
    assert said(events(), back) == ""


def test_node_that_was_away_long_before_does_not_keep_it() -> None:
    back = fleet(web_1=State.UP, web_2=State.UP, web_3=State.UP, db_1=State.DOWN)
    assert said(events(), back) == ""


def test_nodes_that_fall_right_after_it_belong_to_it() -> None:
    late = Event(51, WALL_MS - 9_000, "state", "id-db-1", "db-1", "up", "lost")
    back = fleet(web_1=State.UP, web_2=State.UP, web_3=State.UP, db_1=State.DOWN)
    assert said([*events(), late], back) == f"▲ {TEXT}  3 back | 14 s ago"


def test_nothing_is_said_after_five_minutes() -> None:
    limit_ms = round(SHOWN_S * 1000)
    assert said(events(ago_ms=limit_ms), fleet()) != ""
    assert said(events(ago_ms=limit_ms + 1), fleet()) == ""


def test_it_is_said_for_its_time_where_its_nodes_are_not_known() -> None:
    assert said(events(names=()), fleet()) == f"▲ {TEXT} | 14 s ago"


def test_node_that_was_forgotten_does_not_keep_it() -> None:
    gone = fleet(web_1=State.UP, web_2=State.UP)
    gone.apply(Delta(MONO_MS, gone=("id-web-3",)), 0.0)
    assert said(events(), gone) == ""


def test_of_two_the_later_is_said() -> None:
    other = Event(60, WALL_MS - 2_000, "mass", text="all of them")
    assert said([*events(), other], fleet()).startswith("▲ all of them")
    assert said([], fleet()) == ""


def test_nodes_that_return_or_fall_are_seen_without_new_events() -> None:
    journal, of, moment = Journal(), fleet(), Moment(MONO_MS, WALL_MS)
    masses = Masses(journal)
    journal.add(events())
    assert masses.latest(of, moment) == mass.Mass(TEXT, 14.0, 3, 3)
    of.apply(Delta(MONO_MS, vitals=(vitals("web-1"),)), 0.0)
    assert masses.latest(of, moment) == mass.Mass(TEXT, 14.0, 3, 2)
    assert masses.latest(of, Moment(MONO_MS + 300_000, WALL_MS)) is None


def banner(app: Any) -> str:
    return next((line for line in screen_lines(app) if "fell silent" in line), "")


def test_banner_stands_on_every_screen_until_the_nodes_are_back() -> None:
    async def scenario() -> None:
        of = ScriptedSource(LIVE, snapshot({"db-1": "up"} | dict.fromkeys(FALLEN, "late")))
        async with dashboard(of, size=(120, 30)) as (app, pilot, _):
            assert banner(app) == ""
            of.say(Events(1, tuple(events())))
            await pilot.pause()
            assert banner(app).endswith("14 s ago")
            await pilot.press("e")
            assert banner(app)
            await pilot.press("escape", "enter")
            await pilot.pause()
            assert banner(app)
            of.say(LOST)
            await pilot.pause()
            assert banner(app) == ""
            assert "This is the last picture" in "\n".join(screen_lines(app))
            of.say(LIVE, snapshot({"db-1": "up"} | dict.fromkeys(FALLEN, "late")))
            await pilot.pause()
            assert banner(app)
            of.say(Delta(MONO_MS, vitals=tuple(vitals(name) for name in FALLEN)))
            await pilot.pause()
            assert banner(app) == ""

    run(scenario)


def test_age_of_a_mass_event_is_by_the_masters_clock() -> None:
    async def scenario() -> None:
        hour_ms = 3_600_000
        of = ScriptedSource(LIVE, snapshot({"db-1": "up"} | dict.fromkeys(FALLEN, "late")))
        async with dashboard(of, size=(120, 30)) as (app, pilot, clock):
            clock.wall_ms = lambda: WALL_MS + hour_ms  # type: ignore[method-assign]
            of.say(Events(1, tuple(events())))
            await pilot.pause()
            assert banner(app).endswith("14 s ago")

    run(scenario)
