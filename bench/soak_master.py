"""A soak of the master: a fleet that is never at rest, and what the master's process then holds.

    python -m bench.soak_master [--agents 2000] [--minutes 60] [--seed 1] [--out FOLDER]

A real master on loopback. Its agents are those of `bench.density`: real links over mutual TLS, real
samples, families in full. In an hour each agent's link is reset three times and dialled again; it
leaves with a goodbye and comes back as another run, freezes, and loses its power while the master
still has the link, about once each; and for half of the fleet a new host joins with a token, by the
real conversation, and the operator forgets an old one, so that there are always as many. Of two
viewers one watches the fleet and one node from the master's host for some seconds, and goes, and
comes back; the other asks over TLS for the present and for the past.

Sampled every 5 s, of the master and of the processes that it has started: their own memory
(RssAnon), descriptors and threads, and trio's tasks in the master itself (`bench.counted_master`);
descriptors also without those of the agents' links. In the samples that are written stands also
whose the master's memory is (`bench.memory_kinds`). After the warm-up a line is fitted to each
(`bench.slopes`). History is compacted once a minute instead of every ten, so that an hour holds
sixty of the longest work that repeats, and slopes can be told from its ups and downs. At the end
the master looks for cycles of objects that nobody refers to: how many it finds, and what grew of
those that it keeps track of, says where to look.

Exit code 1: something grows faster than its limit, or it is not what was asked for.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import trio

from bench.churn import Blow, Kind, blows
from bench.churning_agents import JOIN, STATUS, Order, Status
from bench.counted_master import CountedMaster, MasterFailedError, counted_master
from bench.density import identities
from bench.density.cost import Tree
from bench.density.load import LoadFailedError
from bench.process_gauge import held_by_all
from bench.soak_operator import Operator, Viewers
from bench.soak_report import Finding, Limit, Row, findings, grown, print_soak, write_samples

SAMPLE_S: Final = 5.0
PROGRESS_S: Final = 30.0

COMPACT_S: Final = 60
"""How often history is compacted, and so the length of a block."""

WARM_UP_PART: Final = 1 / 6
WARM_UP_LEAST_S: Final = 60.0
"""Code that runs for the first time, the allocator's arenas, caches: a sixth of the soak."""

LIMITS: Final = (
    Limit("anonymous_kb", 1024.0),
    Limit("descriptors_beside_links", 6.0),
    Limit("tasks", 6.0),
    Limit("threads", 6.0),
)
"""In an hour: a megabyte; and of what is counted, one in ten minutes, where a leak would lose one
with every link or visit, of which there are hundreds in that time."""

DIALS_PER_S: Final = 100.0
LINKING_S: Final = 60.0
"""How long linking may take beyond what the pace of the dials asks for."""

VISIT_S: Final = (5.0, 20.0)
PAUSE_S: Final = (1.0, 10.0)
"""Of viewers: how long they look, and how long they do not."""

OBJECTS_SHOWN: Final = 12


class Agents:
    """The process of the agents, ordered about over its standard streams."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def order(self, order: Order) -> None:
        """Has something happen.

        Raises:
            LoadFailedError: the process has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise LoadFailedError("the agents have ended; they have said why above") from error

    def status(self) -> Status:
        """How they are.

        Raises:
            LoadFailedError: the process has ended.
        """
        self.order(Order(STATUS))
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise LoadFailedError("the agents have ended; they have said why above")
        return msgspec.json.decode(line, type=Status)


class Soak:
    """One run, from the first agent to the last sample."""

    def __init__(
        self,
        given: argparse.Namespace,
        master: CountedMaster,
        agents: Agents,
        operator: Operator,
        viewers: Viewers,
        nodes: list[str],
    ) -> None:
        self.rows: list[Row] = []
        self.blows: Counter[Kind] = Counter()
        self.visits = 0
        self._given = given
        self._length_s: float = given.minutes * 60
        self._master = master
        self._processes = Tree(master.pid)
        self._agents = agents
        self._operator = operator
        self._viewers = viewers
        self._nodes = nodes
        self._newcomers = 0
        self._rng = random.Random(given.seed)
        self._turn = trio.Lock()
        """Of the agents' and the master's streams: a question, then its answer."""

    async def run(self) -> None:
        """Until its time is over."""
        await trio.to_thread.run_sync(self._viewers.join)
        began_s = trio.current_time()
        with trio.move_on_after(self._length_s):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._churn, began_s)
                nursery.start_soon(self._look_here, random.Random(self._rng.random()))
                nursery.start_soon(self._look_from_elsewhere, random.Random(self._rng.random()))
                nursery.start_soon(self._sample, began_s)

    async def _churn(self, began_s: float) -> None:
        for blow in blows(len(self._nodes), self._given.churn, self._rng):
            await trio.sleep_until(began_s + blow.at_s)
            self.blows[blow.kind] += 1
            place = int(blow.lot * len(self._nodes))
            if blow.kind is Kind.REPLACE:
                await self._replace(place)
            else:
                await self._strike(blow, self._nodes[place])

    async def _strike(self, blow: Blow, node_id: str) -> None:
        async with self._turn:
            self._agents.order(Order(blow.kind, node_id, blow.length_s))

    async def _replace(self, place: int) -> None:
        self._newcomers += 1
        newcomer = await self._operator.enrol(f"newcomer-{self._newcomers:06}")
        async with self._turn:
            self._agents.order(Order(JOIN, newcomer=newcomer))
        old, self._nodes[place] = self._nodes[place], newcomer.node_id
        await trio.to_thread.run_sync(self._operator.forget, old)

    async def _look_here(self, rng: random.Random) -> None:
        while True:
            look = partial(self._viewers.look_here, rng, rng.uniform(*VISIT_S))
            await trio.to_thread.run_sync(look, abandon_on_cancel=True)
            self.visits += 1
            await trio.sleep(rng.uniform(*PAUSE_S))

    async def _look_from_elsewhere(self, rng: random.Random) -> None:
        while True:
            look = partial(self._viewers.look_from_elsewhere, rng)
            await trio.to_thread.run_sync(look, abandon_on_cancel=True)
            self.visits += 1
            await trio.sleep(rng.uniform(*PAUSE_S))

    async def _sample(self, began_s: float) -> None:
        told_s = 0.0
        while True:
            async with self._turn:
                agents = await trio.to_thread.run_sync(self._agents.status)
                tasks = await trio.to_thread.run_sync(self._master.tasks)
                kinds = await trio.to_thread.run_sync(self._master.memory)
            at_s = trio.current_time() - began_s
            self.rows.append(Row(at_s, self._values(agents, tasks) | kinds))
            if at_s - told_s >= PROGRESS_S:
                told_s += PROGRESS_S
                self._tell(self.rows[-1], agents)
            await trio.sleep_until(began_s + len(self.rows) * SAMPLE_S)

    def _values(self, agents: Status, tasks: int) -> dict[str, float]:
        held = held_by_all(self._processes.pids())
        return {
            "anonymous_kb": held.anonymous_kb,
            "resident_kb": held.resident_kb,
            "descriptors": held.descriptors,
            "threads": held.threads,
            "tasks": tasks,
            "links": agents.linked,
            "descriptors_beside_links": held.descriptors - agents.linked,
        }

    def _tell(self, row: Row, agents: Status) -> None:
        values = row.values
        sys.stderr.write(
            f"{row.at_s / 60:5.1f} min  {values['anonymous_kb'] / 1024:7.1f} MB"
            f"  {values['descriptors']:.0f} descriptors  {values['tasks']:.0f} tasks"
            f"  {values['threads']:.0f} threads  {agents.linked} of {agents.members} linked"
            f"  {sum(self.blows.values())} blows  {self.visits} visits\n"
        )


def soak(given: argparse.Namespace, root: Path) -> int:
    """Runs it and prints what was found; the exit code."""
    identities.prepare(root, given.agents)
    folder = identities.master_folder(root)
    folder.config.write_text(
        f'[master]\nlisten = ["127.0.0.1:0"]\nperiod_s = {given.period:g}\n'
        f"[history]\ncompact_every_s = {COMPACT_S}\n"
    )
    nodes = [agent.node_id for agent in identities.load_agents(root, 0, given.agents)]
    with ExitStack() as stack:
        master = stack.enter_context(counted_master(folder))
        agents = stack.enter_context(_agents(given, root, master.address))
        _wait_linked(agents, given.agents)
        operator = Operator(folder, master.address)
        viewers = Viewers(folder, root, operator, master.address)
        run = Soak(given, master, agents, operator, viewers, nodes)
        objects = master.objects()
        trio.run(run.run)
        grown = Counter(master.objects())
        grown.subtract(objects)
        collected = master.collect()
        status = agents.status()
    warm_up_s = max(WARM_UP_LEAST_S, given.minutes * 60 * WARM_UP_PART)
    found = findings(run.rows, LIMITS, warm_up_s, COMPACT_S)
    if given.out is not None:
        columns = ("anonymous_kb", "descriptors", "tasks", "threads", "links")
        write_samples(given.out / "soak-master", run.rows, columns, warm_up_s)
    summary = {
        "agents": given.agents,
        "minutes": given.minutes,
        "warm_up_s": round(warm_up_s),
        "beats": status.beats,
        "blows": {str(kind): times for kind, times in run.blows.items()},
        "visits": run.visits,
        "lost_links": status.lost_links,
        "failed_dials": status.failed_dials,
        "members": status.members,
        "errors": status.errors,
        "objects_grown": dict(grown.most_common(OBJECTS_SHOWN)),
        "collected_objects": collected,
    }
    print_soak(found, summary, as_json=given.json)
    return _code(found, status, given.agents)


def _code(found: list[Finding], status: Status, agents: int) -> int:
    grows = grown(found)
    if grows:
        sys.stderr.write(f"over its limit: {', '.join(grows)}\n")
    # One that was forgotten a moment ago may not have been told, or be away.
    is_whole = abs(status.members - agents) <= max(2, agents // 20)
    if not is_whole:
        sys.stderr.write(f"{status.members} agents at the end, not {agents}\n")
    return 1 if grows or not is_whole else 0


@contextmanager
def _agents(given: argparse.Namespace, fleet: Path, master: str) -> Generator[Agents]:
    command = [
        *(sys.executable, "-m", "bench.churning_agents", str(fleet), str(given.agents), master),
        *("--period", str(given.period), "--dials-per-s", str(DIALS_PER_S)),
        *("--family-every", "1"),
    ]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe)
    try:
        yield Agents(process)
    finally:
        process.kill()
        process.communicate()


def _wait_linked(agents: Agents, count: int) -> None:
    until_s = time.monotonic() + count / DIALS_PER_S + LINKING_S
    while (status := agents.status()).linked < count:
        if time.monotonic() > until_s:
            raise LoadFailedError(f"{status.linked} of {count} linked: {status.errors}")
        time.sleep(0.5)


def main() -> int:
    description, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak_master",
        description=description,
        epilog=rest.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--agents", type=int, default=2_000, help="how many (2000)")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--period", type=float, default=5.0, help="seconds between beats (5)")
    parser.add_argument("--churn", type=float, default=1.0, help="times what is said above (1)")
    parser.add_argument("--seed", type=int, default=1, help="of the churn (1)")
    parser.add_argument("--out", type=Path, help="a folder for the samples and their picture")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    given = parser.parse_args()
    if given.minutes * 60 <= WARM_UP_LEAST_S + SAMPLE_S:
        parser.error("--minutes: more than the warm-up, which takes a minute at least")
    try:
        with tempfile.TemporaryDirectory(prefix="heartline-") as root:
            return soak(given, Path(root))
    except (MasterFailedError, LoadFailedError, ProcessLookupError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
