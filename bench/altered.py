"""Runs a module of the project, altered for a measurement.

    python -m bench.altered [--record FILE] [--no-rto-max] MODULE ARGUMENTS...

`--record`: a master that writes down when each beat arrived (`ARRIVAL`), and judges each node by
itself: on a line that all share, a mass event would hold *down* back. `--no-rto-max`: as on a
kernel that cannot bound TCP's pauses.
"""

import argparse
import runpy
import struct
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from unittest.mock import patch

import master.detector
from shared.liveness import BeatArrived, Liveness, LivenessEvent

ARRIVAL: Final = struct.Struct("<8sdd")
"""The node's id; on the agent's clock when the beat left, on the master's when it arrived."""

_NO_SUCH_OPTION: Final = 9999


class _RecordingDetector(master.detector.Detector):
    """Writes each beat's arrival at once: whoever measures ends it by force."""

    path = Path()

    def apply(self, node_id: str, event: LivenessEvent, now_s: float) -> Liveness:
        if isinstance(event, BeatArrived):
            with self.path.open("ab") as record:
                record.write(ARRIVAL.pack(bytes.fromhex(node_id), event.mono_s, now_s))
        return super().apply(node_id, event, now_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--record", type=Path, help="write each beat's arrival to this file")
    parser.add_argument("--no-rto-max", action="store_true", help="as on an older kernel")
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    record: Path | None = arguments.record
    module: str = arguments.module
    sys.argv = [module, *arguments.arguments]
    with ExitStack() as altered:
        if arguments.no_rto_max:
            altered.enter_context(patch("shared.tcp._TCP_RTO_MAX_MS", _NO_SUCH_OPTION))
        if record is not None:
            _RecordingDetector.path = record
            altered.enter_context(patch("master.registry.Detector", _RecordingDetector))
            altered.enter_context(patch("master.masses.LEAST_NODES", sys.maxsize))
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
