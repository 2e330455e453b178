"""The dashboard in a terminal of its own, beside a fleet under load: when a beat stands on it.

    python -m bench.density.screen FOLDER

Drives `heartline top` on the master of the folder, and reads what it paints: the first nodes' CPU
and memory are their samples' stamps. Says a line when it shows nodes, and takes orders
(`bench.density.orders`): `begin`, which forgets what was counted; `report`.
"""

import argparse
import json
import os
import re
import select
import sys
from pathlib import Path
from typing import Final

from bench.density.cost import cpu_s
from bench.density.histogram import Histogram
from bench.density.samples import SHOWN
from bench.density.stamps import shown_age_ms
from bench.driven_terminal import DrivenTerminal, Screen
from shared.clock import monotonic_ms

COLUMNS: Final = 132
ROWS: Final = SHOWN + 10
START_S: Final = 120.0

OLDEST_MS: Final = 60_000
"""What is older than this was read while half of it was painted."""

_ROW: Final = re.compile(r"(node-\d{6}) .*? (\d+)%.*? (\d+)%")
_FOR_EVER_S: Final = 1e9


class Watch:
    """One terminal, and what has been seen on it."""

    def __init__(self, terminal: DrivenTerminal) -> None:
        self._terminal = terminal
        self._shown: dict[str, tuple[int, int]] = {}
        self._seen = Histogram()
        self._began_cpu_s = 0.0

    def run(self) -> None:
        """Until standard input ends."""
        while True:
            self._terminal.time_until(self._looked, _FOR_EVER_S)
            order = os.read(sys.stdin.fileno(), 4096).decode().strip()
            if not order:
                return
            answer: dict[str, object] = {
                "seen": self._seen.counts,
                "beats": self._seen.total,
                "cpu_s": cpu_s(self._terminal.pid) - self._began_cpu_s,
            }
            if order == "begin":
                self._seen, self._began_cpu_s = Histogram(), cpu_s(self._terminal.pid)
            print(json.dumps(answer), flush=True)

    def _looked(self, screen: Screen) -> bool:
        """Counts what is new; whether there is an order."""
        now_ms = monotonic_ms()
        for row in screen.rows:
            found = _ROW.search(row)
            if found is None:
                continue
            name, stamp = found[1], (int(found[2]), int(found[3]))
            if self._shown.get(name) != stamp:
                age_ms = shown_age_ms(*stamp, now_ms)
                if name in self._shown and age_ms < OLDEST_MS:
                    self._seen.add(age_ms / 1000)
                self._shown[name] = stamp
        return bool(select.select([sys.stdin], [], [], 0)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    command = [sys.executable, "-m", "heartline", "top", "--data", str(given.folder)]
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    terminal = DrivenTerminal(command, COLUMNS, ROWS, environment)
    terminal.time_until(lambda screen: any(map(_ROW.search, screen.rows)), START_S)
    print("{}", flush=True)
    Watch(terminal).run()
    terminal.type("q")
    terminal.close()


if __name__ == "__main__":
    main()
