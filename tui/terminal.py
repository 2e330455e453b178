"""The terminal that the dashboard runs in, which may vanish: a window closed, a connection cut.

Textual writes from a thread that dies of the first failed write, and then waits for that thread: a
dashboard whose terminal is gone would hang for good, and whatever was started with it. Here a write
that fails means that nobody is looking any more, and the dashboard ends.
"""

import sys
from collections.abc import Callable
from typing import Any, TextIO, cast

from textual.app import App
from textual.driver import Driver

from tui.ascii import to_ascii
from tui.look import Symbols


class VanishingFile:
    """A text file that swallows what can no longer be written, after saying so once."""

    def __init__(
        self, file: TextIO, vanished: Callable[[], None], *, is_ascii: bool = False
    ) -> None:
        self._file = file
        self._vanished = vanished
        self._is_ascii = is_ascii
        self._is_gone = False

    def write(self, text: str) -> int:
        """Writes, or pretends to."""
        if not self._is_gone:
            try:
                self._file.write(to_ascii(text) if self._is_ascii else text)
            except OSError:
                self._give_up()
        return len(text)

    def flush(self) -> None:
        """Flushes, or pretends to."""
        if not self._is_gone:
            try:
                self._file.flush()
            except OSError:
                self._give_up()

    def fileno(self) -> int:
        """The descriptor beneath."""
        return self._file.fileno()

    def _give_up(self) -> None:
        self._is_gone = True
        self._vanished()


def _terminal_of(stderr: TextIO | None) -> TextIO:
    """Where to draw: Textual does on standard error, which may lead into a file."""
    stdout = sys.__stdout__
    if stdout is None or (stderr is not None and stderr.isatty()):
        return cast("TextIO", stderr)
    # As standard error is: what its encoding lacks is written in another way and ends nothing.
    return open(
        stdout.fileno(), "w", encoding=stdout.encoding, errors="backslashreplace", closefd=False
    )


def outliving(driver: type[Driver], symbols: Symbols = Symbols.BRAILLE) -> type[Driver]:
    """The driver that Textual has chosen, made to end the dashboard when its terminal is gone.

    It writes nothing but ASCII where `symbols` says so.

    Drivers that are not for a POSIX terminal are returned as they are.
    """
    if sys.platform == "win32":
        return driver
    from textual.drivers.linux_driver import LinuxDriver  # noqa: PLC0415 - not on Windows

    if driver is not LinuxDriver:
        return driver

    is_ascii = symbols is Symbols.ASCII

    class TerminalDriver(LinuxDriver):
        def __init__(
            self,
            app: App[Any],
            *,
            debug: bool = False,
            mouse: bool = True,
            size: tuple[int, int] | None = None,
        ) -> None:
            super().__init__(app, debug=debug, mouse=mouse, size=size)  # pyright: ignore[reportUnknownMemberType]
            written = _terminal_of(self._file)
            self._file = cast("Any", VanishingFile(written, self._leave, is_ascii=is_ascii))

        def _leave(self) -> None:
            """Called in the thread that writes."""
            self._loop.call_soon_threadsafe(self._app.exit, 0)

    return TerminalDriver
