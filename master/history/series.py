"""How values of one node went over a span of time: the coarsest tier that tells it finely enough,
and what of the finer ones is not in it yet (`master.history.tiers`)."""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from master.history import marked
from master.history.codec import ChunkError, decode_columns, decode_rollup_columns
from master.history.journal import columns_of
from master.history.journal_reading import entries_of
from master.history.rollup import Rollup, merge, roll_up
from master.history.samples import Samples
from master.history.tiers import SAMPLES, TIERS, Tier, coarser

FINEST_STEP_MS: Final = 1_000
"""Nobody samples more often."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Span:
    """What is asked for: the end is not included, `points` is about how many steps are wanted."""

    columns: Sequence[int]
    from_ms: int
    to_ms: int
    points: int

    @property
    def length_ms(self) -> int:
        """At least one millisecond."""
        return max(1, self.to_ms - self.from_ms)

    def step_ms(self, tier: Tier) -> int:
        """The steps that a tier is shown in: whole numbers of its buckets, so many that there are
        about as many steps as are wanted, one and a half times that at most."""
        unit_ms = tier.tier_ms or FINEST_STEP_MS
        return unit_ms * max(1, round(self.length_ms / (self.points * unit_ms)))


@dataclass(frozen=True, eq=False)
class SeriesData:
    """The steps in which there is something, and from which tier they were made."""

    tier_ms: int
    steps: Rollup


def series(connection: sqlite3.Connection, node: int, span: Span) -> SeriesData:
    """The steps of one node. Within one read transaction."""
    tier = _tier(connection, node, span)
    step_ms = span.step_ms(tier)
    parts = list(_parts(connection, node, span, tier, step_ms))
    return SeriesData(tier.tier_ms, merge(parts, step_ms))


def _tier(connection: sqlite3.Connection, node: int, span: Span) -> Tier:
    """The coarsest tier that has as many buckets as are wanted; a coarser one where that does not
    reach back as far as it was asked, and a coarser one does further."""
    fine_enough = (
        tier
        for tier in reversed(TIERS)
        if tier.tier_ms and span.length_ms >= span.points * tier.tier_ms
    )
    tier = next(fine_enough, SAMPLES)
    while (other := coarser(tier)) is not None:
        begin_ms = _begin_ms(connection, node, tier)
        if begin_ms <= span.from_ms + span.step_ms(tier):
            break
        if _begin_ms(connection, node, other) > begin_ms - other.tier_ms:
            break  # it only seems to begin earlier, for its buckets are longer
        tier = other
    return tier


def _begin_ms(connection: sqlite3.Connection, node: int, tier: Tier) -> int:
    """Since when there are chunks of a tier."""
    row = connection.execute(
        "SELECT first_ms FROM chunks WHERE node = ? AND tier_ms = ? ORDER BY from_ms LIMIT 1",
        (node, tier.tier_ms),
    ).fetchone()
    return 2**62 if row is None else int(row[0])


def _parts(
    connection: sqlite3.Connection, node: int, span: Span, tier: Tier, step_ms: int
) -> Iterator[Rollup]:
    for each in TIERS[: TIERS.index(tier) + 1]:
        is_whole = each == tier
        for body in _bodies(connection, node, span, each, only_open=not is_whole):
            try:
                yield _decoded(body, span, each, step_ms)
            except ChunkError as error:
                _log.error("a damaged chunk is left out", extra={"node": node, "error": str(error)})
    entries = [
        entry for entry in entries_of(connection, node) if span.from_ms <= entry.at_ms < span.to_ms
    ]
    if entries:
        for _, part in marked.by_node([columns_of(entries)]):
            chosen = part.samples.values[:, list(span.columns)]
            samples = Samples(part.samples.at_ms, part.samples.run, part.samples.sequence, chosen)
            yield roll_up(samples, step_ms)


def _bodies(
    connection: sqlite3.Connection, node: int, span: Span, tier: Tier, *, only_open: bool
) -> Iterator[bytes]:
    rows = connection.execute(
        "SELECT body FROM chunks WHERE node = ? AND tier_ms = ? AND from_ms BETWEEN ? AND ?"
        " AND first_ms < ? AND last_ms >= ? AND is_open >= ?",
        (
            node,
            tier.tier_ms,
            tier.window(span.from_ms),
            span.to_ms,
            span.to_ms,
            span.from_ms - tier.tier_ms,
            only_open,
        ),
    )
    for (body,) in rows:
        yield body


def _decoded(body: bytes, span: Span, tier: Tier, step_ms: int) -> Rollup:
    """The part of a chunk that lies in the span: a bucket does that begins in it."""
    if tier == SAMPLES:
        samples = decode_columns(body, span.columns)
        inside = (samples.at_ms >= span.from_ms) & (samples.at_ms < span.to_ms)
        return roll_up(samples.take(inside), step_ms)
    rollup = decode_rollup_columns(body, span.columns)
    inside = (rollup.start_ms > span.from_ms - tier.tier_ms) & (rollup.start_ms < span.to_ms)
    chosen = np.flatnonzero(inside)
    return Rollup(
        rollup.bucket_ms,
        rollup.start_ms[chosen],
        rollup.count[chosen],
        rollup.known[chosen],
        rollup.least[chosen],
        rollup.greatest[chosen],
        rollup.total[chosen],
    )
