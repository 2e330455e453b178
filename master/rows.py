"""Rows into a table of SQLite, many with one statement.

Each statement, and each row of `executemany`, lets go of the interpreter's lock and waits to get it
back, which takes milliseconds while the first thread is busy; and the disk's lock is held all the
while (docs/decisions/0026).

Write `INSERT OR FAIL`: what one statement of many rows has done is never undone apart from the rest
of its transaction, and unless SQLite is told so, it keeps a copy of every page that each of them
changes.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

ROWS_AT_ONCE: Final = 100
"""Rows in one statement: their values are fewer than any SQLite takes."""


def inserts(into: str, rows: Sequence[Sequence[object]]) -> Iterator[tuple[str, list[object]]]:
    """The statements that write `rows`, with their parameters. `into` is what comes before
    `VALUES`; all rows are as long."""
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[begin : begin + ROWS_AT_ONCE]
        row = f"({', '.join('?' * len(part[0]))})"
        yield f"{into} VALUES {', '.join([row] * len(part))}", [*chain.from_iterable(part)]
