"""What the history costs on disk and of the processor, and how soon it answers, beside Prometheus
and VictoriaMetrics, which are given the same values in the same run.

    python -m bench.history [--only kept|written|asked|fleets] [--nodes 10] [--hours 24] [--days 31]
                            [--written 500] [--fleet 1000 --fleet 10000] [--rounds 3] [--json]

Needs Debian's packages prometheus and victoria-metrics; one that is missing is left out, and it
says so. Values are those of the recordings in `data/`, played by many nodes
(`bench.history_fleet`): "once", for as long as the recording is, no value of a series comes twice.
Played on for a day, what was recorded comes again after twice its length, 100 minutes. Our chunks
and those of Prometheus look back for less than that. VictoriaMetrics looks back for half a day, and
would be measured by what it finds again: it is asked after a day, but not weighed.

*Bytes a value* are those of the files, indexes and all, for each value that was known; ours with
every tier of roll-ups and everything else in `master/history/schema.sql` but for families, which
are not recorded. All that has arrived is compacted, and all windows that are over are folded.
*Values per second* are of one processor: ours with take, commits, compaction, folding and checks;
Prometheus' with promtool reading lines and making blocks, without a log of its own;
VictoriaMetrics' with reading lines, and all of its merges. Questions to the others go over HTTP on
loopback; ours are asked in this process, and their answer is arrays.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import history_asked as asked
from bench.baselines import MissingBaselineError
from bench.databases import BLOCK_MS, Asked, Kept, feed_prometheus, prometheus, victoria_metrics
from bench.history_asked import SPANS_MS, Times
from bench.history_fleet import Fleet
from bench.history_kept import AS_IT_IS, Pace, keep, on_disk, shares
from bench.history_samples import Recording, recordings
from bench.tables import print_results

Row = dict[str, object]

HOUR_MS = 3_600_000
TOGETHER_MS = 500
"""The beats of a few nodes fall into one commit."""

ONCE_TIMES = 5
"""So many times the nodes, where the time is short."""

SWIFTLY = Pace(300_000, 86_400)
"""Where it is not the writing that is measured: what comes of it is the same."""

FLEET_MS = 780_000
"""Long enough for one compaction of every node, and for some of it to wait for the next."""

COMPACTED_MS = (60_000, 180_000)
RECENT_MS = (660_000, 780_000)
"""Since the fleet's begin: in chunks by then, and still in the journal for most of its nodes."""

COMPARED_NODES = 1_000
"""The others are asked of no more: they take minutes to be fed."""

WRITTEN_MS = 65 * 60_000
"""Every node has a window that is over and folded."""

OURS, PROMETHEUS, VICTORIA_METRICS = "heartline", "prometheus", "victoriametrics"
THEIRS = (PROMETHEUS, VICTORIA_METRICS)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=("kept", "written", "asked", "fleets"), action="append")
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--hours", type=int, default=24, help="that they play on")
    parser.add_argument("--days", type=int, default=31, help="that one node plays on")
    parser.add_argument("--fleet", type=int, action="append", help="nodes; more than once")
    parser.add_argument("--written", type=int, default=500, help="nodes that write")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    chosen = parser.parse_args()
    only = chosen.only or ("kept", "written", "asked", "fleets")
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "kept": lambda: _kept(chosen.nodes, chosen.hours),
        "written": lambda: _written(chosen.written, chosen.rounds),
        "asked": lambda: _asked(chosen.nodes, chosen.hours, chosen.days, chosen.questions),
        "fleets": lambda: _fleets(chosen.fleet or [1_000, 10_000], chosen.questions // 4),
    }
    for name, rows in parts.items():
        if name in only:
            print_results(list(rows()), as_json=chosen.json)
    return 0


def _fleet(recording: Recording, nodes: int, length_ms: int, spread_ms: int | None) -> Fleet:
    """One that has lately ended, and begins where windows and blocks do; `length_ms` is 0 for
    that of the recording."""
    period_ms = round((recording.at_ms[-1] - recording.at_ms[0]) / (len(recording) - 1) / 500) * 500
    samples = length_ms // period_ms if length_ms else len(recording) - 1
    begin_ms = time.time_ns() // 1_000_000 - samples * period_ms
    return Fleet(
        recording,
        nodes,
        samples,
        period_ms,
        begin_ms // BLOCK_MS * BLOCK_MS,
        spread_ms or period_ms,
    )


def _of_period_5_s() -> Recording:
    return next(recording for recording in recordings() if recording.name.endswith("5s"))


# --- bytes a value, and seconds of the processor --------------------------------------------------


def _kept(nodes: int, hours: int) -> Iterator[Row]:
    for recording in recordings():
        once = _fleet(recording, ONCE_TIMES * nodes, 0, TOGETHER_MS)
        yield from _kept_by_each(f"{recording.name}, once", once, THEIRS)
    day = _fleet(_of_period_5_s(), nodes, hours * HOUR_MS, TOGETHER_MS)
    yield from _kept_by_each(f"{day.recording.name}, {hours} h", day, (PROMETHEUS,))


def _kept_by_each(title: str, fleet: Fleet, theirs: tuple[str, ...]) -> Iterator[Row]:
    with _folder() as folder:
        yield _our_row(title, fleet, folder)
    for name in theirs:
        with _folder() as folder, _fed(name, folder, fleet) as (kept, _):
            yield _their_row(title, name, fleet, kept)


def _our_row(title: str, fleet: Fleet, folder: Path) -> Row:
    cpu_s = keep(folder / "history.db", fleet, AS_IT_IS, settle=True)
    size = {share.name: share.size_bytes for share in shares(folder / "history.db")}
    whole = on_disk(folder)
    tiers = ("samples", "1 min", "15 min", "2 h", "instants")
    return {
        "fed": title,
        "program": OURS,
        "values": fleet.values,
        "bytes_per_value": _ratio(whole, fleet.values),
        **{name: _ratio(size.get(name, 0), fleet.values) for name in tiers},
        "free": _ratio(size["free pages"], fleet.values),
        "rest": _ratio(
            whole - size["free pages"] - sum(size.get(name, 0) for name in tiers), fleet.values
        ),
        "values_per_s": round(fleet.values / cpu_s),
    }


def _their_row(title: str, name: str, fleet: Fleet, kept: Kept | None) -> Row:
    size = None if kept is None else kept.size_bytes
    index = None if kept is None else kept.index_bytes
    return {
        "fed": title,
        "program": name,
        "values": fleet.values,
        "bytes_per_value": _ratio(size, fleet.values),
        "samples": "–" if size is None or index is None else _ratio(size - index, fleet.values),
        **dict.fromkeys(("1 min", "15 min", "2 h", "instants", "free"), "–"),
        "rest": _ratio(index, fleet.values),
        "values_per_s": "–" if kept is None else round(fleet.values / kept.cpu_s),
    }


def _written(nodes: int, rounds: int) -> Iterator[Row]:
    fleet = _fleet(_of_period_5_s(), nodes, WRITTEN_MS, None)
    cpu_s: list[float] = []
    for _ in range(rounds):
        with _folder() as folder:
            cpu_s.append(keep(folder / "history.db", fleet, AS_IT_IS, settle=True))
    samples = fleet.nodes * fleet.samples
    yield {
        "program": OURS,
        "nodes": nodes,
        "samples": samples,
        "us_per_sample": [round(each / samples * 1e6, 1) for each in cpu_s],
        "samples_per_s": round(samples / statistics.median(cpu_s)),
        "values_per_s": round(fleet.values / statistics.median(cpu_s)),
    }


# --- how soon it answers --------------------------------------------------------------------------


def _asked(nodes: int, hours: int, days: int, count: int) -> Iterator[Row]:
    recording = _of_period_5_s()
    for fleet, spans, theirs in (
        (_fleet(recording, nodes, hours * HOUR_MS, TOGETHER_MS), ("1 h", "1 d"), THEIRS),
        (_fleet(recording, 1, days * 24 * HOUR_MS, TOGETHER_MS), ("7 d", "30 d"), ()),
    ):
        spans_ms = {name: SPANS_MS[name] for name in spans if SPANS_MS[name] <= fleet.length_ms}
        with _folder() as folder:
            keep(folder / "history.db", fleet, SWIFTLY, settle=True)
            for span, every_metric, drawn in _each(fleet, spans_ms, count):
                times = asked.ours_of_nodes(folder / "history.db", drawn, every_metric=every_metric)
                yield _answer_row(span, every_metric, OURS, times)
        for name in theirs:
            with _folder() as folder, _fed(name, folder, fleet) as (_, database):
                for span, every_metric, drawn in _each(fleet, spans_ms, count):
                    if database is not None:
                        times = asked.theirs_of_nodes(database, drawn, every_metric=every_metric)
                        yield _answer_row(span, every_metric, name, times)


def _each(
    fleet: Fleet, spans_ms: dict[str, int], count: int
) -> Iterator[tuple[str, bool, list[asked.Question]]]:
    for span, span_ms in spans_ms.items():
        for every_metric in (False, True):
            yield span, every_metric, asked.questions(fleet, span_ms, count)


def _answer_row(span: str, every_metric: bool, program: str, times: Times) -> Row:
    what = "all metrics of a node" if every_metric else "one metric of a node"
    return {"asked": f"{what}, {span}", "program": program, **_times(times)}


def _fleets(sizes: list[int], count: int) -> Iterator[Row]:
    for nodes in sizes:
        fleet = _fleet(_of_period_5_s(), nodes, FLEET_MS, None)
        whens = {"compacted": COMPACTED_MS, "recent": RECENT_MS}
        drawn = {
            when: asked.instants(fleet.begin_ms + first, fleet.begin_ms + last, count)
            for when, (first, last) in whens.items()
        }
        with _folder() as folder:
            keep(folder / "history.db", fleet, AS_IT_IS, settle=False)
            for when, at_ms in drawn.items():
                times = asked.ours_of_fleet(folder / "history.db", at_ms)
                yield {"asked": f"{nodes:,} nodes, {when}", "program": OURS, **_times(times)}
        for name in THEIRS if nodes <= COMPARED_NODES else ():
            with _folder() as folder, _fed(name, folder, fleet) as (_, database):
                for when, at_ms in drawn.items():
                    if database is not None:
                        times = asked.theirs_of_fleet(database, at_ms)
                        yield {
                            "asked": f"{nodes:,} nodes, {when}",
                            "program": name,
                            **_times(times),
                        }


def _times(times: Times) -> Row:
    return {
        "p50_ms": round(times.p50_ms, 1),
        "p99_ms": round(times.p99_ms, 1),
        "cpu_ms": round(times.cpu_ms, 1),
        "found": times.found,
    }


# --- what all of them need ------------------------------------------------------------------------


@contextmanager
def _fed(name: str, folder: Path, fleet: Fleet) -> Generator[tuple[Kept | None, Asked | None]]:
    """Another program with a fleet's samples, and what they cost; nothing where it is missing."""
    try:
        if name == PROMETHEUS:
            kept = feed_prometheus(folder, fleet)
            with prometheus(folder) as database:
                yield kept, database
        else:
            with victoria_metrics(folder) as database:
                yield database.feed(fleet), database
    except MissingBaselineError as error:
        sys.stderr.write(f"{error}; left out\n")
        yield None, None


@contextmanager
def _folder() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="heartline-") as folder:
        yield Path(folder)


def _ratio(size: float | None, values: int) -> str:
    return "–" if size is None else f"{size / values:.3f}"


if __name__ == "__main__":
    sys.exit(main())
