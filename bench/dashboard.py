"""What the dashboard costs and how soon it answers, beside a feed of 1,000 and of 10,000 nodes.

    python -m bench.dashboard [--nodes 1000 --nodes 10000] [--seconds 30] [--rounds 8] [--json]

The feed is a real master's (`bench.fleet_feed`), each node beating every 5 s; the dashboard is
`heartline top` in a terminal of 132 by 40 that a program drives. CPU is the kernel's own count for
the dashboard's process, user and system, of one core: while nobody types, over `--seconds`; and
while the keys are typed, one or two a second. The delay of a key is from its being written to the
terminal until the screen shows what it does: for a move the next node in the inspector, for an
order the arrow over its column, for a filter's letter the rows that are left. Targets: 1,000 nodes
under 10 % of a core and every key within 100 ms; 10,000 nodes under 40 % and within 200 ms.
"""

import argparse
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.agent_cost import cost_of
from bench.driven_terminal import DrivenTerminal, Screen
from bench.tables import print_results
from tui import formats

COLUMNS, ROWS = 132, 40
START_S = 120.0
SETTLE_S = 15.0
"""The first picture, and everything that is imported when it is first used."""

PAUSE_S = (0.3, 1.0)
"""Between two keys: so that they do not fall into step with the feed."""

RULE = "─" * 20
ARROWS = "▼▲"


class Key(NamedTuple):
    """What is typed, and how to tell that it is done, given the screen before."""

    name: str
    sent: str
    shows: Callable[[Screen, Screen], bool]
    is_counted: bool = True


class Before(Screen):
    """The screen as it was."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(COLUMNS, ROWS)
        self._rows = [list(row.ljust(COLUMNS)) for row in screen.rows]


def inspected(screen: Screen) -> str:
    """The node that the line below the table is about."""
    rules = [number for number, row in enumerate(screen.rows) if row.startswith(RULE)]
    words = screen.row(rules[-1] + 1).split() if rules else []
    return words[0] if words else ""


def ordered_by(screen: Screen) -> str:
    """The column with the arrow."""
    return next((word for word in screen.row(3).split() if word[-1] in ARROWS), "")


def _moved(before: Screen, now: Screen) -> bool:
    return inspected(now) not in {"", inspected(before)}


def _reordered(before: Screen, now: Screen) -> bool:
    return ordered_by(now) != ordered_by(before)


def _prompted(_before: Screen, now: Screen) -> bool:
    return any(row.startswith(" show") for row in now.rows[-3:])


def _filtered_by(text: str) -> Callable[[Screen, Screen], bool]:
    return lambda _before, now: now.row(1).endswith(f"  {text}")


def _accepted(before: Screen, now: Screen) -> bool:
    return _prompted(before, before) and not _prompted(before, now)


def _cleared(_before: Screen, now: Screen) -> bool:
    return " of " not in now.row(1)


ROUND = (
    *(Key("down", "\x1b[B", _moved) for _ in range(3)),
    Key("up", "\x1b[A", _moved),
    Key("page down", "\x1b[6~", _moved),
    Key("page up", "\x1b[5~", _moved),
    Key("sort", ">", _reordered),
    Key("sort", ">", _reordered),
    Key("sort", "<", _reordered),
    Key("sort", "<", _reordered),
    Key("filter", "/", _prompted),
    Key("filter", "w", _filtered_by("w")),
    Key("filter", "e", _filtered_by("we")),
    Key("filter", "b", _filtered_by("web")),
    Key("filter", "\r", _accepted),
    # A terminal cannot tell this key from the beginning of others but by waiting: not counted.
    Key("clear", "\x1b", _cleared, is_counted=False),
)


@contextmanager
def feed(folder: Path, nodes: int) -> Generator[None]:
    """A master with so many simulated nodes, for the length of the block."""
    command = [sys.executable, "-m", "bench.fleet_feed", str(folder), "--nodes", str(nodes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError("the feed did not start")
            yield
        finally:
            process.terminate()


def measure(nodes: int, seconds: float, rounds: int) -> dict[str, object]:
    """One row of the table."""
    with tempfile.TemporaryDirectory(prefix="heartline-") as root, feed(Path(root), nodes):
        command = [sys.executable, "-m", "heartline", "top", "--data", root]
        environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        terminal = DrivenTerminal(command, COLUMNS, ROWS, environment)
        total = f" {formats.count(nodes)} nodes"
        terminal.time_until(lambda screen: screen.row(1).startswith(total), START_S)
        terminal.watch(SETTLE_S)
        watching = _cpu_ratio(terminal, lambda: terminal.watch(seconds))
        delays_s: list[tuple[float, str]] = []
        typing = _cpu_ratio(terminal, lambda: delays_s.extend(_type(terminal, rounds)))
        rss_kib = cost_of(terminal.pid).rss_kib
        _check_that_most_are_up(terminal.screen, nodes)
        terminal.type("q")
        terminal.close()
    delays_s.sort()
    delays_ms = [delay_s * 1000 for delay_s, _ in delays_s]
    return {
        "nodes": nodes,
        "cpu_percent_of_a_core": round(watching * 100, 2),
        "cpu_percent_while_typing": round(typing * 100, 2),
        "rss_mb": round(rss_kib / 1024, 1),
        "keys": len(delays_ms),
        "key_p50_ms": round(statistics.median(delays_ms), 1),
        "key_p99_ms": round(delays_ms[int(len(delays_ms) * 0.99)], 1),
        "key_max_ms": round(delays_ms[-1], 1),
        "slowest_key": delays_s[-1][1],
    }


def _check_that_most_are_up(screen: Screen, nodes: int) -> None:
    """Numbers of a fleet that has fallen silent would be too good.

    Raises:
        RuntimeError: it has.
    """
    found = re.search(r"● ([\d,]+) up", screen.row(1))
    if found is None or int(found[1].replace(",", "")) < nodes * 0.95:
        raise RuntimeError(f"most nodes are not up: {screen.row(1)}")


def _cpu_ratio(terminal: DrivenTerminal, happen: Callable[[], None]) -> float:
    before_s, began_s = cost_of(terminal.pid).cpu_s, time.monotonic()
    happen()
    return (cost_of(terminal.pid).cpu_s - before_s) / (time.monotonic() - began_s)


def _type(terminal: DrivenTerminal, rounds: int) -> Generator[tuple[float, str]]:
    """Types, and yields each key's delay in seconds, and its name."""
    rng = random.Random(1)
    for key in ROUND * rounds:
        terminal.watch(rng.uniform(*PAUSE_S))
        before, shows = Before(terminal.screen), key.shows
        terminal.type(key.sent)
        delay_s = terminal.time_until(partial(shows, before))
        if key.is_counted:
            yield delay_s, key.name


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, action="append", help="size of a fleet; repeatable")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long it is watched")
    parser.add_argument("--rounds", type=int, default=8, help=f"of {len(ROUND)} keys each")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    given = parser.parse_args()
    sizes: list[int] = given.nodes or [1_000, 10_000]
    if not given.json:
        print(f"{COLUMNS} by {ROWS}, {os.cpu_count()} processors, beats every 5 s\n")
    rows = [measure(nodes, given.seconds, given.rounds) for nodes in sizes]
    print_results(rows, as_json=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
