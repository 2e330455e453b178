"""A viewer of the fleet under load, as the dashboard is one: its client, its model, and no screen.

    python -m bench.density.viewer FOLDER

Watches the master that runs on the folder. Says a line when it has the whole fleet, and takes
orders (`bench.density.orders`): `begin`, which forgets what was counted; `report`. A beat is seen
when it is in the model, as the dashboard would draw it next.
"""

import argparse
import asyncio
import gc
import json
import sys
from contextlib import suppress
from pathlib import Path

from bench.density.histogram import Histogram
from bench.density.stamps import sent_mono_ms
from shared.clock import monotonic_ms
from shared.messages import Delta, FromMaster, NodeVitals, Snapshot
from shared.paths import StateFolder
from tui.client import Client
from tui.fleet import Fleet
from tui.link import Link
from tui.target import UnixTarget


class Looker:
    """A `tui.link.Viewer` that says how old what it is told is."""

    def __init__(self) -> None:
        self.seen = Histogram()
        """From a beat's being written to its being in the model."""
        self.beats = 0
        self.behind = 0
        """Deltas that had been held back because this viewer did not read on."""
        self._fleet = Fleet()
        self._latest_ms: dict[str, int] = {}
        self._is_ready = False

    def on_link(self, link: Link) -> None:
        """See `tui.link.Viewer`."""

    def on_message(self, message: FromMaster, received_s: float) -> None:
        """See `tui.link.Viewer`."""
        if not isinstance(message, Snapshot | Delta):
            return
        self._fleet.apply(message, received_s)
        now_ms = monotonic_ms()
        for vitals in message.vitals:
            self._look(vitals, now_ms, is_new=isinstance(message, Delta))
        if isinstance(message, Delta):
            self.behind += message.behind_ms > 0
        elif message.last and not self._is_ready:
            self._is_ready = True
            print(json.dumps({"nodes": len(self._fleet)}), flush=True)

    def begin(self) -> None:
        """Forgets what was counted."""
        self.seen, self.beats, self.behind = Histogram(), 0, 0

    def report(self) -> dict[str, object]:
        return {"seen": self.seen.counts, "beats": self.beats, "behind": self.behind}

    def _look(self, vitals: NodeVitals, now_ms: int, *, is_new: bool) -> None:
        # A node that changes its state is told of again with the beat that is known already.
        node = self._fleet.node(vitals.node_id)
        sent_ms = sent_mono_ms(node.core) if node else None
        if sent_ms is None or sent_ms <= self._latest_ms.get(vitals.node_id, 0):
            return
        self._latest_ms[vitals.node_id] = sent_ms
        if is_new:
            self.beats += 1
            self.seen.add((now_ms - sent_ms) / 1000)


async def watch(folder: StateFolder) -> None:
    """Until standard input ends."""
    looker = Looker()
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    client = asyncio.create_task(Client(UnixTarget(folder.socket)).run(looker))
    while order := (await orders.readline()).decode().strip():
        answer = looker.report()
        if order == "begin":
            looker.begin()
            answer = {}
        print(json.dumps(answer), flush=True)
    client.cancel()
    with suppress(asyncio.CancelledError):
        await client


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    gc.set_threshold(50_000, 20, 1000)
    asyncio.run(watch(StateFolder(given.folder)))


if __name__ == "__main__":
    main()
