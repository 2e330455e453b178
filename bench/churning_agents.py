"""One process of agents that come and go: those of `bench.density`, and what befalls them.

    python -m bench.churning_agents FLEET COUNT HOST:PORT --period 5 --dials-per-s 100

A line of JSON on standard input is an order (`Order`). `status` is answered by one line of JSON.
It ends with its standard input.
"""

import argparse
import gc
import heapq
import os
import select
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from bench.churn import Kind
from bench.churning_end import ChurningEnd, plan_of
from bench.density import identities, wire
from bench.density.agent_end import DIAL_S, Plan
from bench.density.counts import Counts
from bench.density.identities import Credentials
from shared import messages as m
from shared.addresses import parse_address
from shared.errors import RemoteProtocolError, reason_of

EVENTS_AT_ONCE: Final = 32
"""Between two looks at what is due: each may be a handshake of a millisecond."""

HALF_OPEN_S: Final = 90.0
"""How long a link is kept whose host is gone: longer than any master's patience."""

STATUS: Final = "status"
JOIN: Final = "join"
"""Orders, beside the kinds of `bench.churn`; `replace` is the operator's, with `join`."""


class Order(Struct, frozen=True):
    """What is to happen, and to whom."""

    do: str
    node_id: str = ""
    length_s: float = 0.0
    newcomer: Credentials | None = None


class Status(Struct, frozen=True):
    """How the agents are."""

    members: int
    """Those that have not been refused for good."""
    linked: int
    """Links that this side believes in, half-open ones not included."""
    beats: int
    lost_links: int
    failed_dials: int
    errors: dict[str, int]


class Member:
    """One node's agent, through all of its runs."""

    def __init__(self, number: int, credentials: Credentials, plan: Plan) -> None:
        self.number: Final = number
        self.node_id: Final = credentials.node_id
        self._address = credentials.address
        self._tls = wire.context(credentials.pem)
        self.is_frozen = False
        self.leaves_for_s: float | None = None
        """It has said goodbye: for how long; None: it has not."""
        self._plan = plan
        self.agent = self._new_run()

    def __repr__(self) -> str:
        return f"<Member {self.number} {self.agent!r}>"

    def begin_run(self) -> None:
        """Another process, which knows nothing of the one before."""
        self.agent = self._new_run()
        self.is_frozen, self.leaves_for_s = False, None

    def _new_run(self) -> ChurningEnd:
        now_s = time.monotonic()
        return ChurningEnd(self.number, self._address, self._tls, self._plan, now_s)


Timer: TypeAlias = Callable[[float], None]
"""What is done when it is due; told the time, on `time.monotonic`."""


class Crowd:
    """All agents of the process, their timers and their sockets."""

    def __init__(self, fleet: Iterable[Credentials], plan: Plan, dials_per_s: float) -> None:
        self._plan = plan
        self._epoll = select.epoll()
        self._members: dict[str, Member] = {}
        self._linkers: dict[int, Member] = {}
        """By descriptor, whose link it is."""
        self._counts = Counts()
        self._numbers = count()
        self._order = count()
        self._timers: list[tuple[float, int, Timer]] = []
        self._is_over = False
        began_s = time.monotonic()
        for number, credentials in enumerate(fleet):
            self._join(credentials, began_s + number / dials_per_s)

    def run(self) -> None:
        """Until standard input ends."""
        orders = sys.stdin.fileno()
        self._epoll.register(orders, select.EPOLLIN)
        unread = b""
        while not self._is_over:
            wait_s = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            for descriptor, _ in self._epoll.poll(wait_s, EVENTS_AT_ONCE):
                if descriptor == orders:
                    data = os.read(orders, 65536)
                    self._is_over = not data
                    *lines, unread = (unread + data).split(b"\n")
                    for line in lines:
                        self._obey(msgspec.json.decode(line, type=Order))
                elif descriptor in self._linkers:
                    self._ready(self._linkers[descriptor])
            now_s = time.monotonic()
            while self._timers and self._timers[0][0] <= now_s:
                heapq.heappop(self._timers)[2](now_s)

    def _obey(self, order: Order) -> None:
        if order.do == STATUS:
            print(msgspec.json.encode(self._status()).decode(), flush=True)
            return
        if order.do == JOIN:
            assert order.newcomer is not None
            self._join(order.newcomer, time.monotonic())
            return
        member = self._members.get(order.node_id)
        if member is None or not member.agent.is_linked or member.leaves_for_s is not None:
            return  # it is away already
        if order.do == Kind.KILL:
            member.agent.will_reset()
            self._end(member, "killed")
        elif order.do == Kind.LEAVE:
            self._leave(member, order.length_s)
        elif order.do == Kind.FREEZE:
            self._freeze(member, order.length_s)
        elif order.do == Kind.POWER_CUT:
            self._cut_power(member)

    def _status(self) -> Status:
        counts = self._counts
        return Status(
            len(self._members),
            sum(member.agent.is_linked for member in self._members.values()),
            counts.beats,
            counts.lost_links,
            counts.failed_dials,
            counts.errors,
        )

    def _join(self, credentials: Credentials, dial_at_s: float) -> None:
        member = Member(next(self._numbers), credentials, self._plan)
        self._members[credentials.node_id] = member
        self._dial_at(dial_at_s, member)

    def _leave(self, member: Member, length_s: float) -> None:
        if member.is_frozen:
            return  # it cannot say goodbye
        member.leaves_for_s = length_s
        with suppress(OSError):  # then it ends without
            member.agent.say_goodbye()

    def _freeze(self, member: Member, length_s: float) -> None:
        agent = member.agent
        if member.is_frozen:
            return
        member.is_frozen = True
        agent.look_away(self._epoll)

        def thaw(now_s: float) -> None:
            if member.agent is agent and member.is_frozen:
                member.is_frozen = False
                agent.look_again(self._epoll)
                self._beat(member, now_s)

        self._at(time.monotonic() + length_s, thaw)

    def _cut_power(self, member: Member) -> None:
        gone = member.agent
        if not member.is_frozen:
            gone.look_away(self._epoll)
        del self._linkers[gone.descriptor]

        def forget(now_s: float) -> None:
            gone.end(now_s, "power cut", self._counts)

        now_s = time.monotonic()
        self._at(now_s + HALF_OPEN_S, forget)
        member.begin_run()
        self._dial_at(now_s, member)

    def _dial_at(self, due_s: float, member: Member) -> None:
        agent = member.agent

        def look(now_s: float) -> None:
            if member.agent is agent and agent.gave_up(now_s):
                self._end(member, "no answer in time")

        def dial(now_s: float) -> None:
            if member.agent is agent:
                agent.dial(self._epoll, now_s)
                self._linkers[agent.descriptor] = member
                self._at(now_s + DIAL_S, look)

        self._at(due_s, dial)

    def _ready(self, member: Member) -> None:
        agent = member.agent
        was_linked = agent.is_linked
        try:
            agent.ready(self._counts)
        except OSError as error:
            self._end(member, reason_of(error))
        except RemoteProtocolError as error:
            self._end(member, error.text)
        else:
            if agent.is_linked and not was_linked:
                self._beat(member, time.monotonic())

    def _beat(self, member: Member, now_s: float) -> None:
        agent = member.agent
        try:
            agent.beat(now_s, self._counts)
        except OSError as error:
            self._end(member, reason_of(error))
            return
        due_s = agent.due_s

        def beat(now_s: float) -> None:
            beats = member.agent is agent and agent.due_s == due_s and agent.is_linked
            if beats and not member.is_frozen and member.leaves_for_s is None:
                self._beat(member, now_s)

        self._at(due_s, beat)

    def _end(self, member: Member, error: str) -> None:
        agent, now_s = member.agent, time.monotonic()
        del self._linkers[agent.descriptor]
        again_s = agent.end(now_s, error, self._counts)
        member.is_frozen = False
        if error in m.Refusal.FINAL:
            del self._members[member.node_id]
        elif member.leaves_for_s is not None:
            back_s = now_s + member.leaves_for_s
            member.begin_run()
            self._dial_at(back_s, member)
        else:
            self._dial_at(again_s, member)

    def _at(self, due_s: float, timer: Timer) -> None:
        heapq.heappush(self._timers, (due_s, next(self._order), timer))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("fleet", type=Path, help="as bench.density.identities has written it")
    parser.add_argument("count", type=int, help="so many of its agents")
    parser.add_argument("master", type=parse_address, help="HOST:PORT")
    parser.add_argument("--period", type=float, required=True)
    parser.add_argument("--dials-per-s", type=float, required=True)
    parser.add_argument("--family-every", type=int, default=0, help="beats; 0: no families")
    given = parser.parse_args()
    plan = plan_of(given.fleet, given.master, given.period, given.family_every)
    fleet = identities.load_agents(given.fleet, 0, given.count)
    crowd = Crowd(fleet, plan, given.dials_per_s)
    gc.freeze()
    gc.set_threshold(50_000, 20, 1000)
    crowd.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
