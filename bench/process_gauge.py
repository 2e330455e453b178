"""What a process holds now: memory, descriptors, threads, as the kernel counts them. Linux only."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Held(NamedTuple):
    """Of one process, at one moment."""

    anonymous_kb: int
    """Memory of its own (RssAnon): without libraries, whose pages become resident as they are
    used."""
    resident_kb: int
    descriptors: int
    threads: int


def held_by(pid: int) -> Held:
    """What the process holds.

    Raises:
        ProcessLookupError: it has ended.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError as error:
        raise ProcessLookupError(f"process {pid} has ended") from error
    return Held(*numbers_of(status), descriptors=descriptors, threads=threads_of(status))


def held_by_all(pids: Iterable[int]) -> Held:
    """What these processes hold together; those that have ended meanwhile hold nothing.

    Raises:
        ProcessLookupError: all of them have ended.
    """
    found: list[Held] = []
    for pid in pids:
        with suppress(ProcessLookupError):
            found.append(held_by(pid))
    if not found:
        raise ProcessLookupError("the processes have ended")
    return Held(*(sum(column) for column in zip(*found, strict=True)))


def numbers_of(status: str) -> tuple[int, int]:
    """RssAnon and VmRSS in kB, from the text of /proc/PID/status: proc(5).

    Raises:
        ProcessLookupError: they are not there: it is a zombie's.
    """
    return _field(status, "RssAnon"), _field(status, "VmRSS")


def threads_of(status: str) -> int:
    """How many threads there are, from the same text."""
    return _field(status, "Threads")


def _field(status: str, name: str) -> int:
    for line in status.splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise ProcessLookupError("the process has ended")
