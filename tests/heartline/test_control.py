"""The blocking viewer's link of the command line."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from heartline import control as control_module
from heartline.control import Control
from heartline.exits import Exit, NotFoundError, UnreachableError, exit_of
from shared import messages as m
from shared.errors import DeniedError, UserError
from shared.paths import StateFolder
from tests.heartline.fake_master import FakeMaster


def silence(message: m.FromClient) -> Iterable[m.FromMaster]:
    return ()


def revoke(request: int) -> m.RevokeNode:
    return m.RevokeNode(request, "web-1")


def test_without_a_master_the_error_says_where_and_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError) as caught:
        Control.open(StateFolder(tmp_path))
    assert f"no master runs on {tmp_path}" in str(caught.value)
    assert f"heartline master --data {tmp_path}" in str(caught.value)
    assert exit_of(caught.value) is Exit.UNREACHABLE


def test_a_socket_left_behind_by_a_dead_master_counts_as_no_master(tmp_path: Path) -> None:
    with FakeMaster(tmp_path, silence):
        pass
    assert StateFolder(tmp_path).socket.exists()
    with pytest.raises(UnreachableError, match="no master runs on"):
        Control.open(StateFolder(tmp_path))


def test_a_folder_too_deep_for_a_socket_address_is_reached_all_the_same(tmp_path: Path) -> None:
    root = tmp_path / ("a" * 100)
    root.mkdir()
    with FakeMaster(root, silence) as master, Control.open(master.folder) as control:
        assert control.welcome.cluster == "lab"


def test_a_master_that_never_greets_is_given_up_in_time(tmp_path: Path) -> None:
    with (
        FakeMaster(tmp_path, silence, greeting=None) as master,
        pytest.raises(UnreachableError, match=r"has not answered within 0\.1 s"),
    ):
        Control.open(master.folder, timeout_s=0.1)


def test_a_refused_viewer_learns_why(tmp_path: Path) -> None:
    deny = m.Deny(m.Refusal.VERSION, "speak version 2")
    with (
        FakeMaster(tmp_path, silence, greeting=deny) as master,
        pytest.raises(DeniedError, match="speak version 2"),
    ):
        Control.open(master.folder)


def test_the_answer_to_a_request_is_found_among_pings_and_other_answers(tmp_path: Path) -> None:
    def answer(message: m.FromClient) -> Iterable[m.FromMaster]:
        if isinstance(message, m.RevokeNode):
            yield m.Ping(7)
            yield m.Done(message.request + 1, "somebody else's")
            yield m.Delta(0)
            yield m.Done(message.request, "revoked")

    with FakeMaster(tmp_path, answer) as master, Control.open(master.folder) as control:
        assert control.ask(revoke, m.Done).text == "revoked"
        assert control.ask(revoke, m.Done).text == "revoked"
    assert m.Pong(7) in master.received


def test_an_answer_that_does_not_come_is_given_up_in_time(tmp_path: Path) -> None:
    with (
        FakeMaster(tmp_path, silence) as master,
        Control.open(master.folder) as control,
        pytest.raises(UnreachableError, match="has not answered"),
    ):
        control.ask(revoke, m.Done, timeout_s=0.1)


@pytest.mark.parametrize(
    ("code", "error", "code_of_exit"),
    [
        ("not-found", NotFoundError, Exit.NOT_FOUND),
        ("ambiguous", NotFoundError, Exit.NOT_FOUND),
        ("not-allowed", UserError, Exit.FAILED),
    ],
)
def test_a_request_that_failed_raises_by_its_code(
    tmp_path: Path, code: str, error: type[UserError], code_of_exit: Exit
) -> None:
    def answer(message: m.FromClient) -> Iterable[m.FromMaster]:
        if isinstance(message, m.RevokeNode):
            yield m.Failed(message.request, code, "no\x1b[2J such node")

    with (
        FakeMaster(tmp_path, answer) as master,
        Control.open(master.folder) as control,
        pytest.raises(error) as caught,
    ):
        control.ask(revoke, m.Done)
    assert "\x1b" not in str(caught.value)
    assert exit_of(caught.value) is code_of_exit


def test_a_master_that_leaves_in_the_middle_says_so(tmp_path: Path) -> None:
    def answer(message: m.FromClient) -> Iterable[m.FromMaster]:
        yield m.Goodbye(m.Parting.STOPPED, "stopped by its operator")

    with (
        FakeMaster(tmp_path, answer) as master,
        Control.open(master.folder) as control,
        pytest.raises(UnreachableError, match="said goodbye: stopped by its operator"),
    ):
        control.ask(revoke, m.Done)


def test_a_link_cut_in_the_middle_is_an_unreachable_master(tmp_path: Path) -> None:
    def answer(message: m.FromClient) -> Iterable[m.FromMaster]:
        raise ConnectionAbortedError

    with (
        FakeMaster(tmp_path, answer) as master,
        Control.open(master.folder) as control,
        pytest.raises(UnreachableError, match="has closed the link"),
    ):
        control.ask(revoke, m.Done)


def test_a_fleet_that_comes_in_pieces_is_put_together(tmp_path: Path) -> None:
    def answer(message: m.FromClient) -> Iterable[m.FromMaster]:
        if isinstance(message, m.Watch):
            for number in range(50):
                yield m.Snapshot(1, (info(number),), (), last=number == 49)

    with FakeMaster(tmp_path, answer) as master, Control.open(master.folder) as control:
        pieces = control.snapshot()
    assert [piece.infos[0].name for piece in pieces] == [f"node-{n}" for n in range(50)]


def test_events_are_followed_until_the_master_goes(tmp_path: Path) -> None:
    def answer(message: m.FromClient) -> Iterator[m.FromMaster]:
        if isinstance(message, m.ListEvents):
            assert message.follow
            yield m.Events(message.request, (m.Event(1, 0, "enrolled"),))
            yield m.Events(message.request, (m.Event(2, 0, "state"),))
            yield m.Goodbye(m.Parting.STOPPED)

    with FakeMaster(tmp_path, answer) as master, Control.open(master.folder) as control:
        followed = control.follow(lambda request: m.ListEvents(request, follow=True))
        assert [event.number for event in next(followed)] == [1]
        assert [event.number for event in next(followed)] == [2]
        with pytest.raises(UnreachableError, match="goodbye"):
            next(followed)


def info(number: int) -> m.NodeInfo:
    return m.NodeInfo(f"{number:016x}", f"node-{number}", {}, "n" * 1000, "", "", 0)


# --- the past ------------------------------------------------------------------------------------


def piece(request: int, *, is_last: bool) -> m.CoverageOf:
    return m.CoverageOf(request, (), is_last)


def test_all_pieces_of_an_answer_are_gathered(tmp_path: Path) -> None:
    def answer(message: m.FromClient) -> Iterable[m.FromMaster]:
        if isinstance(message, m.GetCoverage):
            yield piece(message.request, is_last=False)
            yield m.Ping(7)
            yield piece(message.request + 1, is_last=True)
            yield piece(message.request, is_last=False)
            yield piece(message.request, is_last=True)

    with FakeMaster(tmp_path, answer) as master, Control.open(master.folder) as control:
        found = control.gather(lambda request: m.GetCoverage(request, "", 0, 1), m.CoverageOf)
    assert [each.last for each in found] == [False, False, True]


def test_pieces_that_cease_are_given_up_in_time(tmp_path: Path) -> None:
    def answer(message: m.FromClient) -> Iterable[m.FromMaster]:
        if isinstance(message, m.GetCoverage):
            yield piece(message.request, is_last=False)

    with (
        FakeMaster(tmp_path, answer) as master,
        Control.open(master.folder) as control,
        pytest.raises(UnreachableError, match="has not answered"),
    ):
        control.gather(lambda request: m.GetCoverage(request, "", 0, 1), m.CoverageOf, 0.1)


def test_order_that_takes_long_is_waited_for_while_the_master_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_module, "PING_AFTER_S", 0.02)

    def answer(message: m.FromClient) -> Iterable[m.FromMaster]:
        if isinstance(message, m.Ping):
            yield m.Pong(message.token)
            if sum(isinstance(each, m.Ping) for each in master.received) == 3:
                yield m.Done(1, "512")

    with FakeMaster(tmp_path, answer) as master, Control.open(master.folder) as control:
        assert control.wait(lambda request: m.BackUp(request, "/b.tar")).text == "512"


def test_order_that_failed_says_why(tmp_path: Path) -> None:
    def answer(message: m.FromClient) -> Iterable[m.FromMaster]:
        if isinstance(message, m.BackUp):
            yield m.Failed(message.request, "busy", "a backup is being written already")

    with (
        FakeMaster(tmp_path, answer) as master,
        Control.open(master.folder) as control,
        pytest.raises(UserError, match="already"),
    ):
        control.wait(lambda request: m.BackUp(request, "/b.tar"))
