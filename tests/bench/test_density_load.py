"""An agent of the load says what a real one would, and counts what it is answered."""

import math
import select
import socket
import ssl
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

from bench.density import identities, wire
from bench.density.agent_end import AgentEnd, Plan
from bench.density.counts import Counts
from bench.density.quick import QuickConnection
from bench.density.samples import SHOWN
from bench.density.timers import Timers
from shared import messages as m
from shared.connection import MasterConnection, Phase
from shared.metrics import LARGEST
from shared.tls import load_leaf

DEADLINE_S: Final = 30.0
SLOT_S: Final = 0.004
PERIOD_S: Final = 5.0

WELCOME: Final = m.Welcome(1, "0" * 16, "n", 5000, 1, 1, "m")


class Master:
    """The other end of one agent's links, on loopback."""

    def __init__(self, pem: bytes) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.num_tickets = 0
        load_leaf(self._tls, pem)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self._link: ssl.SSLSocket | None = None
        self._connection = MasterConnection()
        self.heard: list[m.FromClient] = []

    def take(self, agent: AgentEnd, epoll: select.epoll, counts: Counts) -> None:
        """Until the agent is welcomed."""
        accepted, _ = self.listener.accept()
        self._link = self._tls.wrap_socket(
            accepted, server_side=True, do_handshake_on_connect=False
        )
        self._link.settimeout(0.0)
        self._connection, self.heard = MasterConnection(), []
        is_done = False
        while not self.heard:
            for _ in epoll.poll(0.01):
                agent.ready(counts)
            try:
                if not is_done:
                    self._link.do_handshake()
                    is_done = True
                self.hear()
            except ssl.SSLWantReadError:
                pass
        self.say(WELCOME)

    def hear(self) -> None:
        assert self._link is not None
        self.heard += self._connection.receive(self._link.recv(65536))

    def hear_until(self, kind: type[m.Message]) -> m.Message:
        """The first message of this kind from now on."""
        assert self._link is not None
        self._link.settimeout(DEADLINE_S)
        while True:
            self.hear()
            for place, message in enumerate(self.heard):
                if isinstance(message, kind):
                    del self.heard[: place + 1]
                    return message

    def say(self, *messages: m.FromMaster) -> None:
        assert self._link is not None
        self._link.send(b"".join(self._connection.send(message) for message in messages))

    def close(self) -> None:
        if self._link is not None:
            self._link.close()


class Pair:
    """An agent, and its master."""

    def __init__(self, root: Path) -> None:
        identities.prepare(root, 2)
        known, other = identities.load_agents(root, 0, 2)
        self.counts = Counts()
        self.epoll = select.epoll()
        self.master = Master(other.pem)
        address: tuple[str, int] = self.master.listener.getsockname()
        self.plan = Plan(address, "master", boot_id="b", period_s=PERIOD_S, family_every=0)
        context = wire.context(known.pem)
        self.agent = AgentEnd(SHOWN + 1, known.address, context, self.plan, 1000.0)

    def link(self) -> None:
        self.agent.dial(self.epoll, 1000.0)
        self.master.take(self.agent, self.epoll, self.counts)
        self.answered()
        assert self.agent.is_linked
        self.master.hear_until(m.InventoryReport)

    def beat(self, now_s: float) -> m.Beat:
        self.agent.beat(now_s, self.counts)
        beat = self.master.hear_until(m.Beat)
        assert isinstance(beat, m.Beat)
        return beat

    def answered(self, seen_s: float | None = None) -> None:
        assert self.epoll.poll(DEADLINE_S)
        self.agent.ready(self.counts, seen_s)

    def part(self) -> None:
        self.agent.end(1000.0, "parted", self.counts)
        self.master.close()


@pytest.fixture(name="pair")
def _pair(tmp_path: Path) -> Generator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.part()
    pair.master.listener.close()
    pair.epoll.close()


def test_beats_are_numbered_on_a_grid_and_differ(pair: Pair) -> None:
    pair.link()
    first = pair.beat(1002.0)
    due_s = pair.agent.due_s
    again = pair.beat(due_s)
    assert (first.sequence, again.sequence) == (1_000_001, 1_000_002)
    assert (first.mono_ms, again.mono_ms) == (1_002_000, int(due_s * 1000))
    assert first.next_in_ms == math.ceil((due_s - 1002.0) * 1000)
    assert 0.5 * PERIOD_S <= due_s - 1002.0 <= 1.5 * PERIOD_S
    assert math.isclose(pair.agent.due_s - due_s, PERIOD_S)
    assert bytes(first.core) != bytes(again.core)


def test_delays_are_from_each_beats_own_writing(pair: Pair) -> None:
    pair.link()
    first, second = pair.beat(1002.0), pair.beat(1007.0)
    pair.master.say(m.Ack(first.sequence))
    pair.answered(1007.5)
    pair.master.say(m.Ack(second.sequence, second.sequence))
    pair.answered(1009.0)
    acknowledged, confirmed = pair.counts.acknowledged, pair.counts.confirmed
    assert (acknowledged.total, confirmed.total) == (2, 2)
    found = acknowledged.at(0.5), acknowledged.at(1.0), confirmed.at(1.0)
    for delay_s, known_s in zip(found, (2.0, 5.5, 7.0), strict=True):
        assert math.isclose(delay_s or 0.0, known_s, rel_tol=0.03)


def test_what_no_master_has_confirmed_is_replayed_as_it_was_and_no_more_when_it_is(
    pair: Pair,
) -> None:
    pair.link()
    stored, unknown = pair.beat(1002.0), pair.beat(1007.0)
    pair.master.say(m.Ack(stored.sequence, stored.sequence))
    pair.answered()
    pair.part()
    pair.agent.beat(1012.0, pair.counts)
    pair.link()
    beat = pair.beat(1017.0)
    pair.master.say(m.Ack(beat.sequence))
    pair.answered()
    replay = pair.master.hear_until(m.Replay)
    assert isinstance(replay, m.Replay)
    unsent = replay.samples[1]
    assert (replay.samples[0].mono_ms, unsent.mono_ms) == (unknown.mono_ms, 1_012_000)
    assert replay.samples[0].core == unknown.core
    sequences = [each.sequence for each in replay.samples]
    assert sequences == [unknown.sequence, unknown.sequence + 1]
    pair.master.say(m.Stored("b", *sequences), m.Ack(beat.sequence, beat.sequence))
    pair.answered()
    assert pair.counts.confirmed.total == 2
    pair.part()
    pair.link()
    beat = pair.beat(1022.0)
    pair.master.say(m.Ack(beat.sequence), m.Ping(7))
    pair.answered()
    assert pair.master.hear_until(m.Message) == m.Pong(7)


def test_an_acknowledgement_is_known_by_its_looks_only_where_it_is_one() -> None:
    ack = m.Ack(1_000_001, 1_000_000)
    frame, other = m.encode(ack), m.encode(m.Ping(7))
    assert _linked().lone_ack(frame) == ack
    for data in (b"", frame[:-1], frame[1:], frame + frame, frame + b"\0", other, frame[:5]):
        assert _linked().lone_ack(data) is None, data
    assert QuickConnection().lone_ack(frame) is None
    longest = m.Ack(LARGEST, LARGEST)
    assert _linked().lone_ack(m.encode(longest)) == longest
    garbled = _linked()
    assert garbled.lone_ack(frame[:6] + bytes([0xC0]) * (len(frame) - 6)) is None
    assert garbled.phase is Phase.LINKED


def test_what_looks_like_an_acknowledgement_within_another_message_is_none() -> None:
    connection, frame = _linked(), m.encode(m.Ack(1_000_001))
    goodbye = m.encode(m.Goodbye("stopped", frame.decode("latin-1")))
    begins = len(goodbye) - len(frame)
    assert list(connection.receive(goodbye[:begins])) == []
    assert connection.lone_ack(frame) is None


def test_items_come_when_they_are_due_each_once() -> None:
    timers = Timers[int]()
    assert timers.next_s == math.inf
    for number in range(100):
        timers.add(50.0 - number / 100, number)
    taken: list[int] = []
    while (next_s := timers.next_s) < math.inf:
        assert timers.take(next_s - 1e-6, 10) == []
        for number in timers.take(next_s, 10):
            assert -1e-6 <= next_s - (50.0 - number / 100) <= SLOT_S + 1e-6
            taken.append(number)
    assert taken == list(reversed(range(100)))


def test_no_more_are_taken_at_once_than_are_asked_for() -> None:
    timers = Timers[str]()
    for item in "abcde":
        timers.add(3.0, item)
    timers.add(2.0, "first")
    assert [timers.take(4.0, 2) for _ in range(5)] == [
        ["first"],
        ["a", "b"],
        ["c", "d"],
        ["e"],
        [],
    ]


def _linked() -> QuickConnection:
    connection = QuickConnection()
    connection.send(m.AgentHello(1, 1, "bench", "b", 1000))
    assert list(connection.receive(m.encode(WELCOME))) == [WELCOME]
    return connection
