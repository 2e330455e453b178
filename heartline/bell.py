"""Waking the main thread, from signal handlers and from other threads.

`threading.Event` may deadlock when a handler sets it while the same thread is about to wait; a byte
in a pipe cannot.
"""

import contextlib
import os
import select
import signal
from collections.abc import Generator, Iterable
from types import FrameType
from typing import Final

PIPE_BYTES: Final = 1024 * 1024
"""More than a pipe holds: one read silences the bell."""


class Bell:
    """Rings until it is heard."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)

    def ring(self) -> None:
        """Wakes whoever waits, or the next who does. Safe in a signal handler and in any thread."""
        with contextlib.suppress(BlockingIOError):  # full: it rings already
            os.write(self._write_end, b".")

    def wait(self, timeout_s: float | None = None) -> bool:
        """Returns True when the bell rings, or has since the last time; False after the timeout."""
        readable, _, _ = select.select([self._read_end], [], [], timeout_s)
        if readable:
            os.read(self._read_end, PIPE_BYTES)
        return bool(readable)

    def close(self) -> None:
        """Takes the bell down; nobody may ring it any more."""
        os.close(self._read_end)
        os.close(self._write_end)


class Departure:
    """Whether somebody has asked this program to leave: a signal, or `ask`."""

    def __init__(self, bell: Bell) -> None:
        self.asked = False
        self._bell = bell

    def ask(self) -> None:
        """It is time to leave."""
        self.asked = True
        self._bell.ring()

    @contextlib.contextmanager
    def on_signals(self, numbers: Iterable[signal.Signals]) -> Generator[None]:
        """Within this, each of these signals asks to leave."""
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.ask()
