"""What the past is asked for: each question in a thread, on a connection that only reads.

Nobody waits for a question: SQLite in WAL mode shows each the database as it was when it began. A
question that is cancelled is given up at once; its thread finds the answer, and drops it.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, TypeVarTuple

import trio

from master.history.coverage_reading import accounts
from master.history.database import HistoryError, connect_reader
from master.history.fleet_reading import SampleThen, fleet_at, node_at
from master.history.ledger import Ledger, Outlook, Tally
from master.history.node_reading import families, number_of, samples
from master.history.series import SeriesData, Span, series
from master.history.taken import Sample
from master.store import RunSync
from shared.messages import FamilySample

THREADS: Final = 2
"""Questions at once; the others wait their turn. More would take the processor from the beats."""

Result = TypeVar("Result")
Given = TypeVarTuple("Given")


class Queries:
    """Questions about a history at `path`, which somebody else writes."""

    def __init__(self, path: Path, run_sync: RunSync | None = None) -> None:
        self._path = path
        self._limiter = trio.CapacityLimiter(THREADS)
        self._run_sync: RunSync = run_sync or partial(
            trio.to_thread.run_sync, abandon_on_cancel=True, limiter=self._limiter
        )

    def __repr__(self) -> str:
        return f"<Queries of {self._path.name}, {self._limiter.borrowed_tokens} under way>"

    async def samples(
        self, node_id: str, from_wall_ms: int, to_wall_ms: int, limit: int
    ) -> list[Sample]:
        """The first `limit` samples of a node from an instant on, the end not included, in order
        of time.

        Raises:
            HistoryError: the history cannot be read.
        """
        return await self._ask(
            lambda connection: samples(connection, node_id, from_wall_ms, to_wall_ms, limit)
        )

    async def series(
        self, node_id: str, columns: Sequence[int], from_wall_ms: int, to_wall_ms: int, points: int
    ) -> SeriesData | None:
        """How metrics of a node, by their indices, went in about so many steps; None for a node
        that has no past.

        Raises:
            HistoryError: the history cannot be read.
        """
        span = Span(columns, from_wall_ms, to_wall_ms, points)
        return await self._ask(lambda connection: _of_node(connection, node_id, series, span))

    async def fleet_at(self, at_wall_ms: int) -> dict[str, SampleThen]:
        """Of every node, by its id, the last sample at or before an instant, as far as that tells
        what it was like then. Of a large fleet, it is the last one of its minute.

        Raises:
            HistoryError: the history cannot be read.
        """
        return await self._ask(lambda connection: fleet_at(connection, at_wall_ms))

    async def node_at(self, node_id: str, at_wall_ms: int) -> SampleThen | None:
        """The same of one node, and always the very last.

        Raises:
            HistoryError: the history cannot be read.
        """
        return await self._ask(
            lambda connection: _of_node(connection, node_id, node_at, at_wall_ms)
        )

    async def families_at(self, node_id: str, at_wall_ms: int) -> list[FamilySample]:
        """Of each family of a node the last at or before an instant; `wall_ms` is when, by the
        master's clock.

        Raises:
            HistoryError: the history cannot be read.
        """
        return await self._ask(lambda connection: families(connection, node_id, at_wall_ms))

    async def coverage(
        self,
        outlooks: Mapping[str, Outlook],
        from_wall_ms: int,
        to_wall_ms: int,
        gaps_limit: int,
    ) -> dict[str, Tally]:
        """How complete a span of time is, for every node that has an outlook, by its id; with the
        newest so many gaps of each.

        Raises:
            HistoryError: the history cannot be read.
        """

        def question(connection: sqlite3.Connection) -> dict[str, Tally]:
            given = accounts(connection, list(outlooks), from_wall_ms, to_wall_ms)
            return {
                node_id: Ledger(account, outlooks[node_id]).over(
                    from_wall_ms, to_wall_ms, gaps_limit
                )
                for node_id, account in given
            }

        return await self._ask(question)

    async def _ask(self, question: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._run_sync(partial(_answered, self._path, question))


def _answered(path: Path, question: Callable[[sqlite3.Connection], Result]) -> Result:
    try:
        with closing(connect_reader(path)) as connection:
            connection.execute("BEGIN")
            return question(connection)
    except sqlite3.Error as error:
        raise HistoryError(f"the history {path} cannot be read: {error}") from error


def _of_node(
    connection: sqlite3.Connection,
    node_id: str,
    question: Callable[[sqlite3.Connection, int, *Given], Result | None],
    *given: *Given,
) -> Result | None:
    node = number_of(connection, node_id)
    return None if node is None else question(connection, node, *given)
