"""One process of the load: thousands of agents over one epoll set. Started by `bench.density`.

    python -m bench.density.generator FLEET FIRST COUNT HOST:PORT --period 5 --dials-per-s 500

A line on standard input is an order, and is answered by one line of JSON: `status`; `begin`, which
forgets what was counted; `report`. It ends with its standard input.
"""

import argparse
import gc
import heapq
import json
import os
import select
import sys
import time
from pathlib import Path
from typing import Final

from bench.density import identities
from bench.density.agent_end import DIAL_S, AgentEnd, Plan
from bench.density.counts import Counts
from bench.density.samples import Samples
from shared.addresses import parse_address
from shared.errors import RemoteProtocolError, reason_of
from shared.tls import client_context

_BEAT: Final = 0
_DIAL: Final = 1
_LOOK: Final = 2
"""Whether a dial has lasted too long."""

_EVENTS_AT_ONCE: Final = 32
"""Between two looks at what is due: each may be a handshake of a millisecond."""
_BEATS_BETWEEN: Final = 64
"""Beats that are sent before the answers are read: their delay is to be the master's."""


class Generator:
    """The agents of one process, their timers and their sockets."""

    def __init__(self, agents: list[AgentEnd], dials_per_s: float) -> None:
        self._agents = agents
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, int] = {}
        self._counts = Counts()
        began_s = time.monotonic()
        self._timers = [
            (began_s + number / dials_per_s, number, _DIAL) for number in range(len(agents))
        ]
        self._is_over = False

    def run(self) -> None:
        """Until standard input ends."""
        orders = sys.stdin.fileno()
        self._epoll.register(orders, select.EPOLLIN)
        while not self._is_over:
            wait_s = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            for descriptor, _ in self._epoll.poll(wait_s, _EVENTS_AT_ONCE):
                if descriptor == orders:
                    self._obey(os.read(orders, 4096))
                elif descriptor in self._by_descriptor:
                    self._ready(self._by_descriptor[descriptor])
            self._do_what_is_due()

    def _obey(self, orders: bytes) -> None:
        self._is_over = not orders
        for order in orders.split():
            if order == b"begin":
                self._counts = Counts()
            answer = self._status() | (self._report() if order == b"report" else {})
            print(json.dumps(answer), flush=True)

    def _status(self) -> dict[str, object]:
        return {
            "linked": sum(agent.is_linked for agent in self._agents),
            "beats": self._counts.beats,
            "lost_links": self._counts.lost_links,
            "failed_dials": self._counts.failed_dials,
        }

    def _report(self) -> dict[str, object]:
        counts = self._counts
        return {
            "acknowledged": counts.acknowledged.counts,
            "confirmed": counts.confirmed.counts,
            "late": counts.late.counts,
            "errors": counts.errors,
        }

    def _do_what_is_due(self) -> None:
        timers, beats = self._timers, 0
        while timers and beats < _BEATS_BETWEEN:
            now_s = time.monotonic()
            due_s, number, what = timers[0]
            if due_s > now_s:
                return
            heapq.heappop(timers)
            agent = self._agents[number]
            if what == _LOOK:
                if agent.gave_up(now_s):
                    self._end(number, agent, "no answer in time")
            elif what == _DIAL:
                agent.dial(self._epoll, now_s)
                self._by_descriptor[agent.descriptor] = number
                heapq.heappush(timers, (now_s + DIAL_S, number, _LOOK))
            elif due_s == agent.due_s:  # else it has beaten meanwhile, because it was welcomed
                beats += 1
                self._counts.late.add(now_s - due_s)
                self._beat(number, agent, now_s)

    def _ready(self, number: int) -> None:
        agent = self._agents[number]
        was_linked = agent.is_linked
        try:
            agent.ready(self._counts)
        except OSError as error:
            self._end(number, agent, reason_of(error))
        except RemoteProtocolError as error:
            self._end(number, agent, error.text)
        else:
            if agent.is_linked and not was_linked:
                self._beat(number, agent, time.monotonic())

    def _beat(self, number: int, agent: AgentEnd, now_s: float) -> None:
        try:
            agent.beat(now_s, self._counts)
        except OSError as error:
            self._end(number, agent, reason_of(error))
        heapq.heappush(self._timers, (agent.due_s, number, _BEAT))

    def _end(self, number: int, agent: AgentEnd, error: str) -> None:
        del self._by_descriptor[agent.descriptor]
        again_s = agent.end(time.monotonic(), error, self._counts)
        heapq.heappush(self._timers, (again_s, number, _DIAL))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("fleet", type=Path, help="as bench.density.identities has written it")
    parser.add_argument("first", type=int, help="the first agent of this process")
    parser.add_argument("count", type=int)
    parser.add_argument("master", type=parse_address, help="HOST:PORT")
    parser.add_argument("--period", type=float, required=True)
    parser.add_argument("--dials-per-s", type=float, required=True)
    parser.add_argument("--family-every", type=int, default=0, help="beats; 0: no families")
    given = parser.parse_args()
    fleet = identities.load(given.fleet)
    plan = Plan(
        (given.master.host, given.master.port),
        fleet.server_name,
        client_context(fleet.ca_pem),
        Samples(),
        given.period,
        given.family_every,
    )
    now_s = time.monotonic()
    numbers = range(given.first, given.first + given.count)
    agents = [AgentEnd(number, fleet.agents[number], plan, now_s) for number in numbers]
    generator = Generator(agents, given.dials_per_s)
    gc.freeze()
    gc.set_threshold(50_000, 20, 1000)
    generator.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
