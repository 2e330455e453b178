"""Stored samples as text: CSV, JSON lines, OpenMetrics.

Each writer is given the samples of one node after another, in order of time. CSV and JSON lines
have the integers of the wire under their own names, units included; OpenMetrics has base units.
"""

import csv
import io
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Final, NamedTuple, Protocol, Self

import msgspec
from msgspec import Struct

from shared.metrics import Core, Metric, metrics

_KEYS: Final = ("node", "node_id", "time", "boot_id", "sequence")


class Row(NamedTuple):
    """One sample of one node."""

    node: str
    node_id: str
    at_wall_ms: int
    boot_id: str
    sequence: int
    core: Core


class Writer(Protocol):
    """Writes samples to a stream; a context manager that ends the text when nothing went wrong."""

    def write(self, rows: Iterable[Row]) -> None:
        """The next samples."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class _Lines:
    """What formats have in common that need no end."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


class CsvWriter(_Lines):
    """A header, and a line per sample; what was not known is empty."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(stream)
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow([*_KEYS, *Core.__struct_fields__])

    def write(self, rows: Iterable[Row]) -> None:
        """The next samples."""
        self._writer.writerows(
            [*_keys(row).values(), *msgspec.structs.astuple(row.core)] for row in rows
        )


class JsonLinesWriter(_Lines):
    """An object per line; what was not known is null."""

    def write(self, rows: Iterable[Row]) -> None:
        """The next samples."""
        for row in rows:
            record = {**_keys(row), "core": msgspec.structs.asdict(row.core)}
            self._stream.write(msgspec.json.encode(record).decode() + "\n")


class OpenMetricsWriter:
    """OpenMetrics 1.0: a gauge per metric, with its unit, and every sample with its time.

    The format wants all of a metric together, and samples come node by node: a file per metric
    holds them until the end, beside where temporary files are.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._stack = ExitStack()
        self._files: Mapping[int, IO[str]]

    def __enter__(self) -> Self:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="heartline-")))
        self._files = {
            metric.index: self._stack.enter_context(
                (folder / metric.name).open("w+", encoding="utf-8")
            )
            for metric in metrics()
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            if kind is None:
                self._end()

    def write(self, rows: Iterable[Row]) -> None:
        """The next samples."""
        lines: dict[int, list[str]] = {index: [] for index in self._files}
        for row in rows:
            labels = f'node="{escaped(row.node)}",node_id="{escaped(row.node_id)}"'
            at = f"{row.at_wall_ms // 1000}.{row.at_wall_ms % 1000:03}"
            for exposed, value in zip(_EXPOSED, msgspec.structs.astuple(row.core), strict=True):
                if value is not None:
                    line = f"{exposed.name}{{{labels}}} {exposed.shown(value)} {at}\n"
                    lines[exposed.index].append(line)
        for index, some in lines.items():
            self._files[index].writelines(some)

    def _end(self) -> None:
        for exposed in _EXPOSED:
            file = self._files[exposed.index]
            if not file.tell():
                continue
            file.seek(0)
            self._stream.write(f"# TYPE {exposed.name} gauge\n")
            if exposed.unit:
                self._stream.write(f"# UNIT {exposed.name} {exposed.unit}\n")
            self._stream.write(f"# HELP {exposed.name} {escaped(exposed.help)}\n")
            while block := file.read(io.DEFAULT_BUFFER_SIZE):
                self._stream.write(block)
        self._stream.write("# EOF\n")


class Exposed(Struct, frozen=True):
    """A metric of `Core` as OpenMetrics names it, in base units."""

    index: int
    name: str
    unit: str
    help: str
    times: int
    divisor: int
    """The wire's integer times the one, divided by the other, is in base units."""

    def shown(self, value: int) -> str:
        """A value as it is written."""
        scaled = value * self.times
        return str(scaled) if self.divisor == 1 else repr(scaled / self.divisor)


_UNITS: Final[Mapping[str, tuple[str, str, int, int]]] = {
    # suffix in `Core`: suffix here, unit, times, divided by
    "_bp": ("_ratio", "ratio", 1, 10_000),
    "_centi": ("", "", 1, 100),
    "_dc": ("_celsius", "celsius", 1, 10),
    "_kib": ("_bytes", "bytes", 1024, 1),
    "_mhz": ("_hertz", "hertz", 1_000_000, 1),
    "_rpm": ("_rpm", "rpm", 1, 1),
    "_bytes_per_s": ("_bytes_per_second", "bytes_per_second", 1, 1),
    "_per_s": ("_per_second", "per_second", 1, 1),
    "_s": ("_seconds", "seconds", 1, 1),
}


def exposed(metric: Metric) -> Exposed:
    """How a metric is named and converted."""
    for suffix, (shown, unit, times, divisor) in _UNITS.items():
        if metric.name.endswith(suffix):
            name = f"heartline_{metric.name.removesuffix(suffix)}{shown}"
            return Exposed(metric.index, name, unit, metric.description, times, divisor)
    return Exposed(metric.index, f"heartline_{metric.name}", "", metric.description, 1, 1)


def escaped(text: str) -> str:
    """Text as it stands in a label's value or in a help line."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


_EXPOSED: Final = tuple(exposed(metric) for metric in metrics())


def _keys(row: Row) -> dict[str, str | int]:
    at = datetime.fromtimestamp(row.at_wall_ms // 1000, UTC)
    shown = f"{at:%Y-%m-%dT%H:%M:%S}.{row.at_wall_ms % 1000:03}Z"
    return {
        "node": row.node,
        "node_id": row.node_id,
        "time": shown,
        "boot_id": row.boot_id,
        "sequence": row.sequence,
    }


WRITERS: Final[Mapping[str, Callable[[IO[str]], Writer]]] = {
    "csv": CsvWriter,
    "jsonl": JsonLinesWriter,
    "openmetrics": OpenMetricsWriter,
}
"""By the names that people give them."""
