"""sd_notify: what a service manager is told, and that it can never stop the process."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from shared import service_manager
from shared.service_manager import READY, RELOADING, keep_alive, notify


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A service manager's end."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield sock


def test_state_arrives(manager: socket.socket) -> None:
    notify(READY)
    assert manager.recv(100) == b"READY=1"


def test_reload_carries_its_time(manager: socket.socket) -> None:
    notify(RELOADING)
    lines = manager.recv(100).decode().splitlines()
    assert lines[0] == "RELOADING=1"
    name, _, value = lines[1].partition("=")
    assert name == "MONOTONIC_USEC"
    assert int(value) > 0


def test_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"heartline-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind("\0" + name)
        except OSError:
            pytest.skip("no abstract sockets here")
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        notify(READY)
        assert sock.recv(100) == b"READY=1"


def test_without_a_service_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify(READY)


def test_service_manager_that_is_gone_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify(READY)


def test_service_manager_that_hangs_is_not_waited_for(manager: socket.socket) -> None:
    for _ in range(10_000):  # more than the kernel queues
        notify(READY)
    assert manager.recv(100) == b"READY=1"


async def test_watchdog_is_fed_at_half_its_interval(
    manager: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    nursery: trio.Nursery,
    autojump_clock: trio.testing.MockClock,
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    nursery.start_soon(keep_alive)
    await trio.sleep(35)
    fed = 0
    while True:
        try:
            assert manager.recv(100) == b"WATCHDOG=1"
        except BlockingIOError:
            break
        fed += 1
    assert fed == 4


@pytest.mark.parametrize(
    ("interval", "pid"), [(None, None), ("", None), ("soon", None), ("1000000", "1")]
)
async def test_without_a_watchdog_of_its_own_nothing_is_fed(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch, interval: str | None, pid: str | None
) -> None:
    for name, value in (("WATCHDOG_USEC", interval), ("WATCHDOG_PID", pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    await service_manager.keep_alive()
    with pytest.raises(BlockingIOError):
        manager.recv(100)
