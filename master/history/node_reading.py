"""Reading the samples and families of one node, wherever they are: journal or chunks.

Called within one read transaction, so that a compaction in between neither hides a sample nor shows
it twice. Damaged rows are left out and logged: whoever compacts or checks sets them aside.
"""

import logging
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

import msgspec

from master.history import marked
from master.history.codec import ChunkError
from master.history.family_chunks import WINDOW_MS as FAMILY_WINDOW_MS
from master.history.family_chunks import KeptFamily, last_before, unpack_families
from master.history.journal import JournalError, columns_of, node_key, rows_of, shard_of
from master.history.journal import unpack_families as unpack_family_entries
from master.history.journal_reading import entries_of
from master.history.marked import Marked
from master.history.samples import ABSENT, Int64
from master.history.taken import Sample
from master.history.tiers import SAMPLES
from shared.messages import FamilySample

FAMILY_LOOK_BACK_MS: Final = 2 * FAMILY_WINDOW_MS
"""A family that has not been measured for longer was not known any more."""

_log: Final = logging.getLogger(__name__)


def number_of(connection: sqlite3.Connection, node_id: str) -> int | None:
    """The node's number in the history; None for one without a past."""
    row = connection.execute("SELECT number FROM nodes WHERE node_id = ?", (node_id,)).fetchone()
    return None if row is None else row[0]


def samples(
    connection: sqlite3.Connection, node_id: str, from_ms: int, to_ms: int, limit: int
) -> list[Sample]:
    """The first `limit` samples of a span of time, its end not included, in order of time."""
    node = number_of(connection, node_id)
    if node is None:
        return []
    found: list[tuple[Sample, ...]] = []
    runs = _runs(connection, node)
    waiting = _between(_in_journal(connection, node), from_ms, to_ms)
    for end_ms, window in _windows(connection, node, from_ms, to_ms):
        found += [_named(node_id, part, runs) for part in _between(window, from_ms, to_ms)]
        if sum(map(len, found)) >= limit:
            # Nothing that follows in chunks is older than the end of this window.
            waiting = _between(waiting, from_ms, end_ms)
            break
    found += [_named(node_id, part, runs) for part in waiting]
    everything = sorted((each for part in found for each in part), key=_time_of)
    return everything[:limit]


def last_sample(
    connection: sqlite3.Connection, node: int, at_ms: int, look_back_ms: int
) -> Marked | None:
    """The last sample at or before an instant that is in a chunk, if it was taken within
    `look_back_ms`."""
    rows = connection.execute(
        "SELECT number, marks, body FROM chunks WHERE node = ? AND tier_ms = 0"
        " AND from_ms BETWEEN ? AND ? AND first_ms <= ? AND last_ms >= ?",
        (node, SAMPLES.window(at_ms - look_back_ms), at_ms, at_ms, at_ms - look_back_ms),
    )
    parts = _between(_unpacked(rows), at_ms - look_back_ms, at_ms + 1)
    return max(
        (part.take(slice(len(part) - 1, None)) for part in parts),
        key=lambda part: int(part.samples.at_ms[0]),
        default=None,
    )


def families(connection: sqlite3.Connection, node_id: str, at_ms: int) -> list[FamilySample]:
    """Of each family the last at or before an instant."""
    node = number_of(connection, node_id)
    if node is None:
        return []
    kept = [*_kept_in_chunks(connection, node, at_ms), *_kept_in_journal(connection, node)]
    recent = (each for each in kept if each.at_ms >= at_ms - FAMILY_LOOK_BACK_MS)
    return [
        FamilySample(each.family, 0, each.at_ms, each.period_ms, msgspec.Raw(each.data))
        for each in last_before(recent, at_ms).values()
    ]


def core_of(values: Iterable[int]) -> bytes:
    """A row of metrics as a `shared.metrics.Core` in MessagePack."""
    return msgspec.msgpack.encode([None if value == ABSENT else value for value in values])


def _windows(
    connection: sqlite3.Connection, node: int, from_ms: int, to_ms: int
) -> Iterator[tuple[int, Iterator[Marked]]]:
    """The chunks of each window in turn, with where the window ends."""
    rows = connection.execute(
        "SELECT from_ms, number, marks, body FROM chunks WHERE node = ? AND tier_ms = 0"
        " AND from_ms BETWEEN ? AND ? AND first_ms < ? AND last_ms >= ? ORDER BY from_ms",
        (node, SAMPLES.window(from_ms), to_ms, to_ms, from_ms),
    )
    for begin_ms, window in groupby(rows, key=lambda row: row[0]):
        yield begin_ms + SAMPLES.window_ms, _unpacked(row[1:] for row in window)


def _unpacked(rows: Iterable[tuple[int, bytes, bytes]]) -> Iterator[Marked]:
    for number, marks, body in rows:
        try:
            yield marked.unpack(marks, body)
        except ChunkError as error:
            _log.error("a damaged chunk is left out", extra={"row": number, "error": str(error)})


def _in_journal(connection: sqlite3.Connection, node: int) -> Iterator[Marked]:
    entries = entries_of(connection, node)
    if entries:
        yield from (part for _, part in marked.by_node([columns_of(entries)]))


def _between(parts: Iterable[Marked], from_ms: int, to_ms: int) -> list[Marked]:
    """What of these lies in a span of time."""
    cut: list[Marked] = []
    for part in parts:
        at_ms: Int64 = part.samples.at_ms
        first, end = at_ms.searchsorted([from_ms, to_ms]).tolist()
        if first < end:
            cut.append(part.take(slice(first, end)))
    return cut


def _named(node_id: str, part: Marked, runs: dict[int, tuple[str, int]]) -> tuple[Sample, ...]:
    taken, marks = part.samples, part.marks
    columns = zip(
        taken.run.tolist(),
        taken.sequence.tolist(),
        taken.at_ms.tolist(),
        marks.period_ms.tolist(),
        marks.is_late.tolist(),
        taken.values.tolist(),
        strict=True,
    )
    return tuple(
        Sample(
            node_id, *runs.get(run, ("", 0)), sequence, at_ms, period_ms, core_of(values), is_late
        )
        for run, sequence, at_ms, period_ms, is_late, values in columns
    )


def _runs(connection: sqlite3.Connection, node: int) -> dict[int, tuple[str, int]]:
    rows = connection.execute(
        "SELECT number, boot_id, started_mono_ms FROM runs WHERE node = ?", (node,)
    )
    return {number: (boot_id, started_mono_ms) for number, boot_id, started_mono_ms in rows}


def _kept_in_chunks(connection: sqlite3.Connection, node: int, at_ms: int) -> Iterator[KeptFamily]:
    rows = connection.execute(
        "SELECT number, body FROM family_chunks WHERE node = ? AND from_ms BETWEEN ? AND ?",
        (node, at_ms - FAMILY_LOOK_BACK_MS - FAMILY_WINDOW_MS, at_ms),
    )
    for number, body in rows:
        try:
            yield from unpack_families(body)
        except ChunkError as error:
            _log.error("damaged families are left out", extra={"row": number, "error": str(error)})


def _kept_in_journal(connection: sqlite3.Connection, node: int) -> Iterator[KeptFamily]:
    rows = connection.execute(
        "SELECT nodes, body FROM family_journal WHERE number BETWEEN ? AND ? AND instr(nodes, ?)",
        (*rows_of(shard_of(node)), node_key(node)),
    )
    for nodes, body in rows:
        try:
            entries = unpack_family_entries(nodes, body)
        except JournalError:
            continue
        for entry in entries:
            if entry.node == node:
                yield KeptFamily(entry.family, entry.at_ms, entry.period_ms, entry.data)


def _time_of(sample: Sample) -> int:
    return sample.at_wall_ms
