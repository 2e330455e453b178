"""What a commit of the journal writes: a few rows, whatever the number of nodes."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from typing import TypeVar

from master.history.database import insert
from master.history.journal import (
    Entry,
    FamilyEntry,
    pack_entries,
    pack_families,
    row_number,
    shard_of,
)
from master.history.numbers import Numbers
from master.history.taken import Forget, LostSamples, Sample, Taken, TakenFamily

AnyEntry = TypeVar("AnyEntry", Entry, FamilyEntry)


class JournalWriter:
    """Writes batches in a transaction of the caller's."""

    def __init__(self, numbers: Numbers, place: int) -> None:
        """`place`: where in their shards the next rows come."""
        self._numbers = numbers
        self._place = place

    def write(self, connection: sqlite3.Connection, taken: Iterable[Taken]) -> None:
        """Writes all of this. To be called again with the same if the transaction fails.

        Raises:
            sqlite3.Error: the disk refuses it.
        """
        samples, families, lost = list[Entry](), list[FamilyEntry](), list[tuple[int, ...]]()
        for each in taken:
            if isinstance(each, Forget):
                self._numbers.forget(each.node_id)
                continue
            node = self._numbers.node(each.node_id)
            match each:
                case Sample():
                    run = self._numbers.run(node, each.boot_id, each.started_mono_ms)
                    samples.append(
                        Entry(
                            node,
                            run,
                            each.sequence,
                            each.at_wall_ms,
                            each.period_ms,
                            each.is_late,
                            each.core,
                        )
                    )
                case TakenFamily():
                    families.append(FamilyEntry(node, *each[1:]))
                case LostSamples():
                    run = self._numbers.run(node, each.boot_id, each.started_mono_ms)
                    lost.append((node, run, *each[3:]))
        self._numbers.write(connection)
        self._place += 1
        insert(
            connection,
            "INSERT OR FAIL INTO journal",
            [
                (row_number(shard, self._place), *pack_entries(entries))
                for shard, entries in _by_shard(samples).items()
            ],
        )
        insert(
            connection,
            "INSERT OR FAIL INTO family_journal",
            [
                (row_number(shard, self._place), *pack_families(entries))
                for shard, entries in _by_shard(families).items()
            ],
        )
        insert(
            connection,
            "INSERT OR IGNORE INTO lost (node, run, first, last, first_ms, last_ms)",
            lost,
        )

    def stored(self) -> None:
        """The transaction with what was written last has been committed."""
        self._numbers.stored()


def _by_shard(entries: Iterable[AnyEntry]) -> dict[int, list[AnyEntry]]:
    shards = defaultdict[int, list[AnyEntry]](list)
    for entry in entries:
        shards[shard_of(entry.node)].append(entry)
    return shards
