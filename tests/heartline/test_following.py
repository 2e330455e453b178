"""`heartline events --follow`: each event once, whatever the master does meanwhile."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from heartline import following as following_module
from heartline.control import Control
from heartline.exits import Exit, UnreachableError
from heartline.following import Following
from heartline.main import main
from shared import messages as m
from shared.errors import UserError
from shared.paths import StateFolder
from tests.heartline.fake_master import FakeMaster

GONE = m.Goodbye(m.Parting.STOPPED)


def event(number: int, wall_ms: int = 0) -> m.Event:
    return m.Event(number, wall_ms or 1000 * number, "state", "a", "db", "up", "late")


class Lives:
    """What a master says in one life after another; after the last it fails the request."""

    def __init__(self, *lives: Sequence[tuple[m.Event, ...]]) -> None:
        self._lives = iter(lives)

    def __call__(self, message: m.FromClient) -> Iterable[m.FromMaster]:
        assert isinstance(message, m.ListEvents)
        life = next(self._lives, None)
        if life is None:
            yield m.Failed(message.request, "over", "the test is over")
            return
        for events in life:
            yield m.Events(message.request, events)
        yield GONE


def told(root: Path, lives: Lives, limit: int = 100) -> tuple[list[int], list[str]]:
    """The numbers of the events, and what was said beside them."""
    said: list[str] = []
    numbers: list[int] = []

    def pass_over(_delay_s: float) -> None:
        """Takes no time."""

    with FakeMaster(root, lives):
        following = Following(lambda: Control.open(StateFolder(root)), said.append, sleep=pass_over)
        with pytest.raises(UserError, match="the test is over"):
            numbers.extend(each.number for some in following.events(limit) for each in some)
    return numbers, said


def test_events_go_on_when_the_master_is_back_none_lost_and_none_twice(tmp_path: Path) -> None:
    first = [(event(7),), (event(8),)]
    second = [(event(7), event(8), event(9), event(10)), (event(11),)]
    numbers, said = told(tmp_path, Lives(first, second))
    assert numbers == [7, 8, 9, 10, 11]
    assert "goodbye" in said[0]
    assert said[1] == "the master is back"


def test_only_so_many_of_before_are_told_and_none_of_them_later(tmp_path: Path) -> None:
    stored = (event(1), event(2), event(3))
    assert told(tmp_path, Lives([stored], [(*stored, event(4))]), limit=0)[0] == [4]


def test_numbers_that_a_killed_master_gives_anew_are_other_events(tmp_path: Path) -> None:
    lost = event(8)
    anew = event(8, 9_500)
    numbers, _ = told(tmp_path, Lives([(event(7),), (lost,)], [(event(7), anew)]))
    assert numbers == [7, 8, 8]


def test_more_than_a_master_can_tell_is_said(tmp_path: Path) -> None:
    numbers, said = told(tmp_path, Lives([(event(1),)], [(event(700), event(701))]))
    assert numbers == [1, 700, 701]
    assert any("the oldest is left out" in line for line in said)


def test_master_that_stays_away_for_a_while_is_asked_again(tmp_path: Path) -> None:
    waits: list[float] = []
    attempts = iter([True, False, False, True, True])

    def connect() -> Control:
        if not next(attempts):
            raise UnreachableError("not yet")
        return Control.open(StateFolder(tmp_path))

    with FakeMaster(tmp_path, Lives([(event(1),)], [(event(1), event(2))])):
        following = Following(connect, lambda _text: None, sleep=waits.append)
        with pytest.raises(UserError, match="the test is over"):
            list(following.events(10))
    assert len(waits) == 4
    assert max(waits) <= following_module.LONGEST_WAIT_S


def test_without_a_master_to_begin_with_there_is_nothing_to_follow(tmp_path: Path) -> None:
    assert main(["events", "--follow", "--data", str(tmp_path)]) == Exit.UNREACHABLE


def test_what_is_said_of_the_master_is_not_among_the_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following_module, "LONGEST_WAIT_S", 0.5)
    lives = Lives([(event(1),)], [(event(1), event(2))])
    with FakeMaster(tmp_path, lives):
        main(["events", "--follow", "--json", "--data", str(tmp_path)])
    captured = capsys.readouterr()
    assert [json.loads(line)["number"] for line in captured.out.splitlines()] == [1, 2]
    assert "waiting for it" in captured.err
