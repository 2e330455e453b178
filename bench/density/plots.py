"""Plots and a table from the results that `python -m bench.density --out FILE` has collected.

    python -m bench.density.plots FILE FOLDER

Writes FOLDER/density-*.svg, each where there are results for it, and prints the table for the
documentation. Of results for the same thing the latest one counts: µs a beat and memory by server
and rate, delays and the curves of linking by server for its most links.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from bench.density.chart import Axis, Point, Series, chart, linear, logarithmic, nines
from bench.density.figures import CURVE

Result: TypeAlias = Mapping[str, Any]

_DELAYS: Final = (
    ("ack", "acknowledged"),
    ("confirmed", "on disk"),
    ("viewers_1_seen", "in a viewer's model"),
    ("screen", "on a screen"),
)

_POINTS: Final = 60
"""More of them would hide the line."""

_COLUMNS: Final = (
    ("server", "server"),
    ("links", "links"),
    ("beats_per_s", "beats/s"),
    ("us_per_beat", "µs a beat"),
    ("cpu_percent", "% of a core"),
    ("kb_per_link", "kB a link"),
    ("handshake_ms", "ms a handshake"),
    ("ack_p50_ms", "ack p50, ms"),
    ("ack_p99_ms", "p99"),
    ("ack_p999_ms", "p99.9"),
    ("linked_s", "linked, s"),
    ("storm_s", "storm, s"),
    ("others_percent", "others, % of a core"),
)


def read(path: Path) -> list[Result]:
    """The results in a file, in the order in which they were made. A master with workers is a
    server of its own."""
    return [_named(json.loads(line)) for line in path.read_text().splitlines()]


def plots(results: Sequence[Result]) -> dict[str, str]:
    """The SVG files that can be made of these results, by name."""
    makers: dict[str, Callable[[Sequence[Result]], str | None]] = {
        "density-cpu.svg": _cpu,
        "density-delays.svg": _delays,
        "density-linking.svg": _linking,
        "density-limit.svg": _limit,
    }
    made = {name: make(results) for name, make in makers.items()}
    return {name: text for name, text in made.items() if text is not None}


def table(results: Sequence[Result]) -> str:
    """Markdown: a line for each server and number of beats a second."""
    head = [title for _, title in _COLUMNS]
    rows = _latest(results, _case)
    cells = [[_text(row.get(key, "-")) for key, _ in _COLUMNS] for row in rows]
    lines = [head, ["---"] * len(head), *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cpu(results: Sequence[Result]) -> str | None:
    rows = _latest(results, _case)
    series = [
        Series(
            name,
            sorted((row["beats_per_s"], row["us_per_beat"]) for row in rows if _is(row, name)),
        )
        for name in _names(rows)
    ]
    return _drawn("Processor time of the server for each beat", series, "beats/s", "µs a beat")


def _delays(results: Sequence[Result]) -> str | None:
    series = [
        Series(f"{row['server']}: {word}", _known(row.get(f"{key}{CURVE}", ())))
        for row in _largest(results)
        for key, word in _DELAYS
        if key != "confirmed" or row["server"].startswith("heartline")
    ]
    series = [each for each in series if each.points]
    if not series:
        return None
    up = logarithmic("ms since the beat was sent", [y for each in series for _, y in each.points])
    return chart("How soon a beat is answered and seen", nines("part of all beats"), up, series)


def _linking(results: Sequence[Result]) -> str | None:
    series = [
        Series(f"{row['server']}: {word}", _thinned(row[key]))
        for row in _largest(results)
        for key, word in ((f"linking{CURVE}", "cold start"), (f"storm{CURVE}", "after a kill"))
        if key in row
    ]
    return _drawn("Links after all agents begin to dial", series, "seconds", "links")


def _limit(results: Sequence[Result]) -> str | None:
    rows = [row for row in _largest(results) if row.get(f"limit{CURVE}")]
    parts = (("server_percent", "server"), ("load_percent", "load"))
    series = [
        Series(
            f"{row['server']}: {word}",
            [(step["sent_per_s"], step[key]) for step in row[f"limit{CURVE}"]],
        )
        for row in rows
        for key, word in parts
    ]
    return _drawn("Processor time as the agents beat faster", series, "beats/s", "% of a core")


def _drawn(title: str, series: Sequence[Series], across: str, up: str) -> str | None:
    points = [point for each in series for point in each.points]
    if not points:
        return None
    axes: tuple[Axis, Axis] = (
        linear(across, [x for x, _ in points]),
        linear(up, [y for _, y in points]),
    )
    return chart(title, *axes, series)


def _thinned(curve: Sequence[Sequence[Any]]) -> list[Point]:
    """At most so many points of a curve, the last one among them."""
    every = math.ceil(len(curve) / _POINTS)
    return [(at_s, linked) for at_s, linked in curve[::-every][::-1]]


def _known(points: Iterable[Sequence[Any]]) -> list[Point]:
    # Of none there is no delay, and what is the last of all has no place among the nines.
    return [(part, delay) for part, delay in points if delay != "-" and part < 1]


def _named(row: Result) -> Result:
    workers = row["options"]["workers"]
    if row["server"] != "heartline" or not workers:
        return row
    return {**row, "server": f"heartline, {workers} workers"}


def _case(row: Result) -> object:
    """What is measured again when this is the same."""
    return row["server"], row["links"], row["options"]["period"]


def _latest(results: Iterable[Result], key: Callable[[Result], object]) -> list[Result]:
    return list({key(row): row for row in results}.values())


def _largest(results: Sequence[Result]) -> list[Result]:
    """By server, the latest of those with the most links."""
    most = {
        name: max(row["links"] for row in results if _is(row, name)) for name in _names(results)
    }
    fitting = [row for row in results if row["links"] == most[row["server"]]]
    return _latest(fitting, lambda row: row["server"])


def _names(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(row["server"] for row in results))


def _is(row: Result, name: str) -> bool:
    return bool(row["server"] == name)


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, help="as --out has written it")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    results = read(given.results)
    given.folder.mkdir(parents=True, exist_ok=True)
    for name, text in plots(results).items():
        (given.folder / name).write_text(text)
        sys.stderr.write(f"{given.folder / name}\n")
    print(table(results), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
