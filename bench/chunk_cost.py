"""What a chunk of the history costs: bytes a value on disk, and the time to write and to read it.

    python -m bench.chunk_cost [--json] [--each]

On the recordings in `data/`, at several lengths of the window; what does not fill the last window
of a recording is left out. A value is one that was known: what a host does not have is not counted,
and neither are keys and times, though their bytes are. Beside it the same samples as plain 64-bit
integers and as their differences, both deflated column by column. Times are CPU time, of one
thread, the best of several.
"""

import argparse
import sys
import time
import timeit
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bench.history_samples import Recording, recordings
from bench.tables import print_results
from master.history.codec import (
    decode_chunk,
    decode_columns,
    decode_rollup_columns,
    encode_chunk,
    encode_rollup,
)
from master.history.rollup import roll_up
from master.history.samples import ABSENT, Samples, samples_of
from shared.metrics import metrics

WINDOWS = (60, 120, 240, 590, 720)
"""Samples: at 5 s, 5, 10 and 20 minutes, all that the recording at 5 s has, and an hour."""

BUCKETS_MS = {"1 min": 60_000, "15 min": 900_000}


@dataclass(frozen=True)
class Cut:
    """Windows of one length, all of the same recording or of all."""

    title: str
    samples: int
    windows: list[Samples]


def windows(recording: Recording, length: int) -> list[Samples]:
    """The whole windows of a recording, without its first sample, which knows no rates."""
    rows = list(zip(*[recording.column(metric.name) for metric in metrics()], strict=True))
    begins = range(1, len(rows) - length + 1, length)
    return [
        samples_of(
            recording.at_ms[begin : begin + length],
            [1] * length,
            range(begin, begin + length),
            rows[begin : begin + length],
        )
        for begin in begins
    ]


def cuts(*, each: bool) -> Iterator[Cut]:
    """By length of the window, all recordings together or each."""
    for length in WINDOWS:
        by_name = {recording.name: windows(recording, length) for recording in recordings()}
        if each:
            yield from [Cut(name, length, found) for name, found in by_name.items() if found]
        elif everything := [window for found in by_name.values() for window in found]:
            yield Cut("all", length, everything)


def _row(cut: Cut) -> dict[str, object]:
    known = sum([int((window.values != ABSENT).sum()) for window in cut.windows])
    blobs = [encode_chunk(window) for window in cut.windows]
    window, blob = cut.windows[0], blobs[0]

    def per_value(sizes: list[int]) -> str:
        return f"{sum(sizes) / known:.2f}"

    return {
        "recording": cut.title,
        "samples": cut.samples,
        "chunks": len(blobs),
        "bytes": round(sum([len(each) for each in blobs]) / len(blobs)),
        "bytes_per_value": per_value([len(each) for each in blobs]),
        "differences_deflated": per_value([_deflated(each, 1) for each in cut.windows]),
        "integers_deflated": per_value([_deflated(each, 0) for each in cut.windows]),
        "encode_us": _microseconds(lambda: encode_chunk(window)),
        "decode_us": _microseconds(lambda: decode_chunk(blob)),
        "one_column_us": _microseconds(lambda: decode_columns(blob, [0])),
    }


def _deflated(samples: Samples, order: int) -> int:
    columns = [samples.at_ms, samples.sequence, *samples.values.T]
    table = np.diff(np.stack(columns), n=order, axis=1, prepend=0) if order else np.stack(columns)
    return len(zlib.compress(table.tobytes(), 9))


def _roll_up_row(recording: Recording, tier: str) -> dict[str, object]:
    rollup = roll_up(windows(recording, len(recording) - 1)[0], BUCKETS_MS[tier])
    blob = encode_rollup(rollup)
    return {
        "recording": recording.name,
        "tier": tier,
        "buckets": len(rollup),
        "bytes": len(blob),
        "bytes_per_bucket_and_metric": f"{len(blob) / int((rollup.known > 0).sum()):.2f}",
        "encode_us": _microseconds(lambda: encode_rollup(rollup)),
        "one_column_us": _microseconds(lambda: decode_rollup_columns(blob, [0])),
    }


def _microseconds(run: Callable[[], object]) -> int:
    timer = timeit.Timer(run, timer=time.thread_time)
    return round(min(timer.repeat(9, number=30)) / 30 * 1e6)


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--json", action="store_true", help="print JSON only")
    arguments.add_argument("--each", action="store_true", help="each recording for itself")
    chosen = arguments.parse_args()
    print_results([_row(cut) for cut in cuts(each=chosen.each)], as_json=chosen.json)
    print_results(
        [_roll_up_row(recording, tier) for recording in recordings() for tier in BUCKETS_MS],
        as_json=chosen.json,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
