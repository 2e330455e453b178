"""What the detector costs the master per beat, beside an update of a bare dict in the same run.

    python -m bench.detector_cost [--json]

The least of several rounds over a fleet that is up: what a beat costs when nothing happens, which
is nearly always.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Final

from bench.tables import print_results
from master.detector import Detector, Probe
from master.sweeper import Sweeper
from shared.liveness import BeatArrived, Joined, Liveness, State

NODES: Final = 5_000
ROUNDS: Final = 20
PERIOD_S: Final = 5.0


class _Nothing:
    """Consequences that have none."""

    def probe(self, node_id: str) -> Probe | None:  # noqa: ARG002 - there is no link
        return None

    def changed(self, node_id: str, before: Liveness, after: Liveness) -> None:
        pass

    def master_is_well(self, now_s: float) -> bool:  # noqa: ARG002 - it always is
        return True

    def mass_event(self, node_ids: tuple[str, ...], alive: int) -> None:
        pass

    def flapping_changed(self, node_id: str, *, is_on: bool) -> None:
        pass


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON only")
    as_json: bool = parser.parse_args().json
    ids = [f"{number:016x}" for number in range(NODES)]
    sweeper = Sweeper()
    detector = Detector(sweeper, _Nothing())
    for node_id in ids:
        detector.know(node_id, Liveness(State.NEVER_SEEN, 0.0))
        detector.apply(node_id, Joined(PERIOD_S), 0.0)
    heard: dict[str, float] = {}

    def beats(round_s: float) -> None:
        for node_id in ids:
            detector.apply(node_id, BeatArrived(round_s, PERIOD_S, PERIOD_S), round_s)

    def beats_and_sweep(round_s: float) -> None:
        beats(round_s)
        sweeper.sweep(round_s)

    def updates(round_s: float) -> None:
        for node_id in ids:
            heard[node_id] = round_s

    bare_us = _least_us(updates, 0.0)
    last_s = ROUNDS * PERIOD_S
    print_results(
        [
            _row("a bare dict update", bare_us, bare_us),
            _row("the detector", _least_us(beats, 0.0), bare_us),
            _row("the detector and its sweeps", _least_us(beats_and_sweep, last_s), bare_us),
        ],
        as_json=as_json,
    )
    return 0


def _least_us(work: Callable[[float], None], from_s: float) -> float:
    least_s = float("inf")
    for number in range(1, ROUNDS + 1):
        begun_s = time.perf_counter()
        work(from_s + number * PERIOD_S)
        least_s = min(least_s, time.perf_counter() - begun_s)
    return least_s / NODES * 1e6


def _row(what: str, cost_us: float, bare_us: float) -> dict[str, object]:
    return {
        "per_beat": what,
        "microseconds": round(cost_us, 3),
        "times_a_dict_update": round(cost_us / bare_us, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
