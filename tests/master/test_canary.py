"""The canary, over this host's real loopback."""

import socket
from unittest.mock import patch

import pytest
import trio

from master import canary as canary_module
from master.canary import BELIEVED_S, LATE_S, Canary
from shared.errors import LinkBrokenError
from shared.stream import SocketStream
from tests.eventually import eventually


async def test_canary_that_is_heard_is_never_late() -> None:
    canary = Canary()
    assert not canary.is_late(trio.current_time())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(canary.run)
        for _ in range(20):
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert not canary.is_late(trio.current_time())
        nursery.cancel_scope.cancel()


async def test_canary_that_is_not_heard_is_late_after_half_a_second_and_believed_for_a_minute(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = socket.socketpair()
    nowhere, other = socket.socketpair()
    pair = (SocketStream(near), SocketStream(nowhere))
    monkeypatch.setattr(canary_module, "_loopback_pair", lambda: pair)
    with far, other:
        canary = Canary()
        nursery.start_soon(canary.run)
        await trio.testing.wait_all_tasks_blocked()
        chirped_s = trio.current_time()
        assert far.recv(1) == b"."
        assert not canary.is_late(chirped_s)
        assert canary.is_late(chirped_s + LATE_S + 0.1)
        assert canary.is_late(chirped_s + BELIEVED_S - 0.1)
        assert not canary.is_late(chirped_s + BELIEVED_S + 0.1)
        nursery.cancel_scope.cancel()


async def test_event_loop_that_is_behind_is_heard_late() -> None:
    canary = Canary()
    late: list[bool] = []
    original = SocketStream.receive_some

    async def slow(stream: SocketStream) -> bytes:
        late.append(canary.is_late(trio.current_time() + LATE_S + 0.1))
        return await original(stream)

    async with trio.open_nursery() as nursery:
        with patch.object(SocketStream, "receive_some", slow):
            nursery.start_soon(canary.run)
            await eventually(lambda: late)
        nursery.cancel_scope.cancel()
    assert late == [True]


async def test_host_without_a_loopback_has_no_canary_and_is_well(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> tuple[SocketStream, SocketStream]:
        raise OSError("network is unreachable")

    monkeypatch.setattr(canary_module, "_loopback_pair", refuse)
    canary = Canary()
    nursery.start_soon(canary.run)
    await trio.testing.wait_all_tasks_blocked()
    assert not canary.is_late(trio.current_time() + LATE_S + 1)
    assert "loopback does not work" in caplog.text
    nursery.cancel_scope.cancel()


async def test_connection_that_breaks_is_made_anew_and_says_nothing_about_the_master(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    hatched = 0

    async def breaks(stream: SocketStream) -> bytes:
        raise LinkBrokenError("link reset")

    original = canary_module._loopback_pair

    def hatch() -> tuple[SocketStream, SocketStream]:
        nonlocal hatched
        hatched += 1
        return original()

    monkeypatch.setattr(canary_module, "_loopback_pair", hatch)
    monkeypatch.setattr(SocketStream, "receive_some", breaks)
    canary = Canary()
    nursery.start_soon(canary.run)
    await trio.sleep(5.5)
    assert hatched == 6
    assert not canary.is_late(trio.current_time())
    nursery.cancel_scope.cancel()
