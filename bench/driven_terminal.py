"""A terminal that a program drives: it types, reads what is painted, and says when that shows.

What is painted is kept as text, cell by cell. Understood is what the dashboard writes: text, moves
of the cursor, and colours, which are left out. Every character takes one cell.
"""

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence

READ_BYTES = 64 * 1024
ANSWER_S = 10.0

_TOKEN = re.compile(
    r"\x1b\[(?P<row>\d+);(?P<column>\d+)H"
    r"|\x1b\[[0-9;:<>=?$]*[@-~]"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\r|\n"
    r"|(?P<text>[^\x1b\r\n]+)"
)


class Screen:
    """What stands on a terminal."""

    def __init__(self, columns: int, rows: int) -> None:
        self._rows = [[" "] * columns for _ in range(rows)]
        self._columns = columns
        self._row = self._column = 0
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def take(self, painted: bytes) -> None:
        """Takes in what a program has written, in any portions."""
        text = self._rest + self._decoder.decode(painted)
        end = 0
        for token in _TOKEN.finditer(text):
            if token.start() != end:
                break
            end = token.end()
            self._apply(token)
        self._rest = text[end:]

    def row(self, number: int) -> str:
        """One row, from 0, without the blanks at its end."""
        return "".join(self._rows[number]).rstrip()

    @property
    def rows(self) -> list[str]:
        """Every row, from the top."""
        return [self.row(number) for number in range(len(self._rows))]

    def _apply(self, token: re.Match[str]) -> None:
        if token["row"] is not None:
            self._row, self._column = int(token["row"]) - 1, int(token["column"]) - 1
        elif token["text"] is not None:
            self._write(token["text"])
        elif token[0] == "\r":
            self._column = 0
        elif token[0] == "\n":
            self._row += 1

    def _write(self, text: str) -> None:
        if self._row < len(self._rows):
            end = min(self._columns, self._column + len(text))
            self._rows[self._row][self._column : end] = text[: end - self._column]
        self._column += len(text)


class DrivenTerminal:
    """A program in a terminal of its own. Close it when it has ended."""

    def __init__(
        self, command: Sequence[str], columns: int, rows: int, environment: Mapping[str, str]
    ) -> None:
        self.screen = Screen(columns, rows)
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.execve(command[0], list(command), dict(environment))
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def type(self, keys: str) -> None:
        """Sends what a keyboard would."""
        os.write(self._terminal, keys.encode())

    def watch(self, seconds: float) -> None:
        """Reads for so long."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            self._read(left_s)

    def time_until(self, shows: Callable[[Screen], bool], timeout_s: float = ANSWER_S) -> float:
        """Reads until the screen is as it should be; how long that took, in seconds.

        Raises:
            TimeoutError: it did not come to be.
        """
        began_s = time.monotonic()
        while not shows(self.screen):
            left_s = began_s + timeout_s - time.monotonic()
            if left_s <= 0:
                shown = "\n".join(self.screen.rows)
                raise TimeoutError(f"not shown within {timeout_s:g} s:\n{shown}")
            self._read(left_s)
        return time.monotonic() - began_s

    def close(self) -> int:
        """Reads to the end; the program's exit code."""
        while self._read(ANSWER_S):
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(status)

    def _read(self, timeout_s: float) -> bool:
        """Takes in what is there, or comes in time; False at the end."""
        readable, _, _ = select.select([self._terminal], [], [], timeout_s)
        if not readable:
            return True
        try:
            painted = os.read(self._terminal, READ_BYTES)
        except OSError:  # how Linux says that nobody is at the other end any more
            return False
        self.screen.take(painted)
        return bool(painted)
