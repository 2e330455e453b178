"""The viewer's two clocks, so that a test or a replay can bring its own."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time to the dashboard."""

    def mono_s(self) -> float:
        """The monotonic clock on which a source stamps what it receives, in seconds."""
        ...

    def wall_ms(self) -> int:
        """Unix time in milliseconds: to tell people when, and for nothing else."""
        ...


class SystemClock:
    """This machine's clocks; asyncio's event loops use the same monotonic one."""

    def mono_s(self) -> float:
        """See `Clock`."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """See `Clock`."""
        return time.time_ns() // 1_000_000
