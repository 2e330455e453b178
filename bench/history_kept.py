"""Puts a fleet's samples into a real history on a real disk: taken, committed to the journal, and
compacted and folded by its upkeep, all as in the master, but for the waiting in between.
"""

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import trio

from bench.history_fleet import Fleet
from master.history.files import Files
from master.history.history import History
from master.history.upkeep import Upkeep
from shared.settings import HistorySettings

Result = TypeVar("Result")

SETTLE_ROUNDS: Final = 2.5
"""Until all that has arrived is in chunks and every window that is over has been folded."""


async def inline(work: Callable[[], Result], /) -> Result:
    """Runs the history's work in this thread, so that its processor time is known."""
    return work()


class _Clock:
    """The master's clock, as far as the samples have come."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


class _Round:
    """The upkeep, whenever it is due."""

    def __init__(self, upkeep: Upkeep, clock: _Clock) -> None:
        self._upkeep = upkeep
        self._clock = clock
        self._due_ms = clock.now_ms + upkeep.pause_s * 1000

    async def until(self, now_ms: int) -> None:
        """Does all that is due until then."""
        while self._due_ms <= now_ms:
            self._clock.now_ms = int(self._due_ms)
            await self._upkeep.step()
            self._due_ms += self._upkeep.pause_s * 1000
        self._clock.now_ms = now_ms


class Pace(NamedTuple):
    """How often what is done."""

    commit_ms: int
    compact_every_s: float
    """Once round all nodes."""


AS_IT_IS: Final = Pace(500, HistorySettings().compact_every_s)
"""In a master at its defaults."""


def keep(path: Path, fleet: Fleet, pace: Pace, *, settle: bool) -> float:
    """Writes all of the fleet's samples; what that took of the processor, in seconds, but for
    making the samples. `settle`: the upkeep goes on until nothing is left in the journal."""
    return trio.run(_keep, path, fleet, pace, settle)


async def _keep(path: Path, fleet: Fleet, pace: Pace, settle: bool) -> float:
    stored = 0

    def on_stored() -> None:
        nonlocal stored
        stored += 1

    clock = _Clock(fleet.begin_ms)
    used_s = -time.process_time()
    settings = HistorySettings(compact_every_s=pace.compact_every_s)
    history = History.open(path, settings, run_sync=inline, now_wall_ms=clock)
    files = Files.open(path, inline, clock)
    due = _Round(Upkeep(files, settings, clock), clock)
    used_s += time.process_time()
    for at_ms, samples in fleet.arrivals(pace.commit_ms):
        used_s -= time.process_time()
        for sample in samples:
            if not history.take(sample, on_stored):
                raise RuntimeError("the history has no room")
        if not await history.flush():
            raise RuntimeError("the disk does not take the history")
        await due.until(at_ms)
        used_s += time.process_time()
    used_s -= time.process_time()
    if settle:
        await due.until(clock.now_ms + round(SETTLE_ROUNDS * pace.compact_every_s * 1000))
    files.close()
    history.close()
    used_s += time.process_time()
    if stored != fleet.nodes * fleet.samples:
        raise RuntimeError(f"{stored} samples were confirmed")
    return used_s


@dataclass(frozen=True)
class Share:
    """One part of what is on disk."""

    name: str
    size_bytes: float
    rows: int


def shares(path: Path) -> list[Share]:
    """What the file is made of: all of its pages, those of chunks by their tier."""
    with closing(sqlite3.connect(path)) as connection:
        pages = dict[str, int](
            connection.execute(
                "SELECT m.tbl_name, sum(d.pgsize) FROM dbstat d JOIN sqlite_schema m USING (name)"
                " GROUP BY m.tbl_name"
            ).fetchall()
        )
        rows = {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in pages
        }
        tiers = connection.execute(
            "SELECT tier_ms, count(*), sum(length(marks) + length(body)) FROM chunks"
            " GROUP BY tier_ms"
        ).fetchall()
        (free,) = connection.execute(
            "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size"
        ).fetchone()
    chunks = pages.pop("chunks", 0)
    told = sum(size for *_, size in tiers)
    found = [
        Share(_TIER_NAMES.get(tier_ms, "roll-ups"), chunks * size / told, count)
        for tier_ms, count, size in tiers
    ]
    others = {name: size for name, size in pages.items() if name not in _LEDGER}
    found += [Share(name, size, rows[name]) for name, size in sorted(others.items())]
    ledger = sum(pages.get(name, 0) for name in _LEDGER)
    found += [Share("ledger and names", ledger, sum(rows.get(name, 0) for name in _LEDGER))]
    return [*found, Share("free pages", free, 0)]


_TIER_NAMES: Final = {0: "samples", 60_000: "1 min", 900_000: "15 min", 7_200_000: "2 h"}
_LEDGER: Final = ("nodes", "runs", "stretches", "known", "lost", "forgotten")


def on_disk(folder: Path) -> int:
    """What the files of a folder take, as du(1) counts it."""
    files = [Path(where) / name for where, _, names in os.walk(folder) for name in names]
    return sum(path.stat().st_blocks * 512 for path in files)
