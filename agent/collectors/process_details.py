"""What only the largest processes are asked for.

Command lines, environments and the names of open files hold secrets, so each is read only where the
host's own settings say so. Together they are bounded (`TEXTS_LIMIT_BYTES`): what is beyond is left
out, and said to be. What may not be read is counted, and a process that has ended has no details.
"""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import psutil

from agent.wording import fit
from shared.families import ROWS_LIMIT
from shared.families_settings import ProcessSettings

TEXTS_LIMIT_BYTES: Final = 96 * 1024
"""Of command lines, environments and names of files in one report, so that it fits a message."""

TEXT_LIMIT_CHARACTERS: Final = 4096

T = TypeVar("T")


class Details(NamedTuple):
    """One process, beside what the process table says of it."""

    user: str | None = None
    open_files: int | None = None
    command_line: str | None = None
    environment: tuple[str, ...] | None = None
    open_file_names: tuple[str, ...] | None = None


class DetailsReader:
    """Reads the details of one report's processes, one after another."""

    def __init__(self, settings: ProcessSettings) -> None:
        self._settings = settings
        self._asked = 0
        self._texts_bytes = 0
        self._refused: Counter[str] = Counter()
        self._too_long: Counter[str] = Counter()

    def read(self, pid: int) -> Details:
        """The details of a process; blocks, and for long when its memory is locked."""
        self._asked += 1
        try:
            process = psutil.Process(pid)
        except psutil.NoSuchProcess:
            return Details()
        settings = self._settings
        return Details(
            user=self._ask("user", lambda: fit(process.username())),
            open_files=self._ask("open_files", lambda: _open_files(process)),
            command_line=self._ask("command_line", lambda: self._command_line(process))
            if settings.command_line
            else None,
            environment=self._ask("environment", lambda: self._environment(process))
            if settings.environment
            else None,
            open_file_names=self._ask("open_file_names", lambda: self._open_file_names(process))
            if settings.open_file_names
            else None,
        )

    def absent(self) -> dict[str, str]:
        """What could not be had, and why."""
        refused = {
            field: f"not permitted for {count} of {self._asked} processes"
            for field, count in self._refused.items()
        }
        too_long = {
            field: f"beyond {TEXTS_LIMIT_BYTES // 1024} KiB for {count} of {self._asked} processes"
            for field, count in self._too_long.items()
        }
        return refused | too_long

    def _ask(self, field: str, question: Callable[[], T]) -> T | None:
        try:
            return question()
        except psutil.AccessDenied:
            self._refused[field] += 1
            return None
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            return None

    def _command_line(self, process: psutil.Process) -> str | None:
        kept = self._bounded("command_line", [" ".join(process.cmdline())])
        return kept[0] if kept else None

    def _environment(self, process: psutil.Process) -> tuple[str, ...] | None:
        variables = sorted(process.environ().items())
        return self._bounded("environment", [f"{name}={value}" for name, value in variables])

    def _open_file_names(self, process: psutil.Process) -> tuple[str, ...] | None:
        return self._bounded("open_file_names", [file.path for file in process.open_files()])

    def _bounded(self, field: str, texts: list[str]) -> tuple[str, ...] | None:
        kept = tuple([fit(text, TEXT_LIMIT_CHARACTERS) for text in texts[:ROWS_LIMIT]])
        size_bytes = sum([len(text.encode("utf-8", "replace")) for text in kept])
        if self._texts_bytes + size_bytes > TEXTS_LIMIT_BYTES:
            self._too_long[field] += 1
            return None
        self._texts_bytes += size_bytes
        return kept


def _open_files(process: psutil.Process) -> int:
    """How many descriptors it holds; Linux tells since 6.2 without listing them one by one."""
    if sys.platform == "win32":
        return process.num_handles()
    if sys.platform.startswith("linux"):
        size = Path(f"/proc/{process.pid}/fd").stat().st_size
        if size:
            return size
    return process.num_fds()
