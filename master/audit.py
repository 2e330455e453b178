"""The audit log: one JSON line for everything that touches who may do what. Never a secret.

What a peer can cause as often as it likes costs a few lines a minute: the first are written whole,
the rest are counted per address and summed up. The file is begun anew when it is full and the
oldest one dropped, so that nobody can fill the disk with it.
"""

import errno
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import trio

from master.admission import address_group
from shared.addresses import parse_address
from shared.errors import reason_of
from shared.text import clean

SUMMARY_EVERY_S: Final = 60.0

LINES_PER_PEER: Final = 3
"""Incidents of one kind and peer that are written whole between two summaries."""

LINES_IN_ALL: Final = 100
"""The same for everybody together."""

PEERS_COUNTED: Final = 500
"""Kinds and peers counted apart between two summaries; the rest are counted as `others`."""

FILE_LIMIT_BYTES: Final = 32 * 1024 * 1024
FILES_KEPT: Final = 8
"""Full files beside the one being written; `audit.jsonl.1` is the newest. Even a flood from
everywhere takes a day to push an honest line out of the last one."""

_OTHERS: Final = "others"

_log: Final = logging.getLogger(__name__)


class _Kind(NamedTuple):
    """What is counted together."""

    action: str
    code: str
    identity: str
    address: str


class _Count:
    """How often it happened since the last summary, and how many lines say so already."""

    __slots__ = ("times", "written")

    def __init__(self) -> None:
        self.times = 0
        self.written = 0


class Audit:
    """Appends to one file. A full disk is reported and does not stop the master."""

    def __init__(
        self, path: Path, wall_ms: Callable[[], int], *, file_limit_bytes: int = FILE_LIMIT_BYTES
    ) -> None:
        self.path: Final = path
        self._wall_ms = wall_ms
        self._file_limit_bytes: Final = file_limit_bytes
        self._counts: dict[_Kind, _Count] = {}
        self._lines = 0
        self._descriptor = self._open()
        self._size_bytes = os.fstat(self._descriptor).st_size

    def __repr__(self) -> str:
        return f"<Audit {self.path.name}, {self._size_bytes} B>"

    def record(self, action: str, **fields: str | int) -> None:
        """Writes one line: the time, the action, and what there is to say about it."""
        line = {"wall_ms": self._wall_ms(), "action": action}
        line |= {
            key: clean(value) if isinstance(value, str) else value for key, value in fields.items()
        }
        try:
            self._append((json.dumps(line, ensure_ascii=False) + "\n").encode())
        except OSError as error:
            _log.error(
                "the audit log cannot be written",
                extra={"path": self.path, "error": reason_of(error)},
            )

    def incident(self, action: str, address: str, **fields: str | int) -> bool:
        """A peer at `address` did something that it can do again at will.

        Returns whether this is news: the first of its action, `code`, `identity` and address since
        the last summary.
        """
        count = self._count(
            action, str(fields.get("code", "")), str(fields.get("identity", "")), address
        )
        if count.written < LINES_PER_PEER and self._lines < LINES_IN_ALL:
            count.written += 1
            self._lines += 1
            self.record(action, address=address, **fields)
        return count.times == 1

    def limit_hit(self, limit: str, address: str, times: int = 1) -> None:
        """Peers at `address` hit a limit: counted, and written with the next summary."""
        self._count("limit", limit, "", address, times)

    def write_summary(self) -> None:
        """Writes a line with `times` for everything counted since the last summary and not written
        yet."""
        counts, self._counts, self._lines = self._counts, {}, 0
        for kind, count in counts.items():
            if count.times > count.written:
                said = {name: text for name, text in kind._asdict().items() if text}
                self.record(**said, times=count.times - count.written)

    async def run(self) -> None:
        """Writes the summary every minute, for ever."""
        while True:
            await trio.sleep(SUMMARY_EVERY_S)
            self.write_summary()

    def close(self) -> None:
        self.write_summary()
        os.close(self._descriptor)

    def _count(self, action: str, code: str, identity: str, address: str, times: int = 1) -> _Count:
        kind = _Kind(action, code, identity, _group(address))
        if kind not in self._counts and len(self._counts) >= PEERS_COUNTED:
            # Identities are as many as the operator let in; addresses can be endless.
            kind = kind._replace(address=_OTHERS)
        count = self._counts.setdefault(kind, _Count())
        count.times += times
        return count

    def _append(self, line: bytes) -> None:
        if self._size_bytes + len(line) > self._file_limit_bytes:
            self._begin_anew()
        written = os.write(self._descriptor, line)
        if written < len(line):
            os.ftruncate(self._descriptor, self._size_bytes)  # half a line is worse than none
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size_bytes += written

    def _begin_anew(self) -> None:
        for number in range(FILES_KEPT, 1, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        self.path.replace(self._numbered(1))
        full, self._descriptor = self._descriptor, self._open()
        self._size_bytes = 0
        os.close(full)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        return os.open(self.path, flags, 0o600)


def _group(address: str) -> str:
    try:
        return address_group(parse_address(address).host)
    except ValueError:
        return address
