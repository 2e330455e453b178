"""The history's write side: takes samples, says when they are on disk, and keeps them in order.

Nothing here keeps trio's thread waiting: what arrives is queued, and committed to the journal every
`COMMIT_S` by a thread. When the disk refuses it, it stays in the queue, which is bounded; beyond
that nothing is taken. What is not on disk is never confirmed.
"""

import logging
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

import trio

from master.history import backup, checking
from master.history import known as known_numbers
from master.history.database import connect_reader
from master.history.files import Files
from master.history.journal import SHARDS, last_place
from master.history.known import Known
from master.history.numbers import Numbers
from master.history.taken import Forget, LostSamples, Sample, TakenFamily
from master.history.upkeep import Upkeep
from master.history.waiting import OnStored, Waiting
from master.history.writing import JournalWriter
from master.store import RunSync
from shared.clock import wall_ms
from shared.errors import UserError
from shared.messages import FamilySample
from shared.settings import HistorySettings

COMMIT_S: Final = 0.5
BEHIND_S: Final = 2 * COMMIT_S
"""From the beginning of one commit until the next one is late."""

RETRY_S: Final = 2.0
"""Until a disk that has refused something is asked again."""

REPAIR_AGAIN_S: Final = 600.0
"""A damaged file that could not be repaired is not read through again all the time."""

FAMILY_EVERY_MS: Final = 60_000
"""A family is kept this often at most, however often it comes."""

_BUGS: Final = (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
"""Not the disk's doing: the same statement would fail for ever."""

_log: Final = logging.getLogger(__name__)


class History:
    """An open history. Use `History.open`; close it with `close`."""

    def __init__(
        self,
        files: Files,
        settings: HistorySettings,
        run_sync: RunSync | None,
        now_wall_ms: Callable[[], int],
    ) -> None:
        self.path: Final = files.path
        self._run_sync: RunSync = run_sync or trio.to_thread.run_sync
        self._files = files
        self._known: Known = files.write_now(known_numbers.load)
        self._writer = files.write_now(_journal_writer)
        self._waiting = Waiting()
        self._commit_lock = trio.Lock()
        self._upkeep = Upkeep(files, settings, now_wall_ms)
        self._is_committing = False
        self._begun_s = -math.inf
        """When the last commit that the disk took was begun; or one would have been that had
        nothing to do."""
        self._refusing = set[str]()
        self._no_repair_until_s = -math.inf
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
        """Opens or makes the history at `path`, and brings it up to date. One that is damaged is
        kept as far as it can be read, and the file itself beside it.

        Raises:
            UserError: it cannot be opened, or was made by a later version.
        """
        files = Files.open(path, run_sync, now_wall_ms)
        try:
            return cls(files, settings, run_sync, now_wall_ms)
        except sqlite3.Error as error:
            files.close()
            raise UserError(f"the history {path} cannot be used: {error}") from error

    @property
    def settings(self) -> HistorySettings:
        """What is kept for how long. May be replaced at any time."""
        return self._upkeep.settings

    @settings.setter
    def settings(self, settings: HistorySettings) -> None:
        self._upkeep.settings = settings

    # --- what arrives -----------------------------------------------------------------------------

    def take(self, sample: Sample, on_stored: OnStored) -> bool:
        """Takes a sample to be stored; `on_stored` is called once it is on disk.

        One that is there already is not stored again, and confirmed with the next commit. False:
        there is no room, nothing will be stored and nothing confirmed.
        """
        known = self._known.intervals(sample.node_id, sample.boot_id)
        if self._waiting.is_full and sample.sequence not in known:
            return False
        is_new = known.add(sample.sequence)
        self._waiting.add(sample if is_new else None, on_stored)
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
        """Commits what waits, and does the upkeep, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._commit_for_ever)
            nursery.start_soon(self._keep_up_for_ever)
            nursery.start_soon(self._check_structure)

    def is_behind(self, now_s: float) -> bool:
        """Whether something that was taken has been waiting for the disk for longer than a commit
        takes where all is well."""
        return bool(self._waiting or self._is_committing) and now_s - self._begun_s > BEHIND_S

    async def flush(self) -> bool:
        """Commits all that waits now; False when the disk refuses it, and it goes on waiting."""
        async with self._commit_lock:
            # What comes meanwhile waits for the next time, or the disk would never rest.
            left = len(self._waiting)
            while left > 0:
                stored = await self._commit()
                if not stored:
                    return False
                left -= stored
        return True

    async def back_up(self, path: Path) -> None:
        """Writes a copy of all that is stored to a new file, while everything goes on.

        Raises:
            HistoryError: there is such a file, or the disk refuses it.
        """
        await self._run_sync(partial(backup.back_up, self.path, path))

    def close(self) -> None:
        """Commits what waits, as far as the disk takes it, and closes the file."""
        try:
            while self._waiting:
                batch = self._waiting.next_batch()
                self._files.write_now(partial(self._writer.write, taken=batch.taken))
                self._writer.stored()
        except sqlite3.Error as error:
            _log.error("the last samples could not be stored", extra={"error": str(error)})
        self._files.close()

    async def _commit_for_ever(self) -> None:
        while True:
            if not self._waiting:
                self._begun_s = trio.current_time()
            elif not await self.flush():
                await trio.sleep(RETRY_S)
            await trio.sleep(COMMIT_S)

    async def _keep_up_for_ever(self) -> None:
        good = 0
        while True:
            await trio.sleep(self._upkeep.pause_s)
            try:
                await self._upkeep.step()
            except sqlite3.Error as error:
                good = 0
                await self._refused("upkeep", error)
                await trio.sleep(RETRY_S)
            else:
                good += 1
                if good == SHARDS:  # that one shard has nothing to do says little
                    self._accepted("upkeep")

    async def _check_structure(self) -> None:
        # The start does not wait for all of it.
        try:
            reason = await self._run_sync(partial(_structure, self.path))
        except sqlite3.Error as error:
            _log.error("the history could not be checked", extra={"error": str(error)})
            return
        if reason:
            await self._repair(reason)

    async def _commit(self) -> int:
        """How many were stored; 0 when the disk refuses them."""
        # Under the lock. A cancellation while the batch is on no queue would lose it.
        batch = self._waiting.next_batch()
        self._is_committing, begun_s = True, trio.current_time()
        try:
            with trio.CancelScope(shield=True):
                await self._files.write(partial(self._writer.write, taken=batch.taken))
        except sqlite3.Error as error:
            self._waiting.put_back(batch)
            await self._refused("samples", error)
            return 0
        finally:
            self._is_committing = False
        self._begun_s = begun_s
        self._writer.stored()
        self._accepted("samples")
        await batch.tell()
        return len(batch.entries)

    async def _refused(self, what: str, error: sqlite3.Error) -> None:
        if what not in self._refusing:
            self._refusing.add(what)
            _log.error(
                "the disk does not take the history; it is tried again",
                extra={"what": what, "path": str(self.path), "error": str(error)},
            )
        if isinstance(error, _BUGS):
            raise error
        if checking.is_damage(error):
            await self._repair(str(error))

    def _accepted(self, what: str) -> None:
        if what in self._refusing:
            self._refusing.discard(what)
            _log.info("the disk takes the history again", extra={"what": what})

    async def _repair(self, reason: str) -> None:
        _log.error("the history is damaged", extra={"path": str(self.path), "error": reason})
        if trio.current_time() < self._no_repair_until_s:
            return
        self._no_repair_until_s = trio.current_time() + REPAIR_AGAIN_S
        try:
            with trio.CancelScope(shield=True):
                await self._files.repair()
                # Numbers that could not be read are given anew.
                self._writer = await self._files.write(_journal_writer)
        except (OSError, sqlite3.Error) as error:
            _log.error("it could not be repaired", extra={"error": str(error)})


def _journal_writer(connection: sqlite3.Connection) -> JournalWriter:
    return JournalWriter(Numbers(connection), last_place(connection))


def _structure(path: Path) -> str | None:
    with closing(connect_reader(path)) as connection:
        return checking.structure(connection)
