"""A master whose nodes are simulated: its own registry, feed and viewers' sessions, and no links.

    python -m bench.fleet_feed FOLDER --nodes 10000 --period 5

Serves viewers on FOLDER's socket, with the real frames, at the real rate: each node beats once a
period, evenly spread, with values that change. Prints "ready" when viewers may come; ends on
SIGTERM.
"""

import argparse
import datetime as dt
import itertools
import signal
from pathlib import Path

import trio

from heartline.demo.core_sample import core
from heartline.demo.hardware import inventory
from heartline.demo.hosts import Host, fleet
from heartline.demo.signs import signs
from master.assembly import Master
from master.audit import Audit
from master.authority import open_authority
from master.history.history import History
from master.listener import accept_local, bind_local
from master.node import Node
from master.registry import Registry
from master.store import Store
from shared.clock import wall_ms
from shared.liveness import BeatArrived, Joined
from shared.messages import encode_body
from shared.paths import StateFolder
from shared.settings import HistorySettings, LinkSettings, MasterSettings

SEED = 1
BEATS_KEPT = 4
"""Different samples of a node, sent in turn: making them is not what is measured."""

STEP_S = 0.02
SILENT_EVERY = 97
"""One of so many has joined and never beats: it is down."""


class SimulatedNodes:
    """The nodes of a registry, which beat."""

    def __init__(self, registry: Registry, count: int, period_s: float) -> None:
        self._registry = registry
        self._period_s = period_s
        hosts = fleet(count, SEED)
        self._beating: list[tuple[Node, itertools.cycle[bytes]]] = []
        for host in hosts:
            node = self._add(host)
            samples = [encode_body(core(host, signs(host, (), 5.0 * k))) for k in range(BEATS_KEPT)]
            node.core = samples[0]
            if host.number % SILENT_EVERY == 0:
                registry.seen(node, trio.current_time())
            else:
                self._beating.append((node, itertools.cycle(samples)))
                self._beat(node, trio.current_time())

    async def run(self) -> None:
        """Beats, for ever."""
        began_s, beaten = trio.current_time(), 0
        while True:
            await trio.sleep(STEP_S)
            now_s = trio.current_time()
            due = int((now_s - began_s) * len(self._beating) / self._period_s)
            for turn in range(beaten, due):
                node, samples = self._beating[turn % len(self._beating)]
                node.core = next(samples)
                self._beat(node, now_s)
            beaten = due

    def _beat(self, node: Node, now_s: float) -> None:
        """What a session does when a beat arrives."""
        arrived = BeatArrived(now_s, self._period_s, self._period_s)
        self._registry.apply(node, arrived, now_s)
        self._registry.seen(node, now_s)

    def _add(self, host: Host) -> Node:
        now_s = trio.current_time()
        node, _ = self._registry.new_node(f"{host.key:016x}", host.name, now_s)
        found = inventory(host, host.booted_s, wall_ms() / 1000)
        node.take_inventory(encode_body(found), found)
        node.address = f"{host.ipv4}:40000"
        node.agent_version = found.agent_version
        node.period_ms = round(self._period_s * 1000)
        self._registry.add(node)
        self._registry.apply(node, Joined(self._period_s), now_s)
        return node


async def serve(root: Path, nodes: int, period_s: float) -> None:
    """Serves until SIGTERM."""
    folder = StateFolder(root)
    folder.ensure()
    authority, _ = open_authority(folder.ca_dir, dt.datetime.now(dt.UTC))
    store, audit = Store.open(folder.database), Audit(folder.audit, wall_ms)
    history = History.open(folder.history, HistorySettings())
    local = bind_local(folder.socket)
    settings = MasterSettings(name="bench", period_s=period_s)
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            master = Master(
                folder,
                settings,
                LinkSettings(),
                authority=authority,
                store=store,
                history=history,
                audit=audit,
            )
            entry = master.assemble(nursery).entry
            simulated = SimulatedNodes(entry.registry, nodes, period_s)
            nursery.start_soon(simulated.run)
            nursery.start_soon(accept_local, local, entry, nursery)
            print("ready", flush=True)
            async for _ in signals:
                nursery.cancel_scope.cancel()
    for closed in (local, audit, history, store):
        closed.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--period", type=float, default=5.0)
    given = parser.parse_args()
    trio.run(serve, given.folder, given.nodes, given.period)


if __name__ == "__main__":
    main()
