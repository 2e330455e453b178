"""Makes docs/dashboard.svg from a real run: a master, agents, and what happens to some of them.

    python -m docs.make_picture

Everything runs on this host, under a folder that is removed afterwards: a master on a loopback
port, and an agent process per node, each with its own identity and link. Then an agent is killed,
one is stopped and one is frozen, and when the dashboard has noticed it is photographed.
"""

import asyncio
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from shared.liveness import State
from shared.paths import StateFolder
from tui.app import Dashboard
from tui.client import Client
from tui.target import UnixTarget

PICTURE: Final = Path(__file__).with_name("dashboard.svg")
SIZE: Final = (132, 22)
WAIT_S: Final = 60.0
BEATS_S: Final = 12.0
"""Two beats and a little: rates are known, and every family has been measured."""

_KILLED, _STOPPED, _FROZEN = "db-2", "build-1", "edge-lisbon"

NODES: Final[Mapping[str, tuple[str, ...]]] = {
    "web-1": ("role=web", "zone=eu-1"),
    "web-2": ("role=web", "zone=eu-1"),
    "web-3": ("role=web", "zone=eu-2"),
    "web-10": ("role=web", "zone=eu-2"),
    "db-1": ("role=db", "zone=eu-1"),
    _KILLED: ("role=db", "zone=eu-2"),
    "cache-1": ("role=cache", "zone=eu-1"),
    "gpu-1": ("role=gpu", "zone=lab"),
    "gpu-2": ("role=gpu", "zone=lab"),
    _STOPPED: ("role=build", "zone=lab"),
    "edge-paris": ("role=edge", "zone=paris"),
    _FROZEN: ("role=edge", "zone=lisbon"),
}

_CELL_WIDTH: Final = 12.2
"""Of one character in the pictures that Textual makes."""


def heartline(*arguments: str) -> str:
    """Runs a command to its end; what it printed."""
    command = (sys.executable, "-m", "heartline", *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def process(*arguments: str) -> Generator[subprocess.Popen[bytes]]:
    """A command that runs until the block ends."""
    command = (sys.executable, "-m", "heartline", *arguments)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            yield running
        finally:
            running.send_signal(signal.SIGCONT)
            running.terminate()


def wait_for(path: Path) -> None:
    """Returns when the file is there."""
    deadline_s = time.monotonic() + WAIT_S
    while not path.exists():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{path} was never written")
        time.sleep(0.05)


async def photograph(folder: StateFolder, agents: Mapping[str, subprocess.Popen[bytes]]) -> str:
    """The dashboard as SVG, after some of the agents have come to grief."""
    app = Dashboard(Client(UnixTarget(folder.socket)))

    async with app.run_test(size=SIZE) as pilot, asyncio.timeout(3 * WAIT_S):

        async def until(state: State, number: int) -> None:
            while dict(app.feed.fleet.counts).get(state) != number:
                await pilot.pause(0.05)

        await until(State.UP, len(NODES))
        for name, labels in NODES.items():
            label = ("node", "label", "--data", str(folder.root), name, *labels)
            await asyncio.to_thread(heartline, *label)
        await asyncio.sleep(BEATS_S)
        agents[_KILLED].kill()
        await until(State.DOWN, 1)
        agents[_STOPPED].terminate()
        await until(State.LEFT, 1)
        agents[_FROZEN].send_signal(signal.SIGSTOP)
        await until(State.LATE, 1)
        await pilot.pause(0.5)
        return app.export_screenshot(title="heartline top")


def self_contained(svg: str) -> str:
    """The picture without fonts from elsewhere, and without blanks that some viewers drop."""
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")

    def without_blanks(found: re.Match[str]) -> str:
        x, text = float(found["x"]), found["text"].replace("&#160;", "\N{NO-BREAK SPACE}")
        kept = text.strip("\N{NO-BREAK SPACE}")
        x += _CELL_WIDTH * (len(text) - len(text.lstrip("\N{NO-BREAK SPACE}")))
        cells = len(re.sub(r"&#?\w+;", "?", kept))
        kept = kept.replace("\N{NO-BREAK SPACE}", "&#160;")
        length = f'textLength="{cells * _CELL_WIDTH:g}"'
        return f'{found["head"]}x="{x:g}" {found["y"]} {length}{found["tail"]}{kept}</text>'

    return re.sub(
        r'(?P<head><text class="terminal[\w-]*-r\d+" )x="(?P<x>[\d.]+)" (?P<y>y="[\d.]+") '
        r'textLength="[\d.]+"(?P<tail>[^>]*>)(?P<text>[^<]*)</text>',
        without_blanks,
        svg,
    )


def main() -> None:
    """Writes the picture."""
    with tempfile.TemporaryDirectory() as root, ExitStack() as running:
        folder = StateFolder(Path(root) / "master")
        folder.ensure()
        folder.config.write_text('[master]\nname = "lab"\n')
        data = ("--data", str(folder.root))
        running.enter_context(process("master", *data, "--listen", "127.0.0.1:0"))
        wait_for(folder.master_json)
        (address,) = json.loads(folder.master_json.read_text())["listen"]
        created = heartline("token", "create", *data, "--uses", str(len(NODES)), "--json")
        token = json.loads(created)["token"]
        agents = {
            name: running.enter_context(
                process(
                    *("agent", "--data", str(Path(root) / name), "--name", name),
                    *("--join", token, "--master", address),
                )
            )
            for name in NODES
        }
        PICTURE.write_text(self_contained(asyncio.run(photograph(folder, agents))))


if __name__ == "__main__":
    main()
