"""A real master and thousands of real agents on a line that loses packets: what becomes of nodes
that nothing has happened to, and a recording of when their beats arrived.

    python -m bench.lossy_fleet [--agents 2000] [--minutes 8] [LINE ...]

Takes root and Linux, for the line (`tests.network.lossy_link`), and for the lines of `LINES` that
say so a kernel with TCP_RTO_MAX_MS (6.15). Every agent has a link of its own, TLS and all, and
beats every 5 s; nobody is down for being one of many (`bench.altered`). Loss begins once all have
beaten a few times, and what happens from then until it ends is counted: false, all of it. Recording
and counts go to `traces/`, and from there into docs/detection.md (`bench.detection_soak`).
"""

import argparse
import lzma
import math
import sqlite3
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.altered import ARRIVAL
from bench.lives import LINES, TRACES, Counts, Line
from bench.rivals import PERIOD_S
from bench.tables import print_results
from shared.liveness import State
from tests.network.lossy_link import MASTER_HOST, LossyLink, host_of, why_not_here
from tests.network.real_fleet import RealFleet

WARM_UP_BEATS: Final = 4
STRAGGLING_S: Final = 30.0
"""How long after the loss what is still on its way may arrive."""


def main(given: Sequence[str] | None = None) -> int:
    """The command, with the arguments of the process or these."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--agents", type=int, default=2_000)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("lines", nargs="*", choices=list(LINES), metavar="LINE")
    arguments = parser.parse_args(given)
    if reason := why_not_here():
        sys.stderr.write(f"{reason}\n")
        return 1
    agents: int = arguments.agents
    minutes: float = arguments.minutes
    chosen: list[str] = arguments.lines
    rows: list[dict[str, object]] = []
    for name in chosen or LINES:
        links, counts = measured(LINES[name], agents, 60.0 * minutes)
        packed = lzma.compress(msgspec.json.encode(links), preset=9)
        (TRACES / f"{name}.json.xz").write_bytes(packed)
        (TRACES / f"{name}.counts.json").write_bytes(msgspec.json.encode(counts) + b"\n")
        rows.append({"line": name, **msgspec.to_builtins(counts)})
    print_results(rows, as_json=False)
    return 0


def measured(line: Line, agents: int, lasts_s: float) -> tuple[list[list[int | None]], Counts]:
    """Of every agent how late each beat arrived, as in `bench.lives`; and what was made of it."""
    with tempfile.TemporaryDirectory(prefix="heartline-") as folder, LossyLink() as lossy:
        record = Path(folder) / "arrivals"
        altered = [sys.executable, "-m", "bench.altered"]
        if not line.bounds_pauses:
            altered.append("--no-rto-max")
        fleet = RealFleet(
            Path(folder),
            period_s=PERIOD_S,
            crowd=agents,
            line=lossy,
            listen=f"{MASTER_HOST}:0",
            program=[*altered, "--record", str(record), "heartline"],
        )
        with fleet:
            fleet.start_crowd(at=host_of(0), program=[*altered, "tests.network.agent_fleet"])
            fleet.wait_all_up()
            fleet.wait_beaten(fleet.crowd[-1], WARM_UP_BEATS)
            settled = record.stat().st_size // ARRIVAL.size
            began_ms = lossy.lose(line.lost_part)
            time.sleep(lasts_s)
            ended_ms = lossy.lose(0.0)
            time.sleep(STRAGGLING_S)
            became = _became(fleet.folder.database, began_ms, ended_ms)
        arrivals = list(ARRIVAL.iter_unpack(record.read_bytes()))
    links = _links(arrivals, settled, round(lasts_s / PERIOD_S))
    node_days = agents * (ended_ms - began_ms) / 86_400_000
    return links, Counts(
        round(node_days, 2),
        late=became[State.LATE],
        hung=became[State.HUNG],
        lost=became[State.LOST],
        down=became[State.DOWN],
    )


def _became(database: Path, began_ms: int, ended_ms: int) -> Counter[str]:
    """How often nodes came into which state."""
    store = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        rows = store.execute(
            "SELECT after FROM events WHERE event = 'state' AND wall_ms BETWEEN ? AND ?",
            (began_ms, ended_ms),
        )
        return Counter(after for (after,) in rows)
    finally:
        store.close()


def _links(
    arrivals: Sequence[tuple[bytes, float, float]], settled: int, beats: int
) -> list[list[int | None]]:
    # The clocks are of one host: the fastest beat of all says by how much they differ.
    offset_s = min(arrived_s - mono_s for _, mono_s, arrived_s in arrivals)
    by_node: dict[bytes, list[tuple[float, float]]] = defaultdict(list)
    began_s = arrivals[settled][2]
    for node, mono_s, arrived_s in arrivals[settled:]:
        if mono_s + offset_s >= began_s:
            by_node[node].append((mono_s + offset_s, arrived_s))
    return [_lateness_ms(beats_of, began_s, beats) for beats_of in by_node.values()]


def _lateness_ms(
    heard: Sequence[tuple[float, float]], began_s: float, beats: int
) -> list[int | None]:
    """By how much each beat came after its instant on the agent's grid; None: it never did. The
    first beat of a link goes out off the grid, and counts for the one before."""
    phases = Counter(round(sent_s % PERIOD_S, 2) for sent_s, _ in heard)
    phase_s = phases.most_common(1)[0][0]
    first_s = math.ceil((began_s - phase_s) / PERIOD_S) * PERIOD_S + phase_s
    lateness_ms: list[int | None] = [None] * beats
    for sent_s, arrived_s in heard:
        number = math.floor((sent_s - first_s) / PERIOD_S + 0.01)
        if 0 <= number < beats and lateness_ms[number] is None:
            late_s = arrived_s - first_s - number * PERIOD_S
            lateness_ms[number] = max(0, round(late_s * 1000))
    return lateness_ms


if __name__ == "__main__":
    sys.exit(main())
