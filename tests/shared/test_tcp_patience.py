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
def test_without_bounded_pauses_a_link_that_can_be_redialled_is_replaced_early(
    sock: socket.socket,
) -> None:
    tcp.tune(sock, user_timeout_s=15, can_redial=True)
    assert user_timeout_ms(sock) == tcp.REPLACE_AFTER_S * 1000


@pytest.mark.usefixtures("older_kernel")
def test_without_bounded_pauses_a_shorter_patience_stays_as_it_is(sock: socket.socket) -> None:
    tcp.tune(sock, user_timeout_s=2, can_redial=True)
    assert user_timeout_ms(sock) == 2000


@pytest.mark.usefixtures("older_kernel")
def test_the_end_that_cannot_redial_waits_on_any_kernel(sock: socket.socket) -> None:
    tcp.tune(sock, user_timeout_s=30)
    assert user_timeout_ms(sock) == 30_000


def test_where_pauses_are_bounded_nobody_replaces_a_link_early(sock: socket.socket) -> None:
    tcp.tune(sock, user_timeout_s=15, can_redial=True)
    if not bounds_its_pauses(sock):
        pytest.skip("this kernel has no TCP_RTO_MAX_MS")
    assert user_timeout_ms(sock) == 15_000
