"""Many agents in one process: the agent's own link-keeping code and heart, over real TLS links.

    python -m tests.network.agent_fleet HOST:PORT FOLDER

runs an agent for each folder in FOLDER that was enrolled (`tests.network.enrolled`), until SIGTERM.
They measure nothing, and leave no last words: a disk is not what is tested with hundreds of them.
"""

import gc
import os
import random
import sys
from pathlib import Path

import trio

from agent.attention import Attention
from agent.clocks import read_clocks
from agent.heart import Heart
from agent.identity import IdentityFolder
from agent.lastwords import Run
from agent.linker import Linker
from agent.recollection import Recollection
from agent.spool_records import RunKey
from agent.spooler import Spooler
from shared.errors import HeartlineError
from shared.messages import Returned
from shared.paths import StateFolder
from shared.settings import AgentSettings, LinkSettings
from tests.network.cluster import SteadyVitals

FIRST_PERIOD_S = 5.0
SPREAD_S = 0.01
"""Between two agents' first dialling: a rack that was switched on, not an attack."""


class Memory:
    """A witness without a disk."""

    def __init__(self, heart: Heart, link: LinkSettings) -> None:
        began = read_clocks()
        run = Run("boot", os.getpid(), began.boot_ms, began)
        period_ms, quiet_ms = round(heart.period_s * 1000), round(2000 * link.ping_after_s)
        self._recollection = Recollection(run, period_ms, quiet_ms)

    @property
    def this_run(self) -> Run:
        return self._recollection.run

    def dialling(self) -> None:
        self._recollection.dialling(read_clocks())

    def failed(self, error: HeartlineError) -> None:
        self._recollection.failed(read_clocks(), error)

    def linked(self, sequence: int) -> Returned:
        return self._recollection.linked(read_clocks(), sequence)

    def acknowledged(self, acked: int, sequence: int) -> Returned | None:
        return self._recollection.acknowledged(read_clocks(), acked, sequence)

    def link_ended(self, code: str, error: str, silence_s: float) -> None:
        self._recollection.link_ended(read_clocks(), code, error, round(silence_s * 1000))


async def live(folder: IdentityFolder, master: str) -> None:
    """One agent, until its master wants it no more."""
    identity = folder.load()
    assert identity is not None
    settings, link = AgentSettings(master=(master,)), LinkSettings()
    rng = random.Random(identity.node_id)
    vitals = SteadyVitals()
    heart = Heart(vitals, FIRST_PERIOD_S, rng)
    memory = Memory(heart, link)
    run = memory.this_run
    spooler = Spooler(RunKey(run.boot_id, run.started_mono_ms), rng)
    linker = Linker(
        folder,
        identity,
        settings,
        link,
        heart=heart,
        spooler=spooler,
        attention=Attention(settings, heart, vitals),
        witness=memory,
        everything=lambda: (),
        rng=rng,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(heart.run, spooler.key, spooler.take)
        await linker.run()
        nursery.cancel_scope.cancel()


async def run_all(master: str, root: Path) -> None:
    async with trio.open_nursery() as nursery:
        for folder in sorted(root.iterdir()):
            nursery.start_soon(live, IdentityFolder(StateFolder(folder)), master)
            await trio.sleep(SPREAD_S)
        gc.freeze()


if __name__ == "__main__":
    trio.run(run_all, sys.argv[1], Path(sys.argv[2]))
