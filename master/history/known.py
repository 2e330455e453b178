"""Which samples are in the history already, so that each is there once."""

import sqlite3
from typing import Final

from master.history import known_rows
from master.history.intervals import Intervals
from master.history.journal import JournalError, unpack_entries

_ROWS: Final = 256
"""Rows of the journal that are in memory at once while it is read through."""


class Known:
    """The numbers per node and boot, on disk or about to be."""

    def __init__(self) -> None:
        self._boots: dict[str, dict[str, Intervals]] = {}

    def __repr__(self) -> str:
        return f"<Known of {len(self._boots)} nodes>"

    def has(self, node_id: str, boot_id: str, sequence: int) -> bool:
        """Whether this sample is there."""
        boots = self._boots.get(node_id)
        intervals = boots.get(boot_id) if boots else None
        return intervals is not None and sequence in intervals

    def intervals(self, node_id: str, boot_id: str) -> Intervals:
        """Those of one boot, to be added to."""
        boots = self._boots.setdefault(node_id, {})
        intervals = boots.get(boot_id)
        if intervals is None:  # rarely: this is asked with every sample
            boots[boot_id] = intervals = Intervals()
        return intervals

    def put(self, node_id: str, boot_id: str, intervals: Intervals) -> None:
        """All of one boot."""
        self._boots.setdefault(node_id, {})[boot_id] = intervals

    def forget(self, node_id: str) -> None:
        """None of this node are there any more."""
        self._boots.pop(node_id, None)


def load(connection: sqlite3.Connection) -> Known:
    """What is on disk: in chunks, or once was, and in the journal.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    known = Known()
    for node, node_id, boot_id, packed in connection.execute(
        "SELECT number, node_id, boot_id, intervals"
        " FROM known JOIN nodes ON nodes.number = known.node"
    ):
        known.put(node_id, boot_id, known_rows.read(connection, node, boot_id, packed))
    runs = {
        number: known.intervals(node_id, boot_id)
        for number, node_id, boot_id in connection.execute(
            "SELECT runs.number, node_id, boot_id FROM runs JOIN nodes ON nodes.number = runs.node"
        )
    }
    rows = connection.execute("SELECT nodes, body FROM journal")
    while block := rows.fetchmany(_ROWS):
        for nodes, body in block:
            try:
                entries = unpack_entries(nodes, body)
            except JournalError:
                continue  # set aside, and told of, when its turn comes
            for entry in entries:
                if entry.run in runs:
                    runs[entry.run].add(entry.sequence)
    return known
