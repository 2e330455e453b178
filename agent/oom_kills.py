"""Whether the kernel killed a process for want of memory: what Linux tells those who ask later.

It counts its kills for the host (`/proc/vmstat`) and for each control group (`memory.events`, or
`memory.oom_control` of the first version), and names each victim in its log, which not everybody
may read. A service manager that makes a new control group for each run begins that count anew.
"""

import os
import re
from pathlib import Path
from typing import Final

from msgspec import Struct

NAMED: Final = "named"
"""The kernel's log names the process."""
GROUP: Final = "group"
"""A process of the same control group was killed."""
HOST: Final = "host"
"""Some process of the host was killed."""

LOG_BYTES_LIMIT: Final = 16 * 1024 * 1024
"""More than any kernel's log holds."""

_RECORD_BYTES: Final = 8192
_COUNT: Final = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)
_VICTIM: Final = re.compile(rb"^\d+,\d+,(\d+),[^;]*;.*\bKilled process (\d+)\b", re.MULTILINE)


class OomKills(Struct, frozen=True, array_like=True, gc=False):
    """How many processes the kernel has killed for want of memory, since the host booted."""

    host: int | None = None
    group: int | None = None
    """In the control group of the agent. None: not counted."""


class Kernel:
    """The files to ask. The defaults are Linux's; elsewhere they are missing and nothing is
    known."""

    def __init__(
        self,
        proc: Path = Path("/proc"),
        groups: Path = Path("/sys/fs/cgroup"),
        log: Path = Path("/dev/kmsg"),
    ) -> None:
        self._vmstat: Final = proc / "vmstat"
        self._log: Final = log
        self._group: Final = _counter_of_group(proc / "self" / "cgroup", groups)

    def kills(self) -> OomKills:
        """The counters now. Blocks for as long as the kernel takes to write them."""
        group = None if self._group is None else _count_in(self._group)
        return OomKills(_count_in(self._vmstat), group)

    def victims(self, since_awake_ms: int) -> list[int] | None:
        """Process ids of those killed since then, on the monotonic clock; None: not permitted."""
        try:
            content = _everything_in(self._log)
        except OSError:
            return None
        return [
            int(pid)
            for microseconds, pid in _VICTIM.findall(content)
            if int(microseconds) // 1000 >= since_awake_ms
        ]

    def word_on(self, pid: int, before: OomKills, since_awake_ms: int) -> str:
        """What it says of the end of `pid`, which was last heard of at `since_awake_ms`, when the
        counters were `before`: NAMED, GROUP, HOST, or nothing."""
        now = self.kills()
        if before.host is None or now.host is None or now.host <= before.host:
            return ""  # this count includes every other
        victims = self.victims(since_awake_ms)
        if victims is not None and pid in victims:
            return NAMED
        if before.group is not None and now.group is not None and now.group > before.group:
            return GROUP
        names_all = victims is not None and len(victims) >= now.host - before.host
        return "" if names_all else HOST


def _counter_of_group(memberships: Path, groups: Path) -> Path | None:
    try:
        lines = memberships.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers == "":
            candidate = groups / group.lstrip("/") / "memory.events"
        elif "memory" in controllers.split(","):
            candidate = groups / "memory" / group.lstrip("/") / "memory.oom_control"
        else:
            continue
        if candidate.exists():
            return candidate
    return None


def _count_in(path: Path) -> int | None:
    try:
        found = _COUNT.search(path.read_bytes())
    except OSError:
        return None
    return int(found[1]) if found else None


def _everything_in(log: Path) -> bytes:
    """The log as it is now. The kernel gives a record with each read, and refuses when there are
    no more rather than have anybody wait."""
    parts: list[bytes] = []
    size_bytes = 0
    descriptor = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    try:
        while size_bytes < LOG_BYTES_LIMIT:
            try:
                record = os.read(descriptor, _RECORD_BYTES)
            except BrokenPipeError:
                continue  # records were overwritten while this was reading: on with the oldest left
            except BlockingIOError:
                break
            if not record:
                break
            parts.append(record)
            size_bytes += len(record)
    finally:
        os.close(descriptor)
    return b"".join(parts)
