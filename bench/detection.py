"""How soon a fault is noticed: real agents, a real master, real faults, at the defaults.

    python -m bench.detection [--hosts 50] [--rounds 1] [--json]

Takes root and Linux, for the line that is cut (`tests.network.lossy_link`). Every host's agent is a
process that dials the master over that line, 5 ms away each way, and beats every 5 s; a crowd of
150 more nodes in one process makes each fault one host's and no mass event. Every host of a fresh
fleet is struck once, the hosts one after another, each at a random instant of its period:

    killed     SIGKILL
    stopped    SIGSTOP: the host's kernel goes on answering
    cut off    nothing gets to or from the host

Times are from just before the fault to the wall time of the master's own event. `other` counts the
runs in which the node went through other states than those.
"""

import argparse
import math
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import trio

from bench.tables import print_results
from shared.liveness import State
from tests.network.lossy_link import MASTER_HOST, LossyLink, host_of, why_not_here
from tests.network.real_fleet import RealFleet, go_on, kill, stop

PERIOD_S: Final = 5.0
CROWD: Final = 150
CROWD_HOST: Final = 250
EVERY_S: Final = 0.8
"""Between two faults: twelve nodes of two hundred are late within two periods, and a mass event
takes sixty."""

LOOK_EVERY_S: Final = 0.5
GIVE_UP_S: Final = 60.0
WARM_UP_BEATS: Final = 3

SEED: Final = 20

TARGETS_S: Final[Mapping[str, Mapping[State, float]]] = {
    "killed": {State.LOST: 0.1, State.DOWN: 3.5},
    "stopped": {State.LATE: 6.5, State.HUNG: 7.5, State.DOWN: 30.5},
    "cut off": {State.LATE: 6.5, State.DOWN: 13.0},
}
"""At the 99th percentile."""


class Fault(NamedTuple):
    """What befalls a host, and what undoes it. `strike` returns when, in wall milliseconds."""

    name: str
    strike: Callable[[str], int]
    undo: Callable[[str], object]


class Run(NamedTuple):
    """One host, struck once: how long after the fault it came into which state."""

    reached_s: Mapping[State, float]


class Hosts:
    """The hosts' agents, and what can be done to them."""

    def __init__(self, fleet: RealFleet, line: LossyLink) -> None:
        self._fleet = fleet
        self._line = line
        self._ends = {name: host_of(number) for number, name in enumerate(fleet.hosts)}
        self._agents: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        self._agents[name] = self._fleet.start_agent(name, at=self._ends[name])

    def faults(self) -> list[Fault]:
        return [
            Fault("killed", self._kill, self.start),
            Fault("stopped", self._stop, self._go_on),
            Fault("cut off", self._cut, self._mend),
        ]

    def _kill(self, name: str) -> int:
        return kill(self._agents[name])

    def _stop(self, name: str) -> int:
        return stop(self._agents[name])

    def _go_on(self, name: str) -> int:
        return go_on(self._agents[name])

    def _cut(self, name: str) -> int:
        return self._line.cut(self._ends[name])

    def _mend(self, name: str) -> int:
        return self._line.mend(self._ends[name])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", type=int, default=50, help="agents that are struck, up to 200")
    parser.add_argument("--rounds", type=int, default=1, help="fresh fleets for each fault")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    hosts: int = arguments.hosts
    rounds: int = arguments.rounds
    as_json: bool = arguments.json
    if reason := why_not_here():
        sys.stderr.write(f"{reason}\n")
        return 1
    runs: dict[str, list[Run]] = {fault: [] for fault in TARGETS_S}
    for number in range(rounds):
        for fault, struck in runs.items():
            struck.extend(_round(fault, hosts, random.Random(f"{SEED} {number} {fault}")))
    print_results([row for fault in runs for row in _rows(fault, runs[fault])], as_json=as_json)
    return 0


def _round(fault_name: str, hosts: int, rng: random.Random) -> list[Run]:
    # On a fleet of its own: a host that has been away twice is given more time for a while.
    names = [f"host-{number:03}" for number in range(hosts)]
    with tempfile.TemporaryDirectory(prefix="heartline-") as folder, LossyLink() as line:
        fleet = RealFleet(
            Path(folder),
            period_s=PERIOD_S,
            hosts=names,
            crowd=CROWD,
            line=line,
            listen=f"{MASTER_HOST}:0",
        )
        with fleet:
            agents = Hosts(fleet, line)
            fleet.start_crowd(at=host_of(CROWD_HOST))
            for name in names:
                agents.start(name)
            fleet.wait_all_up()
            fleet.wait_beaten(names[-1], WARM_UP_BEATS)
            (fault,) = [each for each in agents.faults() if each.name == fault_name]
            return trio.run(_strike_all, fleet, fault, rng)


async def _strike_all(fleet: RealFleet, fault: Fault, rng: random.Random) -> list[Run]:
    runs: list[Run] = []
    async with trio.open_nursery() as nursery:
        for number, name in enumerate(rng.sample(fleet.hosts, len(fleet.hosts))):
            after_s = EVERY_S * (number + rng.random())
            nursery.start_soon(partial(_strike, fleet, fault, name, after_s, runs))
    return runs


async def _strike(
    fleet: RealFleet, fault: Fault, name: str, after_s: float, runs: list[Run]
) -> None:
    await trio.sleep(after_s)
    at_ms = fault.strike(name)
    reached_s: dict[State, float] = {}
    with trio.fail_after(GIVE_UP_S):
        while State.DOWN not in reached_s:
            await trio.sleep(LOOK_EVERY_S)
            for change in fleet.changes(name, at_ms):
                reached_s.setdefault(State(change.after), (change.wall_ms - at_ms) / 1000)
    runs.append(Run(reached_s))
    fault.undo(name)


def _rows(fault: str, runs: Sequence[Run]) -> list[dict[str, object]]:
    targets = TARGETS_S[fault]
    others = sum(run.reached_s.keys() != targets.keys() for run in runs)
    rows: list[dict[str, object]] = []
    for state, target_s in targets.items():
        took_s = sorted(run.reached_s[state] for run in runs if state in run.reached_s)
        rows.append(
            {
                "fault": f"{fault} → {state}",
                "runs": len(took_s),
                "p50_s": percentile(took_s, 0.5),
                "p99_s": percentile(took_s, 0.99),
                "most_s": took_s[-1],
                "target_p99_s": target_s,
                "other": others,
            }
        )
    return rows


def percentile(ordered: Sequence[float], part: float) -> float:
    """The least value that so large a part of all values does not exceed."""
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


if __name__ == "__main__":
    sys.exit(main())
