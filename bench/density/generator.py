"""One process of the load: thousands of agents over one epoll set. Started by `bench.density`.

    python -m bench.density.generator FLEET FIRST COUNT HOST:PORT --period 5 --dials-per-s 500

Says a line when it has read its agents' keys, and takes orders (`bench.density.orders`): `dial`, so
many a second; `status`; `begin`, which forgets what was counted; `report`; `period=S`, from each
agent's next beat on.
"""

import argparse
import gc
import json
import math
import os
import select
import sys
import time
from collections import deque
from pathlib import Path
from typing import Final

from bench.density import identities, wire
from bench.density.agent_end import DIAL_S, AgentEnd, Plan
from bench.density.counts import Counts
from bench.density.timers import Timers
from shared.addresses import parse_address
from shared.errors import RemoteProtocolError, reason_of

_EVENTS_AT_ONCE: Final = 32
"""Between two looks at what is due: each may be a handshake of half a millisecond."""
_DIALLING_AT_ONCE: Final = 128
"""Handshakes that one process has under way: as many as it does in a tenth of a second. With
thousands each would wait for all the others, and none would be done in time, which hosts of their
own would have been."""

_BEATS_BETWEEN: Final = 16
"""Beats that are sent before the answers are read: their delay is to be the master's."""

_DIALS_BETWEEN: Final = 64

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Generator:
    """The agents of one process, their timers and their sockets."""

    def __init__(self, agents: list[AgentEnd], plan: Plan, dials_per_s: float) -> None:
        self._agents = agents
        self._plan = plan
        self._dials_per_s = dials_per_s
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, AgentEnd] = {}
        self._counts = Counts()
        self._linked = 0
        self._dialling = 0
        self._to_dial = deque[AgentEnd]()
        self._beats = Timers[AgentEnd]()
        self._dials = Timers[AgentEnd]()
        self._looks = Timers[AgentEnd]()
        """Whether a dial has lasted too long."""
        self._is_over = False

    def run(self) -> None:
        """Until standard input ends."""
        orders = sys.stdin.fileno()
        self._epoll.register(orders, select.EPOLLIN)
        print("{}", flush=True)
        by_descriptor = self._by_descriptor
        beats, dials, looks = self._beats, self._dials, self._looks
        while not self._is_over:
            happened = self._epoll.poll(self._wait_s(), _EVENTS_AT_ONCE)
            seen_s = time.monotonic()  # what this process needs for them is not the master's delay
            for descriptor, _ in happened:
                agent = by_descriptor.get(descriptor)
                if agent is not None:
                    self._ready(agent, seen_s)
                elif descriptor == orders:
                    self._obey(os.read(orders, 4096))
            now_s = time.monotonic()
            if beats.next_s <= now_s:
                self._beat_those_due(now_s)
            if looks.next_s <= now_s:
                self._give_up(now_s)
            if dials.next_s <= now_s:
                self._to_dial += dials.take(now_s, _DIALS_BETWEEN)
            while self._to_dial and self._dialling < _DIALLING_AT_ONCE:
                self._dial(self._to_dial.popleft())

    def _wait_s(self) -> float | None:
        next_s = min(self._beats.next_s, self._dials.next_s, self._looks.next_s)
        return max(0.0, next_s - time.monotonic()) if next_s < math.inf else None

    def _obey(self, orders: bytes) -> None:
        self._is_over = not orders
        for order in orders.decode().split():
            name, _, value = order.partition("=")
            answer = self._status()
            if name == "dial":
                now_s = time.monotonic()
                for place, agent in enumerate(self._agents):
                    self._dials.add(now_s + place / self._dials_per_s, agent)
            elif name == "begin":
                self._counts = Counts()
            elif name == "period":
                self._plan.period_s = float(value)
            elif name == "report":
                answer |= self._report()
            print(json.dumps(answer), flush=True)

    def _status(self) -> dict[str, object]:
        return {
            "linked": self._linked,
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

    def _beat_those_due(self, began_s: float) -> None:
        for agent in self._beats.take(began_s, _BEATS_BETWEEN):
            now_s, due_s = time.monotonic(), agent.due_s
            if due_s <= now_s:  # else it has beaten meanwhile, because it was welcomed
                self._counts.late.add(now_s - due_s)
                self._beat(agent, now_s)

    def _give_up(self, now_s: float) -> None:
        for agent in self._looks.take(now_s, _DIALS_BETWEEN):
            if agent.gave_up(now_s):
                self._end(agent, "no answer in time")

    def _dial(self, agent: AgentEnd) -> None:
        now_s = time.monotonic()
        self._dialling += 1
        agent.dial(self._epoll, now_s)
        self._by_descriptor[agent.descriptor] = agent
        self._looks.add(now_s + DIAL_S, agent)

    def _ready(self, agent: AgentEnd, seen_s: float) -> None:
        was_linked = agent.is_linked
        try:
            agent.ready(self._counts, seen_s)
        except OSError as error:
            self._end(agent, reason_of(error))
        except RemoteProtocolError as error:
            self._end(agent, error.text)
        else:
            if agent.is_linked and not was_linked:
                self._dialling -= 1
                self._linked += 1
                self._beat(agent, time.monotonic())

    def _beat(self, agent: AgentEnd, now_s: float) -> None:
        try:
            agent.beat(now_s, self._counts)
        except OSError as error:
            self._end(agent, reason_of(error))
        self._beats.add(agent.due_s, agent)

    def _end(self, agent: AgentEnd, error: str) -> None:
        del self._by_descriptor[agent.descriptor]
        self._linked -= agent.is_linked
        self._dialling -= not agent.is_linked
        again_s = agent.end(time.monotonic(), error, self._counts)
        self._dials.add(again_s, agent)


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
    plan = Plan(
        (given.master.host, given.master.port),
        identities.load(given.fleet).server_name,
        boot_id=_BOOT_ID.read_text().strip(),
        period_s=given.period,
        family_every=given.family_every,
    )
    now_s = time.monotonic()
    agents = [
        AgentEnd(given.first + place, known.address, wire.context(known.pem), plan, now_s)
        for place, known in enumerate(identities.load_agents(given.fleet, given.first, given.count))
    ]
    generator = Generator(agents, plan, given.dials_per_s)
    gc.freeze()
    gc.set_threshold(50_000, 20, 1000)
    generator.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
