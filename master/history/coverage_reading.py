"""Reading what the ledger (`master.history.ledger`) is made from: stretches of what has been
compacted, the journal's samples, the losses that were told."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from master.history import stretch_rows
from master.history.journal import Keys
from master.history.journal_reading import keys_of
from master.history.ledger import Account
from master.history.stretches import Loss, Seen, Stretch, joined, stretches_of


def accounts(
    connection: sqlite3.Connection, node_ids: Sequence[str], from_ms: int, to_ms: int
) -> Iterator[tuple[str, Account]]:
    """What the ledgers of these nodes are made from, for spans within these bounds. Within one
    read transaction."""
    numbers = dict[str, int](connection.execute("SELECT node_id, number FROM nodes").fetchall())
    wanted = {numbers[node_id] for node_id in node_ids if node_id in numbers}
    only = next(iter(wanted)) if len(wanted) == 1 else None
    waiting = _in_journal(connection, only)
    losses: defaultdict[int, list[Loss]] = defaultdict(list)
    for node, *loss in connection.execute(
        "SELECT node, run, first, last, first_ms, last_ms FROM lost WHERE ?1 IS NULL OR node = ?1",
        (only,),
    ):
        losses[node].append(Loss(*loss))
    firsts: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for run, node, started_mono_ms in connection.execute(
        "SELECT number, node, started_mono_ms FROM runs WHERE ?1 IS NULL OR node = ?1", (only,)
    ):
        firsts[node][run] = started_mono_ms + 1
    stored = stretch_rows.read(connection, wanted, from_ms, to_ms)
    for node_id in node_ids:
        node = numbers.get(node_id, 0)
        stretches = joined([*stored.get(node, ()), *waiting.get(node, ())])
        yield node_id, Account(stretches, losses[node], firsts[node])


def _in_journal(connection: sqlite3.Connection, only: int | None) -> dict[int, list[Stretch]]:
    """The stretches of what has not been compacted, of one node or of all."""
    found: dict[int, list[Stretch]] = {}
    for rows in keys_of(connection, only):
        found |= _by_node(rows)
    return found


def _by_node(rows: list[Keys]) -> dict[int, list[Stretch]]:
    node, run, sequence, at_ms, period_ms, is_late = (
        np.concatenate([np.array(column) for column in columns])
        for columns in zip(*rows, strict=True)
    )
    return stretches_of(Seen(node.astype(np.int64), run, sequence, at_ms, period_ms, is_late))
