"""Makes the pictures of the dashboard: `heartline demo` in a real terminal, three times the same.

    python -m docs.make_recording           # needs tmux; takes a minute and a half
    asciinema play docs/dashboard.cast

dashboard.cast is an asciinema recording, dashboard-moving.svg the same for a browser, dashboard.svg
one screen of it. The demo's seed is fixed, and so is what is typed, so that every recording tells
the same story. The screen is looked at a few times a second, and what has changed on it is written
down.
"""

import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from docs.pictures import moving, still
from docs.screens import Screen, blank, changes, parse

CAST: Final = Path(__file__).with_name("dashboard.cast")
MOVING: Final = CAST.with_name("dashboard-moving.svg")
STILL: Final = CAST.with_name("dashboard.svg")
COLUMNS: Final = 132
ROWS: Final = 34
FRAME_S: Final = 0.25
START_S: Final = 30.0
STOP_S: Final = 20.0
COMMAND: Final = "heartline demo --nodes 200 --seed 1"
TITLE: Final = "Heartline's dashboard on a fleet of 200 nodes"
SHOWN: Final = "● live"
"""On the screen once the dashboard is there."""


class Step(NamedTuple):
    """A key, as tmux calls it, and how long what it shows is looked at."""

    key: str
    then_s: float
    is_portrait: bool = False
    """Whether its last screen is the still picture."""


def _typed(text: str) -> tuple[Step, ...]:
    return tuple(Step(character, 0.12) for character in text)


STORY: Final = (
    Step("", 12.0),  # hosts join; one agent is killed, one stopped
    Step("h", 26.0),  # a rack's switch fails: its hosts are late, then down
    Step("h", 0.5),
    Step("Home", 4.0, is_portrait=True),
    Step("/", 0.6),
    *_typed("web-01.fra"),  # the host with a process that has run away
    Step("Enter", 0.8),
    Step("Enter", 7.0),
    Step("6", 4.0),
    Step("v", 4.0),
    Step("Escape", 1.0),
    Step("Escape", 1.0),
    Step("g", 0.5),
    Step("Home", 8.0),  # by rack: it was one that failed
)
STORY_S: Final = sum(step.then_s for step in STORY)
REST_S: Final = 2.0
"""How long the last screen stands before a moving picture begins again."""


class Terminal:
    """A terminal in which the demo runs."""

    def __init__(self, folder: Path) -> None:
        self._tmux = ("tmux", "-S", str(folder / "tmux"), "-f", "/dev/null")

    def start(self) -> None:
        """Runs the demo, on a screen of the recording's size."""
        program = f"{sys.executable} -m {COMMAND}"
        size = ("-x", str(COLUMNS), "-y", str(ROWS))
        colours = ("-e", "COLORTERM=truecolor", "-e", "LC_ALL=C.UTF-8")
        self._run("new-session", "-d", *size, *colours, program)
        self._run("set-option", "-g", "status", "off")

    def press(self, key: str) -> None:
        """Presses a key."""
        self._run("send-keys", key)

    def screen(self) -> str:
        """What is on it, with its colours."""
        return self._run("capture-pane", "-e", "-p", "-N")

    def leave(self) -> None:
        """Leaves the demo, waits until it has stopped what it started, and ends the terminal."""
        self.press("q")
        deadline_s = time.monotonic() + STOP_S
        while time.monotonic() < deadline_s and not self._try("has-session"):
            time.sleep(0.1)
        self._try("kill-server")

    def _try(self, command: str) -> int:
        return subprocess.run(
            (*self._tmux, command), capture_output=True, check=False, timeout=10
        ).returncode

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            (*self._tmux, *arguments), check=True, capture_output=True, text=True, timeout=10
        )
        return done.stdout


@contextmanager
def demo() -> Generator[Terminal]:
    """A terminal with the demo on its screen."""
    with tempfile.TemporaryDirectory() as folder:
        terminal = Terminal(Path(folder))
        terminal.start()
        try:
            deadline_s = time.monotonic() + START_S
            while SHOWN not in terminal.screen():
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"the demo did not start:\n{terminal.screen()}")
                time.sleep(0.1)
            yield terminal
        finally:
            terminal.leave()


def film(terminal: Terminal, story: tuple[Step, ...]) -> Generator[tuple[float, Screen]]:
    """The screen at each frame of the story, and when that was, in seconds from its beginning."""
    began_s = time.monotonic()
    until_s = 0.0
    for step in story:
        if step.key:
            terminal.press(step.key)
        until_s += step.then_s
        while (now_s := time.monotonic() - began_s) < until_s:
            yield now_s, parse(terminal.screen(), COLUMNS, ROWS)
            time.sleep(max(0.0, now_s + FRAME_S - (time.monotonic() - began_s)))


def cast(frames: list[tuple[float, Screen]]) -> str:
    """The asciinema recording (version 2) of these frames."""
    header = {"version": 2, "width": COLUMNS, "height": ROWS, "command": COMMAND}
    events: list[tuple[float, str, str]] = [(0.0, "o", "\x1b[?25l\x1b[2J")]
    shown = itertools.chain([(0.0, blank(COLUMNS, ROWS))], frames)
    for (_, before), (at_s, after) in itertools.pairwise(shown):
        written = changes(before, after)
        if written:
            events.append((round(at_s, 2), "o", written))
    lines = [json.dumps(header), *(json.dumps(event, ensure_ascii=False) for event in events)]
    return "\n".join(lines) + "\n"


def portrait(frames: Sequence[tuple[float, Screen]]) -> Screen:
    """The screen that is the still picture."""
    ends_s = itertools.accumulate(step.then_s for step in STORY)
    (until_s,) = (end_s for step, end_s in zip(STORY, ends_s, strict=True) if step.is_portrait)
    return [screen for at_s, screen in frames if at_s < until_s][-1]


def main() -> None:
    """Writes the recording, and the pictures."""
    with demo() as terminal:
        frames = list(film(terminal, STORY))
    CAST.write_text(cast(frames), encoding="utf-8")
    MOVING.write_text(moving(frames, TITLE, STORY_S + REST_S), encoding="utf-8")
    STILL.write_text(still(portrait(frames), TITLE), encoding="utf-8")


if __name__ == "__main__":
    main()
