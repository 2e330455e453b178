"""The history's write side: takes samples, says when they are on disk, and keeps them in order.

Nothing here keeps trio's thread waiting: what arrives is queued, and committed to the journal every
`COMMIT_S` by a thread. When the disk refuses it, it stays in the queue, which is bounded; beyond
that nothing is taken. What is not on disk is never confirmed.
"""

import logging
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import trio

from master.history import known as known_numbers
from master.history.database import connect, migrate
from master.history.journal import place_of
from master.history.known import Known
from master.history.numbers import Numbers
from master.history.taken import Forget, LostSamples, Sample, TakenFamily
from master.history.waiting import OnStored, Waiting
from master.history.writing import JournalWriter
from master.store import RunSync
from shared.clock import wall_ms
from shared.errors import UserError, reason_of
from shared.messages import FamilySample
from shared.settings import HistorySettings

COMMIT_S: Final = 0.5
RETRY_S: Final = 2.0
"""Until a disk that has refused something is asked again."""

FAMILY_EVERY_MS: Final = 60_000
"""A family is kept this often at most, however often it comes."""

Result = TypeVar("Result")

_BUGS: Final = (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
"""Not the disk's doing: the same statement would fail for ever."""

_log: Final = logging.getLogger(__name__)


class History:
    """An open history. Use `History.open`; close it with `close`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        settings: HistorySettings,
        run_sync: RunSync | None,
        now_wall_ms: Callable[[], int],
    ) -> None:
        self.path: Final = path
        self.settings = settings
        """May be replaced at any time."""
        self._connection = connection
        self._run_sync: RunSync = run_sync or trio.to_thread.run_sync
        self._now_wall_ms = now_wall_ms
        self._known: Known = known_numbers.load(connection)
        self._waiting = Waiting()
        self._writer = JournalWriter(Numbers(connection), _last_place(connection))
        self._lock = trio.Lock()
        self._is_refusing = False
        self._families: dict[tuple[str, str], int] = {}

    def __repr__(self) -> str:
        return f"<History {self.path.name}, {len(self._waiting)} waiting>"

    @classmethod
    def open(
        cls,
        path: Path,
        settings: HistorySettings,
        *,
        run_sync: RunSync | None = None,
        now_wall_ms: Callable[[], int] = wall_ms,
    ) -> "History":
        """Opens or makes the history at `path`, and brings it up to date.

        Raises:
            UserError: it cannot be opened, or was made by a later version.
        """
        try:
            connection = connect(path)
        except (OSError, sqlite3.Error) as error:
            reason = reason_of(error) if isinstance(error, OSError) else str(error)
            raise UserError(f"the history {path} cannot be opened: {reason}") from error
        try:
            migrate(connection, path)
            return cls(connection, path, settings, run_sync, now_wall_ms)
        except sqlite3.Error as error:
            connection.close()
            raise UserError(f"the history {path} cannot be used: {error}") from error
        except UserError:
            connection.close()
            raise

    # --- what arrives -----------------------------------------------------------------------------

    def take(self, sample: Sample, on_stored: OnStored) -> bool:
        """Takes a sample to be stored; `on_stored` is called once it is on disk.

        One that is there already is not stored again, and confirmed with the next commit. False:
        there is no room, nothing will be stored and nothing confirmed.
        """
        if self.has(sample.node_id, sample.boot_id, sample.sequence):
            self._waiting.add(None, on_stored)
            return True
        if self._waiting.is_full:
            return False
        self._known.intervals(sample.node_id, sample.boot_id).add(sample.sequence)
        self._waiting.add(sample, on_stored)
        return True

    def take_lost(self, lost: LostSamples, on_stored: OnStored) -> bool:
        """The same for what an agent says of samples that are no more."""
        if self._waiting.is_full:
            return False
        self._waiting.add(lost, on_stored)
        return True

    def take_family(self, node_id: str, at_wall_ms: int, sample: FamilySample) -> None:
        """Takes a family to be stored if there is room, `FAMILY_EVERY_MS` after the last one."""
        key = (node_id, sample.family)
        since_ms = at_wall_ms - self._families.get(key, at_wall_ms - FAMILY_EVERY_MS)
        if 0 <= since_ms < FAMILY_EVERY_MS or self._waiting.is_full:
            return
        self._families[key] = at_wall_ms
        taken = TakenFamily(
            node_id, at_wall_ms, sample.family, sample.period_ms, bytes(sample.data)
        )
        self._waiting.add(taken, None)

    def has(self, node_id: str, boot_id: str, sequence: int) -> bool:
        """Whether this sample is on disk, or waiting to be."""
        return self._known.has(node_id, boot_id, sequence)

    def forget(self, node_id: str) -> None:
        """Removes everything about a node, soon."""
        self._waiting.drop_node(node_id)
        self._known.forget(node_id)
        self._families = {key: at for key, at in self._families.items() if key[0] != node_id}
        self._waiting.add(Forget(node_id), None)

    # --- what is done with it ---------------------------------------------------------------------

    async def run(self) -> None:
        """Commits what waits, for ever."""
        while True:
            await trio.sleep(COMMIT_S)
            if self._waiting and not await self.flush():
                await trio.sleep(RETRY_S)

    async def flush(self) -> bool:
        """Commits all that waits; False when the disk refuses it, and it goes on waiting."""
        async with self._lock:
            while self._waiting:
                if not await self._commit():
                    return False
        return True

    def close(self) -> None:
        """Commits what waits, as far as the disk takes it, and closes the file."""
        try:
            while self._waiting:
                batch = self._waiting.next_batch()
                self._write(partial(self._writer.write, taken=batch.taken))
                self._writer.stored()
        except sqlite3.Error as error:
            _log.error("the last samples could not be stored", extra={"error": str(error)})
        self._connection.close()

    async def _commit(self) -> bool:
        # Under the lock. A cancellation while the batch is on no queue would lose it.
        batch = self._waiting.next_batch()
        try:
            with trio.CancelScope(shield=True):
                await self._run_sync(
                    partial(self._write, partial(self._writer.write, taken=batch.taken))
                )
        except sqlite3.Error as error:
            self._waiting.put_back(batch)
            self._refused(error)
            if isinstance(error, _BUGS):
                raise
            return False
        if self._is_refusing:
            self._is_refusing = False
            _log.info("the history takes samples again")
        self._writer.stored()
        batch.tell()
        return True

    def _refused(self, error: sqlite3.Error) -> None:
        if not self._is_refusing:
            self._is_refusing = True
            _log.error(
                "the history does not take samples; they wait",
                extra={"path": str(self.path), "error": str(error)},
            )

    def _write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result


def _last_place(connection: sqlite3.Connection) -> int:
    numbers = connection.execute(
        "SELECT number FROM journal UNION ALL SELECT number FROM family_journal"
    )
    return max((place_of(number) for (number,) in numbers), default=0)
