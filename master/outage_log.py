"""The log of outages: numbered at once, on disk within half a second, and read with what is not
there yet."""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final, TypeVar

from msgspec.structs import replace

from master import outage_rows
from master.context import Context
from master.outage_rows import Row
from master.store import Statement, StoreError
from shared.absence import Process
from shared.messages import Outage

SAVED_AT_ONCE: Final = 2_000
"""Statements in one commit: a large fleet's do not keep an operator's order waiting."""

PRUNE_EVERY: Final = 100
"""Outages between two looks at whether the oldest have to go."""


Key = TypeVar("Key")
Value = TypeVar("Value")


class OutageLog:
    """What is stored of outages, and of the runs of agents that nodes are linked by.

    However often they change while the disk takes nothing, the latest of each is kept.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        (row,) = context.store.load("SELECT max(number) AS last FROM outages")
        self._last: int = row["last"] or 0
        self._pruned: int = self._last
        self._rows: dict[int, Row] = {}
        self._processes: dict[str, Process] = {}
        self._forgotten: list[Statement] = []

    def __repr__(self) -> str:
        return f"<OutageLog up to {self._last}, {len(self._rows)} unsaved>"

    def load_not_judged(self) -> dict[str, Row]:
        """The outages that earlier lives of the master have left open, the latest of each node."""
        rows = self._context.store.load("SELECT * FROM outages WHERE cause IS NULL ORDER BY number")
        return {row["node_id"]: outage_rows.read(row) for row in rows}

    def load_processes(self) -> dict[str, Process]:
        """Which run of its agent each node was last linked by."""
        return {
            row["node_id"]: Process(row["boot_id"], row["started_mono_ms"])
            for row in self._context.store.load("SELECT * FROM runs")
        }

    def keep(self, row: Row) -> Row:
        """Stores an outage soon; returns it as it is stored, with its number."""
        if not row.number:
            self._last += 1
            row = replace(row, number=self._last)
        self._rows[row.number] = row
        return row

    def keep_process(self, node_id: str, process: Process) -> None:
        """Stores soon by which run of its agent a node is linked."""
        self._processes[node_id] = process

    def forget(self, node_id: str) -> None:
        """Drops soon what is stored of a node."""
        self._processes.pop(node_id, None)
        for number in [row.number for row in self._rows.values() if row.node_id == node_id]:
            del self._rows[number]
        self._forgotten += outage_rows.forget(node_id)

    async def save(self) -> bool:
        """Stores everything; False, and the rest stays unsaved, when the disk refuses."""
        while self._rows or self._processes or self._forgotten:
            forgotten, self._forgotten = self._forgotten, []
            rows = dict(islice(self._rows.items(), SAVED_AT_ONCE))
            processes = dict(islice(self._processes.items(), SAVED_AT_ONCE - len(rows)))
            try:
                await self._context.store.write(
                    *forgotten,
                    *map(outage_rows.keep, rows.values()),
                    *(outage_rows.keep_run(*each) for each in processes.items()),
                    *self._prune(),
                )
            except StoreError:
                self._forgotten = forgotten + self._forgotten
                return False
            _drop(rows, self._rows)
            _drop(processes, self._processes)
        return True

    async def latest(
        self, limit: int, name_of: Callable[[str], str], node_id: str = "", since_s: int = 0
    ) -> tuple[Outage, ...]:
        """The newest `limit` outages, of one node or of all, oldest first; only those that lasted
        into the last `since_s` seconds, if it is not 0. `name_of` knows a node's name by its id.

        Raises:
            StoreError: they cannot be read.
        """
        since_wall_ms = self._context.wall_ms() - since_s * 1000 if since_s else None
        stored = await self._context.store.read(
            "SELECT * FROM outages WHERE (? = '' OR node_id = ?)"
            " AND (? IS NULL OR to_wall_ms IS NULL OR to_wall_ms >= ?)"
            " ORDER BY number DESC LIMIT ?",
            (node_id, node_id, since_wall_ms, since_wall_ms, limit),
        )
        rows = {row["number"]: outage_rows.read(row) for row in stored}
        for row in self._rows.values():
            if node_id in {"", row.node_id} and row.lasted_into(since_wall_ms):
                rows[row.number] = row
        newest = sorted(rows)[-limit:] if limit else []
        return tuple(rows[number].outage(name_of(rows[number].node_id)) for number in newest)

    def _prune(self) -> tuple[Statement, ...]:
        if self._last - self._pruned < PRUNE_EVERY:
            return ()
        self._pruned = self._last
        return (outage_rows.prune(self._context.settings.outages_kept),)


def _drop(saved: Mapping[Key, Value], unsaved: dict[Key, Value]) -> None:
    """What is on disk needs no saving, unless it has changed, or been forgotten, meanwhile."""
    for key, value in saved.items():
        if unsaved.get(key) is value:
            del unsaved[key]
