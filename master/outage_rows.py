"""Outages in the store: the statements that keep a row true, and the way back."""

import sqlite3
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from master.store import Statement
from shared.absence import How, Process
from shared.causes import Cause, Verdict
from shared.messages import Outage

SEPARATOR: Final = "\n"
"""Between lines of evidence. They hold none: what agents say is cleaned before."""


class Row(Struct, frozen=True, gc=False):
    """An outage as it is stored. `number` 0: it is not stored yet."""

    number: int
    node_id: str
    from_wall_ms: int
    noticed_wall_ms: int
    how: How
    reason: str
    process: Process | None
    to_wall_ms: int | None = None
    verdict: Verdict | None = None
    """None until it has been judged."""

    def lasted_into(self, since_wall_ms: int | None) -> bool:
        """Whether it was not over before; None: before any time."""
        return since_wall_ms is None or self.to_wall_ms is None or self.to_wall_ms >= since_wall_ms

    def outage(self, name: str) -> Outage:
        """What viewers are shown; `name` is the node's."""
        shown = Outage(
            self.number,
            self.node_id,
            name,
            self.from_wall_ms,
            self.noticed_wall_ms,
            self.to_wall_ms,
            "",
            (self.reason,) if self.reason else (),
            self.how is How.GOODBYE,
        )
        if self.verdict is None:
            return shown
        return replace(
            shown,
            cause=self.verdict.cause,
            evidence=self.verdict.evidence,
            clean=self.verdict.clean,
            out_of_memory=self.verdict.out_of_memory,
            exit_reason=self.verdict.exit_reason,
        )


def keep(row: Row) -> Statement:
    """Stores an outage, new or changed."""
    process, verdict = row.process, row.verdict
    return (
        "INSERT OR REPLACE INTO outages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.number,
            row.node_id,
            row.from_wall_ms,
            row.noticed_wall_ms,
            row.to_wall_ms,
            row.how,
            row.reason,
            None if process is None else process.boot_id,
            None if process is None else process.started_mono_ms,
            None if verdict is None else verdict.cause,
            "" if verdict is None else SEPARATOR.join(verdict.evidence),
            None if verdict is None else verdict.clean,
            None if verdict is None else verdict.out_of_memory,
            "" if verdict is None else verdict.exit_reason,
        ),
    )


def read(row: sqlite3.Row) -> Row:
    """An outage of the store."""
    process = verdict = None
    if row["boot_id"] is not None:
        process = Process(row["boot_id"], row["started_mono_ms"])
    if row["cause"] is not None:
        verdict = Verdict(
            Cause(row["cause"]),
            tuple(row["evidence"].split(SEPARATOR)),
            _truth(row["clean"]),
            _truth(row["out_of_memory"]),
            row["exit_reason"],
        )
    return Row(
        row["number"],
        row["node_id"],
        row["from_wall_ms"],
        row["noticed_wall_ms"],
        How(row["how"]),
        row["reason"],
        process,
        row["to_wall_ms"],
        verdict,
    )


def keep_run(node_id: str, process: Process) -> Statement:
    """Stores which run of its agent a node is linked by."""
    return (
        "INSERT OR REPLACE INTO runs VALUES (?, ?, ?)",
        (node_id, process.boot_id, process.started_mono_ms),
    )


def forget(node_id: str) -> tuple[Statement, Statement]:
    """Drops what is stored of a node that is known no more."""
    return (
        ("DELETE FROM outages WHERE node_id = ?", (node_id,)),
        ("DELETE FROM runs WHERE node_id = ?", (node_id,)),
    )


def prune(kept: int) -> Statement:
    """Drops outages that are over, so that no more than `kept` stay: those of the master's own
    absences first, then the oldest."""
    return (
        "DELETE FROM outages WHERE number IN (SELECT number FROM outages WHERE cause IS NOT NULL"
        " ORDER BY cause = ? DESC, number"
        " LIMIT max(0, (SELECT count(*) FROM outages) - ?))",
        (Cause.MASTER_AWAY, kept),
    )


def _truth(value: int | None) -> bool | None:
    return None if value is None else bool(value)
