"""What a stranger may cost before it is known: one deadline, which is longer where members live."""

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock

from master.admission import Admission, AdmissionLimits, Ticket
from master.door import MEMBERS_PATIENCE, Established, serve_tls
from shared.stream import SocketStream
from tests.shared.test_stream import contexts, tcp_pair

HOME = "192.0.2.1"
PATIENCE_S = 5.0


@dataclass
class Hall:
    """What is behind the door: notes who hit which limit, and when."""

    admission: Admission
    handshake_timeout_s: float = PATIENCE_S
    write_timeout_s: float = 30.0
    hits: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def limit_hit(self, limit: str, address: str) -> None:
        self.hits.append((limit, address))

    async def enter(
        self, stream: SocketStream, address: str, name: str, certificate_der: bytes | None
    ) -> Established | None:
        raise AssertionError("nobody in here completes a handshake")

    def ticket(self) -> Ticket:
        ticket = self.admission.knock(HOME, trio.current_time())
        assert isinstance(ticket, Ticket)
        return ticket


@pytest.fixture
async def hall() -> AsyncIterator[Hall]:
    hall = Hall(Admission(AdmissionLimits(), trio.current_time()))
    yield hall
    assert hall.admission.waiting == 0
    assert hall.admission.released == 1


@pytest.mark.parametrize("is_home", [False, True])
async def test_silent_peer_has_so_long_and_longer_where_members_live(
    hall: Hall, is_home: bool, autojump_clock: MockClock
) -> None:
    accepted, dialled = tcp_pair()
    if is_home:
        hall.admission.remember("web", HOME)
    began_s = trio.current_time()
    with dialled:
        await serve_tls(hall, accepted, HOME, hall.ticket(), contexts()[0])
    waited_s = trio.current_time() - began_s
    assert waited_s == PATIENCE_S * (MEMBERS_PATIENCE if is_home else 1)
    assert hall.hits == [("handshake-timeout", HOME)]
    assert accepted.fileno() == -1


async def test_peer_that_speaks_no_tls_is_turned_away_at_once(
    hall: Hall, autojump_clock: MockClock
) -> None:
    accepted, dialled = tcp_pair()
    with dialled:
        dialled.send(b"GET / HTTP/1.1\r\n\r\n")
        await serve_tls(hall, accepted, HOME, hall.ticket(), contexts()[0])
    assert hall.hits == [("tls-failed", HOME)]


async def test_peer_that_has_gone_before_it_was_served_hits_no_limit(hall: Hall) -> None:
    accepted, dialled = tcp_pair()
    accepted.shutdown(socket.SHUT_RDWR)
    dialled.close()
    await serve_tls(hall, accepted, HOME, hall.ticket(), contexts()[0])
    assert hall.hits == []
    assert accepted.fileno() == -1
