"""The history's upkeep: what is done with the journal in the course of time, shard by shard.

Reading and encoding go on beside the commits, over a connection of their own; what is written is
written in short transactions between them.
"""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Final

from master.history import checking, chunk_rows, compaction, folding, retention
from master.history.files import Files
from master.history.journal import SHARDS, shard_of
from shared.settings import HistorySettings

SLICES: Final = 64
"""How much of what has to go may go in one step. What is more goes in the next one."""


CHECK_EVERY_MS: Final = 3_600_000
"""A small history is not read from beginning to end all the time."""


class Upkeep:
    """Goes round the shards for ever, each once in `compact_every_s`."""

    def __init__(
        self, files: Files, settings: HistorySettings, now_wall_ms: Callable[[], int]
    ) -> None:
        self.settings = settings
        self._files = files
        self._now_wall_ms = now_wall_ms
        # By the clock, so that each has its turn however often the master is started.
        self._shard = now_wall_ms() // round(self.pause_s * 1000) % SHARDS
        self._checked = checking.Cursor()
        self._check_from_ms = 0
        """When the next round of checking may begin."""

    def __repr__(self) -> str:
        return f"<Upkeep at shard {self._shard}>"

    @property
    def pause_s(self) -> float:
        """How long to wait between two steps."""
        return self.settings.compact_every_s / SHARDS

    async def step(self) -> None:
        """What is to be done for the next shard, and some of what is to be done for all.

        Raises:
            sqlite3.Error: the disk refuses it; what was begun is as it was before.
        """
        shard = self._shard
        self._shard = (shard + 1) % SHARDS
        await self.compact(shard)
        await self.fold(shard)
        await self.erase()
        await self.retain()
        await self.check()

    async def compact(self, shard: int) -> None:
        """Makes chunks of what the journal has of a shard now."""
        upto = await self._files.read(partial(compaction.newest, shard=shard))
        while found := await self._files.read(partial(compaction.read, shard=shard, upto=upto)):
            now_wall_ms = self._now_wall_ms()
            await self._files.write(
                partial(compaction.write, compaction=found, now_wall_ms=now_wall_ms)
            )

    async def fold(self, shard: int) -> None:
        """Makes one chunk of each window of a shard that is over, and passes it on."""
        now_wall_ms = self._now_wall_ms()
        due = partial(folding.due, shard=shard, now_wall_ms=now_wall_ms)
        while windows := await self._files.read(due):
            # The finest first, for they add to the coarser ones.
            tier = windows[0].tier
            same = [window for window in windows if window.tier == tier]
            for begin in range(0, len(same), folding.SLICE_WINDOWS):
                some = same[begin : begin + folding.SLICE_WINDOWS]
                folded = await self._files.read(partial(folding.read, windows=some))
                await self._files.write(
                    partial(folding.write, folding=folded, now_wall_ms=now_wall_ms)
                )

    async def erase(self) -> None:
        """Removes some of what there is of forgotten nodes."""
        for node in await self._files.read(_forgotten):
            await self.compact(shard_of(node))
            for _ in range(SLICES):
                if not await self._files.write(partial(retention.erase, node=node)):
                    break

    async def retain(self) -> None:
        """Removes some of what is too old or too much."""
        settings = self.settings
        old = partial(retention.drop_old, settings=settings, now_wall_ms=self._now_wall_ms())
        for _ in range(SLICES):
            if not await self._files.write(old):
                break
        families_bytes = await self._files.read(retention.families_bytes)
        for _ in range(SLICES):
            if families_bytes <= retention.FAMILIES_PART * settings.keep_bytes:
                break
            families_bytes -= await self._files.write(retention.drop_oldest_families)
        for _ in range(SLICES):
            usage = await self._files.read(retention.usage)
            if usage.used_bytes <= settings.keep_bytes:
                break
            if not await self._files.write(retention.drop_oldest):
                break
        back = partial(retention.give_back, keep_bytes=settings.keep_bytes)
        for _ in range(SLICES):
            if not await self._files.write(back):
                break

    async def check(self) -> None:
        """Sets aside what is damaged among the next chunks; all of them are looked at once in
        `CHECK_EVERY_MS` at most."""
        now_wall_ms = self._now_wall_ms()
        if self._checked.is_at_start:
            # A clock that was set back by more does not keep the next round away.
            if 0 < self._check_from_ms - now_wall_ms <= CHECK_EVERY_MS:
                return
            self._check_from_ms = now_wall_ms + CHECK_EVERY_MS
        damaged = await self._files.read(partial(checking.checksums, cursor=self._checked))
        if damaged:
            aside = partial(chunk_rows.set_aside, rows=damaged, now_wall_ms=now_wall_ms)
            await self._files.write(aside)


def _forgotten(connection: sqlite3.Connection) -> list[int]:
    return [node for (node,) in connection.execute("SELECT node FROM forgotten")]
