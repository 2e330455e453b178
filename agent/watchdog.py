"""The last resort: an agent whose event loop stalls ends itself, so that the service manager
restarts it.

A thread counts its own ticks and the loop resets the count. It counts rather than reads a clock: a
process that was stopped, or a host that was suspended, for an hour sees one tick go by on waking,
not an hour, and is not killed for it.
"""

import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Final

import trio

TICKS: Final = 6
"""The loop has to show itself once in so many ticks of the thread."""

EXIT_CODE: Final = 70
"""EX_SOFTWARE (sysexits.h): the program itself failed."""

_log: Final = logging.getLogger(__name__)


def end_process() -> None:
    """Shows where every thread is, and ends the process without asking the loop that stalls."""
    _log.critical("the event loop has stalled: ending, so that the service manager starts anew")
    faulthandler.dump_traceback(file=sys.__stderr__ or sys.stderr)
    os._exit(EXIT_CODE)


class Watchdog:
    """Watches one event loop. `stalled` is called from the watchdog's thread, once."""

    def __init__(self, patience_s: float, stalled: Callable[[], None] = end_process) -> None:
        self._tick_s: Final = patience_s / TICKS
        self._stalled: Final = stalled
        self._missed = 0
        self._stop = threading.Event()

    async def run(self) -> None:
        """Shows the watchdog that the loop turns, for ever. Cancellation: the watchdog sleeps."""
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()
        try:
            while True:
                self._missed = 0
                await trio.sleep(self._tick_s)
        finally:
            self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(self._tick_s):
            self._missed += 1
            if self._missed > TICKS:
                self._stalled()
                return
