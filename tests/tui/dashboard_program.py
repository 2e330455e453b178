"""Programs for a real terminal: the dashboard of a socket, and one that breaks.

python -m tests.tui.dashboard_program watch SOCKET
python -m tests.tui.dashboard_program break
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn
from unittest.mock import patch

from tests.tui.fleets import snapshot
from tests.tui.scripted import LIVE
from tui.app import run
from tui.client import Client
from tui.link import Viewer
from tui.options import Options, for_terminal
from tui.target import UnixTarget


class BreakingClient(Client):
    """Shows a fleet and then does what no source may do."""

    async def run(self, viewer: Viewer) -> NoReturn:
        viewer.on_link(LIVE)
        viewer.on_message(snapshot({"web-1": "up"}), 0.0)
        raise ZeroDivisionError("a bug in the dashboard")


def main(command: str, *arguments: str) -> int:
    target = UnixTarget(Path(*arguments))
    if command == "break":
        with patch("tui.app.Client", BreakingClient):
            return run(target)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        signal.signal(number, _handle)
    folder = Path(os.environ["HOME"]) / "heartline"
    code = run(target, for_terminal(Options(folder=folder), os.environ))
    kept = all(signal.getsignal(number) is _handle for number in numbers)
    print("signals", "given back" if kept else "kept")
    return code


def _handle(_number: int, _frame: FrameType | None) -> None:
    """What a program around the dashboard might do on a signal."""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
