"""Histories for questions: filled by the real write side, as far in journal and chunks as a test
wants them."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from master.history.files import Files
from master.history.history import History
from master.history.journal import SHARDS
from master.history.queries import Queries
from master.history.taken import LostSamples, Sample
from master.history.upkeep import Upkeep
from shared.messages import encode_body
from shared.metrics import Core, metrics
from shared.settings import HistorySettings
from tests.master.assembled import inline

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
BEGAN_MS: Final = 1_795_132_800_000
"""2026-11-20 00:00 UTC: a day, and so every window, begins here."""

PERIOD_MS: Final = 20_000
STARTED_MS: Final = 1_000
"""When on its host's clock the agent's first run began."""

CPU: Final = next(metric.index for metric in metrics() if metric.name == "cpu_busy_bp")


def sample(number: int, node_id: str = "aa11", **changes: Any) -> Sample:
    """The `number`th sample of the first run of a node, whose value is its number."""
    taken = Sample(
        node_id,
        "boot",
        STARTED_MS,
        STARTED_MS + 1 + number,
        BEGAN_MS + PERIOD_MS * number,
        PERIOD_MS,
        encode_body(Core(cpu_busy_bp=number)),
        is_late=False,
    )
    return replace(taken, **changes)


def at(number: int) -> int:
    """When the `number`th sample is taken, in Unix milliseconds."""
    return BEGAN_MS + PERIOD_MS * number


class Past:
    """A history that is written and asked."""

    def __init__(self, path: Path) -> None:
        self.now_ms = BEGAN_MS
        self.path = path
        self.history = History.open(
            path, HistorySettings(), run_sync=inline, now_wall_ms=lambda: self.now_ms
        )
        self.queries = Queries(path, inline)

    async def take(self, taken: Iterable[Sample]) -> None:
        """Samples, on disk in the journal, ten in each commit."""
        stored = 0

        def one_stored() -> None:
            nonlocal stored
            stored += 1

        wanted = 0
        for wanted, each in enumerate(taken, 1):
            assert self.history.take(each, one_stored)
            self.now_ms = max(self.now_ms, each.at_wall_ms)
            if wanted % 10 == 0:
                await self.history.flush()
        await self.history.flush()
        assert stored == wanted

    async def lose(self, first: int, last: int, node_id: str = "aa11") -> None:
        """The agent tells of samples of its first run that are no more."""
        told = LostSamples(
            node_id,
            "boot",
            STARTED_MS,
            STARTED_MS + 1 + first,
            STARTED_MS + 1 + last,
            at(first),
            at(last),
        )
        assert self.history.take_lost(told, lambda: None)
        await self.history.flush()

    async def compact(self, now_ms: int | None = None) -> None:
        """The whole journal becomes chunks; windows that are over at `now_ms` are folded."""
        self.now_ms = now_ms or self.now_ms
        files = Files.open(self.path, inline, lambda: self.now_ms)
        try:
            upkeep = Upkeep(files, HistorySettings(), lambda: self.now_ms)
            for shard in range(SHARDS):
                await upkeep.compact(shard)
                await upkeep.fold(shard)
        finally:
            files.close()


@asynccontextmanager
async def past(folder: Path) -> AsyncGenerator[Past]:
    """An empty one, closed with the block."""
    opened = Past(folder / "history.db")
    try:
        yield opened
    finally:
        opened.history.close()
