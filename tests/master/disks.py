"""What a database is kept on, in a test: it can be made to wait, or to refuse."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

import trio

Result = TypeVar("Result")


class Disk:
    """Runs a store's work inline; `waiting` is how much of it has not been done. Made inside of
    trio."""

    def __init__(self) -> None:
        self.waiting = 0
        self._error: Exception | None = None
        self._open = trio.Event()
        self._open.set()

    async def run(self, work: Callable[[], Result], /) -> Result:
        self.waiting += 1
        # As a thread does: it is finished, whoever has lost interest in it.
        with trio.CancelScope(shield=True):
            await self._open.wait()
            await trio.lowlevel.checkpoint()
        self.waiting -= 1
        if self._error is not None:
            raise self._error
        return work()

    def stall(self) -> None:
        self._open = trio.Event()

    def go_on(self) -> None:
        self._open.set()

    def refuse(self) -> None:
        self._error = sqlite3.OperationalError("database or disk is full")

    def recover(self) -> None:
        self._error = None
