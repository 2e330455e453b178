"""The clocks, read in one place. The wall clock goes into records that people read; no decision
rests on it, but for the expiry of certificates and tokens, which is the master's."""

import time


def wall_ms() -> int:
    """Unix time in milliseconds by this host's clock."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """Milliseconds since some instant, by a clock that nobody can set."""
    return time.monotonic_ns() // 1_000_000
