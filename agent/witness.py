"""The agent as a witness of itself: it shows with every period that its loop turns, keeps the last
words on disk, and has an answer ready when a master asks where it was.

Disks are written to in a thread, one write at a time; a disk that hangs delays nothing here, and
the latest word is written when it returns.
"""

import math
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, cast

import trio
from msgspec.structs import replace

from agent.clocks import ReadClocks, read_clocks
from agent.lastwords import LastWord, LastWords, Run
from agent.oom_kills import Kernel
from agent.recollection import Recollection
from shared.errors import DeniedError, HeartlineError
from shared.messages import Returned

SYNC_EVERY_S: Final = 60.0
"""How much a host that goes down at once may take with it."""


class Witness:
    """One for the life of the process. The link tells it what happens to it (`dialling`, `failed`,
    `linked`, `acknowledged`, `link_ended`); `run` it; `end` it with the reason.

    `period_s` says how often the agent beats now, `sampled` whether it has anything to report. Made
    inside of trio; reads two small files at once.
    """

    def __init__(
        self,
        path: Path,
        boot_id: str,
        *,
        period_s: Callable[[], float],
        quiet_s: float,
        sampled: Callable[[], bool],
        clocks: ReadClocks = read_clocks,
        kernel: Kernel | None = None,
    ) -> None:
        self._words = LastWords(path)
        self._clocks = clocks
        self._kernel = kernel or Kernel()
        self._period_s = period_s
        self._sampled = sampled
        self._synced_s = -math.inf
        self._changed = trio.Event()
        self._ticks_every_s = period_s()
        self._cadence_changed = trio.Event()
        began = clocks()
        run = Run(boot_id, os.getpid(), max(0, began.boot_ms), began)
        previous = self._words.read()
        self._recollection = Recollection(
            run,
            round(period_s() * 1000),
            round(quiet_s * 1000),
            previous=previous,
            oom=self._kernels_word_on(previous, run),
        )

    def __repr__(self) -> str:
        return f"<Witness {self._recollection!r}>"

    @property
    def this_run(self) -> Run:
        """Which run of the agent this is."""
        return self._recollection.run

    async def run(self) -> None:
        """Ticks and keeps the last words, for ever. Cancellation leaves a hanging write behind."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            while True:
                self._ticks_every_s = period_s = self._period_s()
                self._cadence_changed = trio.Event()
                now = self._clocks()
                self._recollection.tick(now, round(period_s * 1000), sampled=self._sampled())
                self._changed.set()
                with trio.move_on_after(period_s):
                    await self._cadence_changed.wait()

    def dialling(self) -> None:
        """An attempt to link begins."""
        self._recollection.dialling(self._clocks())

    def failed(self, error: HeartlineError) -> None:
        """It came to nothing, and why."""
        self._recollection.failed(self._clocks(), error)

    def linked(self, sequence: int) -> Returned:
        """What a master is told that has welcomed this agent, whose last beat was `sequence`."""
        return self._recollection.linked(self._clocks(), sequence)

    def acknowledged(self, acked: int, sequence: int) -> Returned | None:
        """The beat `acked` of `sequence` has arrived: what the master is told, if anything."""
        if self._period_s() != self._ticks_every_s:
            self._cadence_changed.set()
        was_away = self._recollection.is_away
        told = self._recollection.acknowledged(self._clocks(), acked, sequence)
        if was_away and not self._recollection.is_away:
            # Else the next run, even after a loss of power, would tell again what is known already.
            self._synced_s = -math.inf
            self._changed.set()
        return told

    def link_ended(self, code: str, error: str, silence_s: float) -> None:
        """The link is gone, after so long without a byte from the master."""
        self._recollection.link_ended(self._clocks(), code, error, round(silence_s * 1000))
        self._changed.set()

    def end(self, reason: str) -> None:
        """The last word. From any thread; blocks for `agent.lastwords.END_WAIT_S` at most."""
        self._words.end(self._with_kills(self._recollection.word(self._clocks(), reason)))

    @contextmanager
    def until_end(self) -> Generator[None]:
        """Leaves the name of an error that ends the program as its last word."""
        try:
            yield
        except BaseException as error:
            self.end(reason_of(error))
            raise
        finally:
            self._words.close()

    async def _write(self) -> None:
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            now_s = trio.current_time()
            is_due = now_s - self._synced_s >= SYNC_EVERY_S
            if is_due:
                self._synced_s = now_s
            word = self._recollection.word(self._clocks())
            await trio.to_thread.run_sync(partial(self._put, word, is_due), abandon_on_cancel=True)

    def _put(self, word: LastWord, sync: bool) -> None:
        self._words.write(self._with_kills(word), sync=sync)

    def _with_kills(self, word: LastWord) -> LastWord:
        return replace(word, kills=self._kernel.kills())

    def _kernels_word_on(self, previous: LastWord | None, run: Run) -> str:
        if previous is None or previous.ended or previous.run.boot_id != run.boot_id:
            return ""
        return self._kernel.word_on(
            previous.run.pid, previous.kills, since_awake_ms=previous.alive.awake_ms
        )


def reason_of(error: BaseException) -> str:
    """An error that ends an agent, in a few words; of a group, the first."""
    match error:
        case BaseExceptionGroup(exceptions=(first, *_)):
            return reason_of(cast("BaseException", first))
        case DeniedError(code=code):
            return f"refused by the master: {code}"
        case _:
            return type(error).__name__
