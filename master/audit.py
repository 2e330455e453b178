"""The audit log: one JSON line for everything that touches who may do what. Never a secret.

Hits of a limit can come by the thousand: they are counted per address and written once a minute.
"""

import json
import logging
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from shared.text import clean

LIMITS_EVERY_S: Final = 60.0
ADDRESSES_COUNTED: Final = 10_000
"""Addresses counted apart within a minute; the rest are counted together, so that a flood costs
nothing."""

_log: Final = logging.getLogger(__name__)


class Audit:
    """Appends to one file. A full disk is reported and does not stop the master."""

    def __init__(self, path: Path, wall_ms: Callable[[], int]) -> None:
        self.path: Final = path
        self._wall_ms = wall_ms
        self._hits: Counter[tuple[str, str]] = Counter()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.fdopen(os.open(path, flags, 0o600), "a", encoding="utf-8")

    def record(self, action: str, **fields: str | int) -> None:
        """Writes one line: the time, the action, and what there is to say about it."""
        line = {"wall_ms": self._wall_ms(), "action": action}
        line |= {
            key: clean(value) if isinstance(value, str) else value for key, value in fields.items()
        }
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            _log.error(
                "the audit log cannot be written", extra={"path": self.path, "error": str(error)}
            )

    def limit_hit(self, limit: str, address: str) -> None:
        """Counts a refusal by a limit; written with the next minute's summary."""
        if (limit, address) not in self._hits and len(self._hits) >= ADDRESSES_COUNTED:
            address = "others"
        self._hits[limit, address] += 1

    def write_limits(self) -> None:
        """Writes the hits counted since the last call, a line per limit and address."""
        hits, self._hits = self._hits, Counter()
        for (limit, address), times in hits.items():
            self.record("limit", limit=limit, address=address, times=times)

    async def run(self) -> None:
        """Writes the limits' summary every minute, for ever."""
        while True:
            await trio.sleep(LIMITS_EVERY_S)
            self.write_limits()

    def close(self) -> None:
        self.write_limits()
        self._file.close()
