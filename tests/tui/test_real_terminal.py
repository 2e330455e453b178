"""The dashboard in a real terminal: it loses its master, finds it, and leaves no trace."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

import psutil
import pytest

from shared.liveness import State
from shared.messages import Delta, FocusNode
from tests.tui.feed_server import WAIT_S, FeedServer
from tests.tui.fleets import MONO_MS, snapshot, vitals

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")

ROOT = Path(__file__).parents[2]
PROGRAM = f"{sys.executable} -m tests.tui.dashboard_program"


class Terminal:
    """A terminal of 100 by 30 with a shell in it."""

    def __init__(self, folder: Path) -> None:
        self._tmux = ("tmux", "-S", str(folder / "tmux"), "-f", "/dev/null")
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color",
            "HOME": str(folder),
        }
        self._run(
            "new-session", "-d", "-x", "100", "-y", "30", "sh", environment=environment, cwd=ROOT
        )

    def prepare(self) -> None:
        """Gives the shell a prompt that can be waited for."""
        self.type("PS1='rea''dy> '; clear")
        self.wait_until(lambda shown: shown.strip() == "ready>")

    def type(self, line: str) -> None:
        """Types a line and Enter."""
        self._run("send-keys", "-l", line)
        self.press("Enter")

    def type_keys(self, keys: str) -> None:
        """Presses keys one after the other."""
        self._run("send-keys", "-l", keys)

    def press(self, key: str) -> None:
        """Presses one key, by its name in tmux."""
        self._run("send-keys", key)

    def screen(self) -> str:
        """What can be read on it."""
        return self._run("capture-pane", "-p")

    def painted(self) -> str:
        """The same with the escape sequences of its colours."""
        return self._run("capture-pane", "-p", "-e")

    def modes(self) -> str:
        """Whether the alternate screen, the mouse and the cursor are on."""
        return self._run(
            "display-message", "-p", "#{alternate_on} #{mouse_any_flag} #{cursor_flag}"
        ).strip()

    def foreground(self, name: str) -> int:
        """The process id of the program `name` that runs in the shell."""
        shell = psutil.Process(int(self._run("display-message", "-p", "#{pane_pid}")))
        *_, process = (p for p in shell.children(recursive=True) if name in p.cmdline())
        return process.pid

    def wait_for(self, text: str) -> str:
        """The screen, once it shows `text`."""
        return self.wait_until(lambda screen: text in screen)

    def wait_until(self, holds: Callable[[str], bool]) -> str:
        """The screen, once it is as it should be."""
        deadline_s = time.monotonic() + WAIT_S
        while not holds(screen := self.screen()):
            if time.monotonic() > deadline_s:
                pytest.fail(f"the terminal never got there:\n{screen}")
            time.sleep(0.02)
        return screen

    def close(self) -> None:
        """Ends the terminal and what runs in it."""
        subprocess.run((*self._tmux, "kill-server"), capture_output=True, check=False)

    def _run(
        self, *arguments: str, environment: dict[str, str] | None = None, cwd: Path | None = None
    ) -> str:
        done = subprocess.run(
            (*self._tmux, *arguments),
            capture_output=True,
            text=True,
            check=True,
            env=environment,
            cwd=cwd,
        )
        return done.stdout


@pytest.fixture
def terminal() -> Generator[Terminal]:
    with tempfile.TemporaryDirectory() as folder:
        terminal = Terminal(Path(folder))
        try:
            terminal.prepare()
            yield terminal
        finally:
            terminal.close()


@pytest.fixture
def server(tmp_path: Path) -> Generator[FeedServer]:
    states = {"web-1": State.UP, "db-1": State.DOWN}
    with FeedServer(tmp_path / "master.sock", lambda: [snapshot(states)]) as server:
        yield server


def settings(terminal: Terminal) -> str:
    """The terminal's line settings, as the shell sees them."""
    terminal.type("clear; stty -a; echo set''tled")
    screen = terminal.wait_for("settled")
    terminal.type("clear")
    terminal.wait_until(lambda shown: shown.strip() == "ready>")
    return screen[: screen.index("settled")]


def start(
    terminal: Terminal, server: FeedServer, *, prefix: str = "", redirection: str = ""
) -> None:
    terminal.type(f"{prefix} {PROGRAM} watch {server.path} {redirection}; echo left with $?")
    terminal.wait_for("● live")
    terminal.wait_for("web-1")


def assert_left_clean(terminal: Terminal, code: int) -> str:
    """The shell is back on its own screen, with the cursor, without the mouse."""
    screen = terminal.wait_for(f"left with {code}")
    assert terminal.modes() == "0 0 1"
    assert "● live" not in screen
    return screen


def test_master_is_lost_and_found_on_a_real_terminal(
    terminal: Terminal, server: FeedServer
) -> None:
    before = settings(terminal)
    start(terminal, server)
    assert terminal.modes() == "1 1 0"
    server.kill()
    screen = terminal.wait_until(
        lambda screen: "This is the last picture" in screen and "web-1" in screen
    )
    assert "lost" in screen.splitlines()[0]
    server.greeting = lambda: [snapshot({"web-9": State.UP})]
    server.start()
    screen = terminal.wait_for("web-9")
    assert "● live" in screen.splitlines()[0]
    terminal.press("q")
    assert "signals given back" in assert_left_clean(terminal, 0)
    assert settings(terminal) == before


def test_fleet_is_sorted_filtered_and_looked_into_while_the_master_dies(
    terminal: Terminal, server: FeedServer
) -> None:
    before = settings(terminal)
    start(terminal, server)
    terminal.type_keys(">")
    terminal.wait_for("name▼")
    terminal.type_keys("/web")
    terminal.press("Enter")
    terminal.wait_until(lambda screen: "1 of 2  web" in screen and "db-1" not in screen)
    terminal.press("Enter")
    screen = terminal.wait_for("▸ overview")
    assert "web-1" in screen.splitlines()[0]
    focus = server.wait_for(FocusNode)
    assert focus == FocusNode("id-web-1")
    terminal.type_keys("6v")
    terminal.wait_for("├─ cron")
    server.kill()
    terminal.wait_until(lambda screen: "This is the last picture" in screen and "├─ cron" in screen)
    server.start()
    assert server.wait_for(FocusNode) == FocusNode("id-web-1")
    terminal.wait_until(lambda screen: "● live" in screen.splitlines()[0])
    terminal.press("Escape")
    terminal.wait_for("1 of 2  web")
    assert server.wait_for(FocusNode) == FocusNode("")
    terminal.press("Escape")
    terminal.wait_for("db-1")
    terminal.press("q")
    assert_left_clean(terminal, 0)
    assert settings(terminal) == before


def test_terminal_that_knows_only_ascii_gets_nothing_else(
    terminal: Terminal, server: FeedServer
) -> None:
    terminal.type(f"LANG=C {PROGRAM} watch {server.path}; echo left with $?")
    terminal.wait_for("* live")
    terminal.press("Enter")
    screen = terminal.wait_for("> overview")
    assert screen.isascii()
    terminal.press("q")
    terminal.wait_for("left with 0")


def test_colours_are_left_out_where_nobody_wants_them(
    terminal: Terminal, server: FeedServer
) -> None:
    start(terminal, server, prefix="NO_COLOR=1")
    assert not re.search(r"[34]8;[25];|\x1b\[(?:\d+;)*(?:[34]|9|10)[0-7][;m]", terminal.painted())
    assert "\x1b[7m" in terminal.painted()  # the row under the cursor
    terminal.press("q")
    assert_left_clean(terminal, 0)


@pytest.mark.parametrize("redirection", ["2>errors", "2>&-"], ids=["file", "closed"])
def test_dashboard_is_drawn_on_the_terminal_wherever_errors_go(
    terminal: Terminal, server: FeedServer, tmp_path: Path, redirection: str
) -> None:
    errors = tmp_path / "errors"
    start(terminal, server, redirection=redirection.replace("errors", str(errors)))
    assert terminal.modes() == "1 1 0"
    terminal.press("q")
    assert_left_clean(terminal, 0)
    assert not errors.exists() or errors.read_text() == ""


def test_ctrl_c_leaves_the_terminal_clean(terminal: Terminal, server: FeedServer) -> None:
    start(terminal, server)
    terminal.press("C-c")
    assert_left_clean(terminal, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_leaves_the_terminal_clean(
    terminal: Terminal, server: FeedServer, number: signal.Signals
) -> None:
    start(terminal, server)
    os.kill(terminal.foreground("tests.tui.dashboard_program"), number)
    assert_left_clean(terminal, 0)


def test_signal_ends_a_dashboard_that_waits_for_its_master(
    terminal: Terminal, tmp_path: Path
) -> None:
    terminal.type(f"{PROGRAM} watch {tmp_path / 'absent.sock'}; echo left with $?")
    terminal.wait_for("no master runs here")
    os.kill(terminal.foreground("tests.tui.dashboard_program"), signal.SIGTERM)
    assert_left_clean(terminal, 0)


def test_bug_leaves_the_terminal_clean_and_is_printed_after(terminal: Terminal) -> None:
    terminal.type(f"{PROGRAM} break; echo left with $?")
    screen = assert_left_clean(terminal, 1)
    assert "ZeroDivisionError: a bug in the dashboard" in screen


@pytest.mark.parametrize("prefix", ["", "setsid --wait"], ids=["hangup", "no-hangup"])
def test_dashboard_ends_when_its_terminal_does(
    terminal: Terminal, server: FeedServer, prefix: str
) -> None:
    start(terminal, server, prefix=prefix)
    process = psutil.Process(terminal.foreground("tests.tui.dashboard_program"))
    terminal.close()
    deadline_s = time.monotonic() + WAIT_S
    ages_ms = itertools.count(0, 1_000)
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        server.push(Delta(MONO_MS, vitals=(vitals("web-1", age_ms=next(ages_ms)),)))
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_dashboard_can_be_put_aside_and_brought_back(
    terminal: Terminal, server: FeedServer
) -> None:
    start(terminal, server)
    terminal.press("C-z")
    terminal.wait_for("ready>")
    assert terminal.modes() == "0 0 1"
    terminal.type("fg")
    terminal.wait_for("● live")
    assert terminal.modes() == "1 1 0"
    terminal.press("q")
    terminal.wait_until(lambda screen: screen.rstrip().endswith("ready>"))
    assert terminal.modes() == "0 0 1"
