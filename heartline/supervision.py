"""Child processes kept running: started, logged, started again when they die, stopped in time.

Each child has a thread that waits for it: the main thread is free for the dashboard. A child stands
in a process group of its own: Ctrl-C at the terminal is for the parent, who then stops the children
in order. Its standard input is its lifeline (`heartline.lifeline`).
"""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final, cast

from msgspec import Struct

from heartline.bounded_log import BoundedLog
from heartline.exits import Exit
from shared.backoff import delays_s
from shared.text import clean

STEADY_S: Final = 60.0
"""A child that lived so long had started well: its next back-off begins anew."""

STOP_S: Final = 8.0
"""How long a child may take to stop before it is killed: its farewells are bounded by less."""

_FINAL: Final = frozenset({Exit.OK, Exit.USAGE, Exit.REFUSED})
"""Ends that starting again would only repeat."""

_LINE_LIMIT_BYTES: Final = 64 * 1024

_FRAME: Final = b" |+-\r\n"
"""What the traceback of a group of errors is drawn with; the words are between."""


class Service(Struct, frozen=True):
    """What to run, under which name, and where its output goes."""

    name: str
    command: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] = {}
    """Added to this process's own."""


class End(Struct, frozen=True):
    """How a child ended."""

    code: int
    """Negative: killed by that signal."""
    reason: str


class Keeper:
    """Keeps one service running from `start` to `stop`.

    `report` is told what happens, in words; `on_change` that a child has ended; `hear` each line
    that the child prints. All are called from the keeper's own thread.
    """

    def __init__(
        self,
        service: Service,
        *,
        report: Callable[[str], None],
        on_change: Callable[[], None],
        hear: Callable[[str], None] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.service = service
        """What is run. Another one holds from the child's next start on."""
        self.last_end: End | None = None
        """How the child ended last; None while none has."""
        self.is_over = False
        """The child has ended in a way that starting it again would only repeat."""
        self._report = report
        self._on_change = on_change
        self._hear = hear
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, keeps no secret
        self._log = BoundedLog(service.log)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        # Dies with this process, whatever happens to `stop`; the lifeline then ends the child.
        self._thread = threading.Thread(
            target=self._keep, name=f"keeper of {service.name}", daemon=True
        )

    def __repr__(self) -> str:
        return f"<Keeper of {self.service.name}, {self._process!r}>"

    def start(self) -> None:
        """Starts the child; returns at once."""
        self._thread.start()

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Asks the child to stop and waits until it has; kills it when the time is over."""
        self._stopping.set()
        self._signal(signal.SIGTERM)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._report(f"{self.service.name} does not stop; it is killed")
            self._signal(signal.SIGKILL)
            self._thread.join()

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            if self._process is not None:
                self._process.send_signal(number)

    def _keep(self) -> None:
        delays = delays_s(self._rng)
        while not self._stopping.is_set():
            began_s = time.monotonic()
            self.last_end = self._run()
            if self._stopping.is_set():
                return
            name, reason = self.service.name, self.last_end.reason
            self.is_over = self.last_end.code in _FINAL
            if self.is_over:
                self._report(f"{name} ended: {reason}")
                self._on_change()
                return
            if time.monotonic() - began_s >= STEADY_S:
                delays = delays_s(self._rng)
            wait_s = next(delays)
            self._report(f"{name} ended: {reason}; starting it again in {wait_s:.1f} s")
            self._on_change()
            self._stopping.wait(wait_s)

    def _run(self) -> End:
        """One life of the child, from its start to its end."""
        try:
            process = self._spawn()
        except OSError as error:
            return End(Exit.FAILED, f"cannot be started: {error.strerror or error}")
        last_line = b""
        with process:
            output = cast("IO[bytes]", process.stdout)
            while line := output.readline(_LINE_LIMIT_BYTES):
                self._log.write(line)
                if self._hear is not None:
                    self._hear(clean(line.decode(errors="replace").rstrip()))
                last_line = line.strip(_FRAME) or last_line
            code = process.wait()
        with self._lock:
            self._process = None
        return End(code, _reason(code, last_line.decode(errors="replace")))

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._lock:
            self._process = subprocess.Popen(
                self.service.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=os.environ | dict(self.service.environment),
                process_group=0,
            )
            if self._stopping.is_set():
                self._process.terminate()
            return self._process


def _reason(code: int, last_line: str) -> str:
    if code < 0:
        return f"killed by {_signal_name(-code)}"
    said = clean(last_line).removeprefix("heartline: ")
    return said or f"exit code {code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
