"""How long the kernel waits before it ends a link, where it can bound its pauses and where not."""

import socket
import sys
from collections.abc import Generator

import pytest

from shared import tcp

pytestmark = pytest.mark.skipif(
    not hasattr(socket, "TCP_USER_TIMEOUT") or sys.platform != "linux", reason="Linux only"
)

NO_SUCH_OPTION = 9999


@pytest.fixture
def sock() -> Generator[socket.socket]:
    with socket.socket() as sock:
        yield sock


@pytest.fixture
def older_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """One without TCP_RTO_MAX_MS."""
    monkeypatch.setattr(tcp, "_TCP_RTO_MAX_MS", NO_SUCH_OPTION)


def user_timeout_ms(sock: socket.socket) -> int:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


def bounds_its_pauses(sock: socket.socket) -> bool:
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, tcp._TCP_RTO_MAX_MS) == tcp.RTO_MAX_MS
    except OSError:
        return False


@pytest.mark.usefixtures("older_kernel")
def test_an_older_kernel_waits_as_long_for_unacknowledged_data(sock: socket.socket) -> None:
    tcp.tune(sock, user_timeout_s=15)
    assert user_timeout_ms(sock) == 15_000
    assert not bounds_its_pauses(sock)


def test_pauses_are_bounded_where_the_kernel_can(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.IPPROTO_TCP, tcp._TCP_RTO_MAX_MS, 2 * tcp.RTO_MAX_MS)
    except OSError:
        pytest.skip("this kernel has no TCP_RTO_MAX_MS")
    tcp.tune(sock, user_timeout_s=15)
    assert bounds_its_pauses(sock)
