"""Reading what the ledger (`master.history.ledger`) is made from: stretches of what has been
compacted, the journal's samples, the losses that were told."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from master.history import stretch_rows
from master.history.journal import Entry
from master.history.journal_reading import all_entries, entries_of
from master.history.stretches import Loss, Stretch, joined, stretches_of


class Account(NamedTuple):
    """What a node's ledger is made from."""

    stretches: list[Stretch]
    losses: list[Loss]
    first_numbers: dict[int, int]
    """The number that each run began with."""


def account_of(connection: sqlite3.Connection, node: int, from_ms: int, to_ms: int) -> Account:
    """Of one node, for spans within these bounds. Within one read transaction."""
    entries = _by_node(entries_of(connection, node)).get(node, [])
    stored = stretch_rows.read(connection, [node], from_ms, to_ms)[node]
    losses = connection.execute(
        "SELECT run, first, last, first_ms, last_ms FROM lost WHERE node = ?", (node,)
    )
    runs = connection.execute("SELECT number, started_mono_ms FROM runs WHERE node = ?", (node,))
    return Account(
        joined([*stored, *entries]),
        [Loss(*row) for row in losses],
        {number: started_mono_ms + 1 for number, started_mono_ms in runs},
    )


def accounts(
    connection: sqlite3.Connection, from_ms: int, to_ms: int
) -> Iterator[tuple[str, Account]]:
    """Of every node that has a past, by its id. Within one read transaction."""
    nodes = connection.execute("SELECT number, node_id FROM nodes").fetchall()
    waiting: dict[int, list[Stretch]] = {}
    for entries in all_entries(connection):
        waiting |= _by_node(entries)
    losses: defaultdict[int, list[Loss]] = defaultdict(list)
    for node, *loss in connection.execute(
        "SELECT node, run, first, last, first_ms, last_ms FROM lost"
    ):
        losses[node].append(Loss(*loss))
    firsts: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for run, node, started_mono_ms in connection.execute(
        "SELECT number, node, started_mono_ms FROM runs"
    ):
        firsts[node][run] = started_mono_ms + 1
    stored = stretch_rows.read(connection, [node for node, _ in nodes], from_ms, to_ms)
    for node, node_id in nodes:
        stretches = joined([*stored[node], *waiting.get(node, [])])
        yield node_id, Account(stretches, losses[node], firsts[node])


def _by_node(entries: Iterable[Entry]) -> dict[int, list[Stretch]]:
    rows = [(each.node, *each[1:6]) for each in entries]
    if not rows:
        return {}
    node, run, sequence, at_ms, period_ms, is_late = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    order = np.argsort(node, kind="stable")
    bounds = np.flatnonzero(np.diff(node[order], prepend=-1, append=-1))
    return {
        int(node[order[first]]): stretches_of(
            *(column[order[first:end]] for column in (run, sequence, at_ms, period_ms, is_late))
        )
        for first, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    }
