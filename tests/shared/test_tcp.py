"""What the kernel is told about a link's socket, and what it tells."""

import socket
from collections.abc import Iterator

import pytest

from shared.tcp import RTO_MAX_MS, bytes_received, tune
from tests.eventually import eventually_in_processes

RTO_MAX_OPTION = 44


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dialled = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    with accepted, dialled:
        yield accepted, dialled


def test_small_messages_are_not_held_back(pair: tuple[socket.socket, socket.socket]) -> None:
    tune(pair[0], user_timeout_s=15.0)
    assert pair[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="not on this platform")
def test_dead_host_is_given_up_in_time(pair: tuple[socket.socket, socket.socket]) -> None:
    tune(pair[0], user_timeout_s=7.5)
    assert pair[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7500


def test_pauses_between_retransmissions_are_bounded_where_the_kernel_can(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    tune(pair[0], user_timeout_s=15.0)
    try:
        bound_ms = pair[0].getsockopt(socket.IPPROTO_TCP, RTO_MAX_OPTION)
    except OSError:
        pytest.skip("this kernel cannot")
    assert bound_ms == RTO_MAX_MS


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="this kernel does not count")
def test_what_has_arrived_is_counted_read_or_not(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    accepted, dialled = pair
    assert bytes_received(accepted) == 0
    dialled.sendall(bytes(10_000))
    eventually_in_processes(lambda: bytes_received(accepted) == 10_000)
    accepted.recv(10_000)
    assert bytes_received(accepted) == 10_000


def test_where_nothing_is_counted_nothing_is_claimed() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert bytes_received(one) is None
