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
from typing import Final, NamedTuple

from bench.density.cost import cpu_s
from bench.density.histogram import Histogram
from bench.density.samples import SHOWN
from bench.density.stamps import shown_age_ms
from bench.driven_terminal import DrivenTerminal, Screen
from shared.clock import monotonic_ms

COLUMNS: Final = 132
ROWS: Final = SHOWN + 10
START_S: Final = 120.0

_ROW: Final = re.compile(r"node-(\d{6}) .*? (\d+)%.*? (\d+)%")
_FOR_EVER_S: Final = 1e9


class _Shown(NamedTuple):
    """A stamp that stands in a node's row."""

    stamp: tuple[int, int]
    since_mono_ms: int
    is_counted: bool


class Watch:
    """One terminal, and what has been seen on it."""

    def __init__(self, terminal: DrivenTerminal) -> None:
        self._terminal = terminal
        self._shown: dict[int, _Shown] = {}
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
        before, self._shown = self._shown, {}
        for row in screen.rows:
            found = _ROW.search(row)
            if found is not None and int(found[1]) < SHOWN:
                agent, stamp = int(found[1]), (int(found[2]), int(found[3]))
                self._shown[agent] = self._look(before.get(agent), stamp, now_ms)
        return bool(select.select([sys.stdin], [], [], 0)[0])

    def _look(self, before: _Shown | None, stamp: tuple[int, int], now_ms: int) -> _Shown:
        if before is None:
            return _Shown(stamp, now_ms, is_counted=True)  # it may have been there for long
        if stamp != before.stamp:
            return _Shown(stamp, now_ms, is_counted=False)
        if not before.is_counted:
            # It still stands there: so it was not half of a row that was being painted.
            self._seen.add(shown_age_ms(*stamp, before.since_mono_ms) / 1000)
        return before._replace(is_counted=True)


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
