"""Recordings of real core samples (`data/`): what the history's codec and benchmarks are fed with.

    python -m bench.history_samples record FILE --period 5 --seconds 600
    python -m bench.history_samples list

Recorded with the agent's own sampler on the grid of its beats, so that a family that is read every
30 s stands still in between as it does in a fleet. A recording holds times and the integers of
`Core`, and nothing that names a host. JSON, column by column as differences, compressed with xz.
"""

import argparse
import json
import lzma
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import trio

from agent.batch import trio_clock
from agent.collectors import collectors
from agent.host import host_inventory
from agent.sampler import Sampler
from shared.clock import wall_ms
from shared.families_settings import FamiliesSettings
from shared.inventory import Inventory
from shared.messages import FamilySample
from shared.metrics import metrics

DATA: Final = Path(__file__).parent / "data"

Column: TypeAlias = list[int | None]
"""The values of one metric, one per sample; None where it was not known."""


@dataclass(frozen=True)
class Recording:
    """The samples of one host over one stretch of time, in order."""

    name: str
    at_ms: list[int]
    """Unix time, when the beat went out."""
    columns: dict[str, Column]
    """By the metric's name; those of a later version than the recording's are missing."""

    def __len__(self) -> int:
        return len(self.at_ms)

    def column(self, name: str) -> Column:
        """One metric, None throughout where this recording is older than it."""
        return self.columns.get(name, [None] * len(self))


def load(path: Path) -> Recording:
    """One recording; its name is the file's."""
    document = json.loads(lzma.decompress(path.read_bytes()))
    columns = {name: _restored(column) for name, column in document["columns"].items()}
    at_ms = [at for at in _restored(document["at_ms"]) if at is not None]
    return Recording(path.name.removesuffix(".json.xz"), at_ms, columns)


def recordings() -> list[Recording]:
    """All that are kept here, by name."""
    return [load(path) for path in sorted(DATA.glob("*.json.xz"))]


def save(path: Path, recording: Recording) -> None:
    columns = {name: _differences(column) for name, column in recording.columns.items()}
    document = {"at_ms": _differences(list(recording.at_ms)), "columns": columns}
    text = json.dumps(document, separators=(",", ":")).encode()
    path.write_bytes(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))


def _differences(column: Column) -> Column:
    """Each value as its distance from the last one known, which compresses better as text."""
    last, result = 0, Column()
    for value in column:
        result.append(None if value is None else value - last)
        last = last if value is None else value
    return result


def _restored(differences: Column) -> Column:
    last, result = 0, Column()
    for difference in differences:
        last += difference or 0
        result.append(None if difference is None else last)
    return result


class _Nowhere:
    """A sink for what is not recorded."""

    def on_family(self, sample: FamilySample) -> None:
        del sample

    def on_inventory(self, inventory: Inventory) -> None:
        del inventory


async def _record(name: str, period_s: float, seconds: float) -> Recording:
    settings = FamiliesSettings()
    sampler = Sampler(
        collectors(settings),
        settings,
        host_inventory(settings, {}),
        _Nowhere(),
        clock=trio_clock(),
        wall_ms=wall_ms,
    )
    at_ms: list[int] = []
    rows: list[tuple[int | None, ...]] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(sampler.run)
        await sampler.ready.wait()
        begin_s = trio.current_time()
        for beat in range(1, 1 + int(seconds / period_s)):
            due_s = begin_s + beat * period_s
            sampler.align(due_s, period_s)
            await trio.sleep_until(due_s)
            at_ms.append(wall_ms())
            rows.append(msgspec.structs.astuple(sampler.core(trio.current_time())))
        nursery.cancel_scope.cancel()
    columns = {metric.name: [row[metric.index] for row in rows] for metric in metrics()}
    return Recording(name, at_ms, columns)


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = arguments.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="say what is kept")
    recorder = commands.add_parser("record", help="record this host")
    recorder.add_argument("file", type=Path)
    recorder.add_argument("--period", type=float, default=5.0, help="seconds between samples")
    recorder.add_argument("--seconds", type=float, default=600.0)
    chosen = arguments.parse_args()
    if chosen.command == "record":
        save(chosen.file, trio.run(_record, chosen.file.name, chosen.period, chosen.seconds))
        return 0
    for recording in recordings():
        seconds = (recording.at_ms[-1] - recording.at_ms[0]) // 1000
        known = sum([value is not None for c in recording.columns.values() for value in c])
        print(f"{recording.name:24} {len(recording):6} samples {seconds:6} s {known:8} values")
    return 0


if __name__ == "__main__":
    sys.exit(main())
