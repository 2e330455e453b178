"""Outages are in a recording, and a node that is opened while it is played tells of its own."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path

from msgspec import structs

from shared import messages as m
from shared.liveness import State
from tests.tui.details import outages_of
from tests.tui.fleets import MONO_MS, snapshot
from tests.tui.scripted import LIVE, LOST, NOW_S, ScriptedSource, screen_lines
from tui.answers import Answers
from tui.app import Dashboard
from tui.link import Link
from tui.outages import OUTAGES_ASKED
from tui.recorded import Recorded
from tui.recording import FLEET_OUTAGES_ASKED, FLEET_REQUEST, Recorder
from tui.replay import Replay, played

WALL_MS = 1_795_000_000_000
FLEET = snapshot({"web-1": State.UP, "db-1": State.UP})
OF_DB = outages_of("id-db-1", "db-1", wall_ms=WALL_MS, is_away=False)
ALL = m.Outages(FLEET_REQUEST, OF_DB)


def event(node_id: str, kind: str = "state") -> m.Event:
    return m.Event(1, WALL_MS, kind, node_id)


class Ears:
    """A viewer that keeps the messages it is told."""

    def __init__(self) -> None:
        self.heard: list[m.FromMaster] = []

    def on_link(self, link: Link) -> None:
        """Nothing is made of it."""

    def on_message(self, message: m.FromMaster, received_s: float) -> None:
        self.heard.append(message)


def run(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(scenario())


def recorded(path: Path, *reports: Link | m.FromMaster) -> tuple[list[m.FromViewer], Ears]:
    """Records these; what was asked meanwhile, and what the dashboard heard."""
    recorder = Recorder.create(path, limit_bytes=10**6, began_s=NOW_S, began_wall_ms=WALL_MS)
    source, ears = ScriptedSource(), Ears()

    async def scenario() -> None:
        listening = asyncio.create_task(Recorded(source, recorder, lambda: NOW_S).run(ears))
        await asyncio.sleep(0)
        source.say(*reports)
        listening.cancel()

    run(scenario)
    recorder.close(NOW_S)
    return source.sent, ears


def told(answers: Answers, question: m.FromViewer) -> list[m.FromMaster]:
    return list(answers.to(question))


def learnt(*messages: m.FromMaster) -> Answers:
    answers = Answers()
    for message in messages:
        answers.learn(message)
    return answers


# --- recording ------------------------------------------------------------------------------------


def test_outages_of_the_fleet_are_asked_for_on_every_link_and_kept_from_the_dashboard(
    tmp_path: Path,
) -> None:
    sent, ears = recorded(tmp_path / "feed", LIVE, FLEET, ALL, LIVE, LOST, LIVE)
    assert sent == [m.ListOutages(FLEET_REQUEST, FLEET_OUTAGES_ASKED)] * 2
    assert ears.heard == [FLEET]
    assert ALL in [getattr(each, "what", None) for each in played(tmp_path / "feed")]


def test_node_whose_outages_may_have_changed_is_asked_about_one_question_at_a_time(
    tmp_path: Path,
) -> None:
    news = m.Events(3, (event("web-1"), event("db-1", "outage"), event("web-1")))
    enrolled = m.Events(3, (event("new-1", "enrolled"),))
    first, second = FLEET_REQUEST + 1, FLEET_REQUEST + 2
    of_web = m.ListOutages(first, OUTAGES_ASKED, "web-1")
    asked, _ = recorded(tmp_path / "one", LIVE, enrolled, news)
    assert asked[1:] == []
    asked, _ = recorded(tmp_path / "two", LIVE, enrolled, news, ALL)
    assert asked[1:] == [of_web]
    refused = m.Failed(first, "not-found", "there is no such node")
    asked, ears = recorded(tmp_path / "three", LIVE, news, ALL, refused, m.Outages(second, ()))
    assert asked[1:] == [of_web, m.ListOutages(second, OUTAGES_ASKED, "db-1")]
    assert ears.heard == [news]


def test_answers_to_the_dashboards_own_questions_reach_it(tmp_path: Path) -> None:
    answer = m.Outages(7, OF_DB)
    _, ears = recorded(tmp_path / "feed", LIVE, answer)
    assert ears.heard == [answer]


# --- playing --------------------------------------------------------------------------------------


def test_node_is_told_what_was_last_heard_of_it() -> None:
    def update(node_id: str, seen_ms: int) -> m.FocusUpdate:
        sample = m.FamilySample("users", 1, 2, 3, m.raw(None))
        return m.FocusUpdate(node_id, MONO_MS, seen_ms, sample)

    inventory = m.FocusInventory("id-db-1", m.raw(None))
    answers = learnt(update("id-db-1", 1), update("id-web-1", 2), inventory, update("id-db-1", 3))
    assert told(answers, m.FocusNode("id-db-1")) == [inventory, update("id-db-1", 3)]
    assert told(answers, m.FocusNode("id-web-1")) == [update("id-web-1", 2)]
    assert told(answers, m.FocusNode("id-new-1")) == []


def test_detail_answers_the_question_that_is_asked() -> None:
    info, vitals = FLEET.infos[0], FLEET.vitals[0]
    detail = m.NodeDetail(5, MONO_MS, info, vitals, m.raw(None), ())
    answers = learnt(detail)
    assert told(answers, m.GetNode(9, info.node_id)) == [structs.replace(detail, request=9)]
    assert told(answers, m.GetNode(9, "id-new-1")) == []


def test_outages_of_many_answers_are_one_history_and_the_latest_word_counts() -> None:
    *closed, last = OF_DB
    still_open = structs.replace(last, to_wall_ms=None, cause="")
    answers = learnt(m.Outages(FLEET_REQUEST, (*closed[1:], still_open)))
    assert told(answers, m.ListOutages(4, node="id-db-1")) == [
        m.Outages(4, (*closed[1:], still_open))
    ]
    answers.learn(m.Outages(FLEET_REQUEST + 1, OF_DB))
    assert told(answers, m.ListOutages(4, node="id-db-1")) == [m.Outages(4, OF_DB)]


def test_node_of_which_none_was_told_had_none_only_if_all_were_told() -> None:
    question = m.ListOutages(4, node="id-web-1")
    none = [m.Outages(4, ())]
    assert told(learnt(), question) == []
    assert told(learnt(m.Outages(3, OF_DB)), question) == []
    assert told(learnt(ALL), question) == none
    many = tuple(structs.replace(OF_DB[0], number=n) for n in range(FLEET_OUTAGES_ASKED))
    assert told(learnt(m.Outages(FLEET_REQUEST, many)), question) == []
    long = structs.replace(OF_DB[0], evidence=("x" * 1_000,) * 32)
    long_ones = tuple(structs.replace(long, number=number) for number in range(5))
    assert told(learnt(m.Outages(FLEET_REQUEST, long_ones)), question) == []


def shown_in_replay(path: Path, *reports: Link | m.FromMaster) -> Iterable[str]:
    """The outages page of db-1, opened at the end of a replay."""
    recorded(path, *reports)
    lines: list[str] = []

    async def scenario() -> None:
        replay = Replay(path, 1000.0)
        app = Dashboard(replay, replay.clock)
        async with app.run_test(size=(110, 30)) as pilot, asyncio.timeout(20):
            while not app.feed.link.playing.startswith("the recording ends"):
                await pilot.pause(0.01)
            await pilot.press("enter", "o")
            await pilot.pause()
            lines.extend(screen_lines(app))

    run(scenario)
    return lines


def test_outages_page_of_a_replay_shows_what_was_recorded(tmp_path: Path) -> None:
    shown = "\n".join(shown_in_replay(tmp_path / "feed", LIVE, FLEET, ALL))
    assert "1 of 3" in shown
    assert "network cut" in shown
    assert "boot id changed" not in shown  # the evidence of another one than the latest


def test_outages_page_of_an_older_recording_does_not_say_that_there_were_none(
    tmp_path: Path,
) -> None:
    shown = "\n".join(shown_in_replay(tmp_path / "feed", LIVE, FLEET))
    assert "No outages yet" in shown
    assert "never been away" not in shown


def test_outages_that_are_told_while_the_node_is_open_appear(tmp_path: Path) -> None:
    path = tmp_path / "feed"
    recorded(path, LIVE, FLEET, m.Outages(FLEET_REQUEST, ()), m.Outages(FLEET_REQUEST + 1, OF_DB))
    replay, ears = Replay(path, 1000.0), Ears()
    replay.send(m.FocusNode("id-db-1"))

    async def scenario() -> None:
        playing = asyncio.create_task(replay.run(ears))
        async with asyncio.timeout(10):
            while len(ears.heard) < 3:
                await asyncio.sleep(0.01)
        playing.cancel()

    run(scenario)
    nothing, all_of_it = ears.heard[1:]
    assert nothing == m.Outages(FLEET_REQUEST, ())
    assert all_of_it == m.Outages(FLEET_REQUEST + 1, OF_DB)
