"""Folding: when a window is over, all of its chunks become one, and what was new among them is
rolled up into the next tier.

A chunk that was open is rolled up in the same transaction that closes it, so each sample is counted
once, whenever it came. A late one opens its window again.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from master.history import chunk_rows, marked
from master.history.chunk_rows import ChunkRow, DamagedRow, FamilyRow
from master.history.codec import ChunkError, decode_rollup, encode_rollup
from master.history.family_chunks import WINDOW_MS as FAMILY_WINDOW_MS
from master.history.family_chunks import KeptFamily, unpack_families
from master.history.journal import BLOCK, SHARDS
from master.history.marked import Marked, Part
from master.history.rollup import Rollup, merge, roll_up
from master.history.samples import Samples, joined
from master.history.tiers import SAMPLES, TIERS, Tier, coarser

SLICE_WINDOWS: Final = 32
"""Windows that are folded together: what the transaction writes that commits have to wait for."""


class Window(NamedTuple):
    """What is to be folded: of one node, in one tier (None: its families)."""

    node: int
    tier: Tier | None
    from_ms: int


@dataclass
class Folding:
    """Some windows, and what becomes of them."""

    chunks_gone: list[int] = field(default_factory=list[int])
    chunks: list[ChunkRow] = field(default_factory=list[ChunkRow])
    families_gone: list[int] = field(default_factory=list[int])
    families: list[FamilyRow] = field(default_factory=list[FamilyRow])
    damaged: list[DamagedRow] = field(default_factory=list[DamagedRow])


def due(connection: sqlite3.Connection, shard: int, now_wall_ms: int) -> list[Window]:
    """The windows of a shard that are over and have something open in them, the finest first.

    Raises:
        sqlite3.Error: they cannot be read.
    """
    tiers = {tier.tier_ms: tier for tier in TIERS}
    found = list[Window]()
    for first, last in _blocks(connection, shard):
        for node, tier_ms, from_ms in connection.execute(
            "SELECT DISTINCT node, tier_ms, from_ms FROM chunks"
            " WHERE is_open AND node BETWEEN ? AND ?",
            (first, last),
        ):
            if from_ms + tiers[tier_ms].window_ms <= now_wall_ms:
                found.append(Window(node, tiers[tier_ms], from_ms))
        for node, from_ms in connection.execute(
            "SELECT DISTINCT node, from_ms FROM family_chunks"
            " WHERE is_open AND node BETWEEN ? AND ? AND from_ms <= ?",
            (first, last, now_wall_ms - FAMILY_WINDOW_MS),
        ):
            found.append(Window(node, None, from_ms))
    return sorted(found, key=lambda window: -1 if window.tier is None else window.tier.tier_ms)


def read(connection: sqlite3.Connection, windows: list[Window]) -> Folding:
    """These windows, each as one chunk.

    Raises:
        sqlite3.Error: they cannot be read.
    """
    folding = Folding()
    for window in windows:
        if window.tier is None:
            _fold_families(connection, folding, window)
        elif window.tier == SAMPLES:
            _fold_samples(connection, folding, window)
        else:
            _fold_rollups(connection, folding, window, window.tier)
    return folding


def write(connection: sqlite3.Connection, folding: Folding, now_wall_ms: int) -> None:
    """Puts one chunk in the place of several, within a transaction.

    Raises:
        sqlite3.Error: the disk refuses it.
    """
    chunk_rows.delete(connection, "chunks", folding.chunks_gone)
    chunk_rows.insert_chunks(connection, folding.chunks)
    chunk_rows.delete(connection, "family_chunks", folding.families_gone)
    chunk_rows.insert_families(connection, folding.families)
    chunk_rows.set_aside(connection, folding.damaged, now_wall_ms)


def _blocks(connection: sqlite3.Connection, shard: int) -> Iterator[tuple[int, int]]:
    """The numbers of the nodes of a shard: ranges, both ends included."""
    (last,) = connection.execute("SELECT max(number) FROM nodes").fetchone()
    for first in range(shard * BLOCK, (last or 0) + 1, SHARDS * BLOCK):
        yield first, first + BLOCK - 1


def _rows(
    connection: sqlite3.Connection, window: Window, tier: Tier
) -> list[tuple[int, bool, bytes, bytes]]:
    return connection.execute(
        "SELECT number, is_open, marks, body FROM chunks"
        " WHERE node = ? AND tier_ms = ? AND from_ms = ? ORDER BY is_open, number",
        (window.node, tier.tier_ms, window.from_ms),
    ).fetchall()


def _damaged(
    window: Window, table: str, number: int, reason: ChunkError, body: bytes
) -> DamagedRow:
    return DamagedRow(table, number, window.node, window.from_ms, str(reason), body)


def _fold_samples(connection: sqlite3.Connection, folding: Folding, window: Window) -> None:
    parts, new = list[Marked](), list[Samples]()
    for number, is_open, marks, body in _rows(connection, window, SAMPLES):
        try:
            part = marked.unpack(marks, body)
        except ChunkError as error:
            folding.damaged.append(_damaged(window, "chunks", number, error, body))
            continue
        folding.chunks_gone.append(number)
        parts.append(part)
        if is_open:
            new.append(part.samples)
    if parts:
        whole = Part(window.node, window.from_ms, marked.joined(parts))
        folding.chunks += chunk_rows.sample_rows([whole], is_open=False)
    if new:
        _pass_on(folding, window, SAMPLES, [roll_up(joined(new), TIERS[1].tier_ms)])


def _fold_rollups(
    connection: sqlite3.Connection, folding: Folding, window: Window, tier: Tier
) -> None:
    parts, new = list[Rollup](), list[Rollup]()
    for number, is_open, _, body in _rows(connection, window, tier):
        try:
            part = decode_rollup(body)
        except ChunkError as error:
            folding.damaged.append(_damaged(window, "chunks", number, error, body))
            continue
        folding.chunks_gone.append(number)
        parts.append(part)
        if is_open:
            new.append(part)
    if parts:
        whole = merge(parts, tier.tier_ms)
        folding.chunks.append(_rollup_row(window.node, tier, window.from_ms, whole, is_open=False))
    _pass_on(folding, window, tier, new)


def _pass_on(folding: Folding, window: Window, tier: Tier, new: list[Rollup]) -> None:
    """What is new in a tier becomes an open chunk of the next."""
    above = coarser(tier)
    if above is not None and new:
        rolled_up = merge(new, above.tier_ms)
        folding.chunks.append(
            _rollup_row(window.node, above, above.window(window.from_ms), rolled_up, is_open=True)
        )


def _rollup_row(node: int, tier: Tier, from_ms: int, rollup: Rollup, *, is_open: bool) -> ChunkRow:
    first_ms, last_ms = int(rollup.start_ms[0]), int(rollup.start_ms[-1])
    body = encode_rollup(rollup)
    return ChunkRow(node, tier.tier_ms, from_ms, is_open, first_ms, last_ms, b"", body)


def _fold_families(connection: sqlite3.Connection, folding: Folding, window: Window) -> None:
    kept = list[KeptFamily]()
    for number, body in connection.execute(
        "SELECT number, body FROM family_chunks WHERE node = ? AND from_ms = ?",
        (window.node, window.from_ms),
    ):
        try:
            kept += unpack_families(body)
            folding.families_gone.append(number)
        except ChunkError as error:
            folding.damaged.append(_damaged(window, "family_chunks", number, error, body))
    if kept:
        folding.families.append(
            chunk_rows.family_row(window.node, window.from_ms, kept, is_open=False)
        )
