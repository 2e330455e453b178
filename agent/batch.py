"""Collectors that are read one after another in one thread.

A hop into a thread and back costs more than reading a host's counters, so families that are due at
once share one. Each still has its own deadline: when one does not return in time, the batch is
abandoned at that collector, and those behind it go into a new one. Whoever drives the batch and its
thread meet in `_position` only, under a lock that neither holds for longer than a few instructions.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

import trio
from outcome import Error, Outcome

from agent.collectors.reading import MEASURING_ERRORS, Collector, Reading

Clock: TypeAlias = Callable[[], float]
"""Monotonic seconds. Read from the batch's thread too."""


class Finished(NamedTuple):
    """What came of one collector."""

    collector: Collector
    at_s: float
    result: Reading | Exception
    """The exception is one of `MEASURING_ERRORS`."""


class Batch:
    """One reading of some collectors, in their order."""

    def __init__(self, collectors: Sequence[Collector], clock: Clock) -> None:
        self.collectors: Final = collectors
        self.done: Final = trio.Event()
        """Set in trio's thread once `run` has returned, however late."""
        self._clock = clock
        self._lock = threading.Lock()
        self._abandoned = False
        self._position = 0
        self._started_s = clock()
        self._finished: list[Finished] = []
        self._outcome: Outcome[None] | None = None

    def __repr__(self) -> str:
        families = ", ".join([collector.family for collector in self.collectors])
        return f"<Batch of {families}, {len(self._finished)} finished>"

    def run(self) -> None:
        """Reads the collectors; blocks, in a thread."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[Collector]:
        """The same, giving the caller each collector just before it is read."""
        for position, collector in enumerate(self.collectors):
            with self._lock:
                if self._abandoned:
                    return
                self._position, self._started_s = position, self._clock()
            yield collector
            now_s = self._clock()
            try:
                result: Reading | Exception = collector.collect(now_s)
            except MEASURING_ERRORS as error:
                result = error
            with self._lock:
                self._finished.append(Finished(collector, now_s, result))

    def current(self) -> tuple[Collector, float]:
        """The collector that is being read, and since when."""
        with self._lock:
            return self.collectors[self._position], self._started_s

    def returned(self, outcome: Outcome[None]) -> None:
        """To be called in trio's thread when `run` has returned or raised."""
        self._outcome = outcome
        self.done.set()

    def results(self) -> list[Finished]:
        """What came of it, once it is done.

        Raises:
            Exception: a collector raised what it may not: a bug, and not to be survived.
        """
        if isinstance(self._outcome, Error):
            self._outcome.unwrap()
        return self._finished

    def abandon(self) -> tuple[list[Finished], Collector | None, Sequence[Collector]]:
        """No further collector is begun: those finished, the one that hangs, those never begun."""
        with self._lock:
            self._abandoned = True
            begun = self._position + 1
            hanging = self.collectors[self._position] if len(self._finished) < begun else None
            return list(self._finished), hanging, self.collectors[begun:]


def trio_clock() -> Clock:
    """Trio's clock as a function that other threads may call too; to be made inside of trio."""
    offset_s = trio.current_time() - time.perf_counter()
    return lambda: time.perf_counter() + offset_s


def run_in_thread(batch: Batch) -> None:
    """Runs the batch in a worker thread of trio's; returns at once."""
    token = trio.lowlevel.current_trio_token()

    def deliver(outcome: Outcome[None]) -> None:
        try:
            token.run_sync_soon(batch.returned, outcome)
        except trio.RunFinishedError:
            return  # it hung until after the agent's end; nobody waits for it any more

    trio.lowlevel.start_thread_soon(batch.run, deliver, "collectors")
