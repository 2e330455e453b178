"""How long questions about the past take: of one node's series, and of the whole fleet at an
instant; the same of ours and of others, at instants that are drawn by lot from the same seed.
"""

import math
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import trio

from bench.databases import Asked
from bench.history_fleet import Fleet
from bench.history_kept import inline
from master.history.queries import Queries
from shared.metrics import metrics

Asking = TypeVar("Asking")

POINTS: Final = 300
SEED: Final = 1
HOUR_MS: Final = 3_600_000

SPANS_MS: Final = {
    "1 h": HOUR_MS,
    "1 d": 24 * HOUR_MS,
    "7 d": 7 * 24 * HOUR_MS,
    "30 d": 30 * 24 * HOUR_MS,
}

METRIC: Final = "cpu_busy_bp"
_INDEX: Final = next(metric.index for metric in metrics() if metric.name == METRIC)


class Times(NamedTuple):
    """Of many questions of one kind."""

    p50_ms: float
    p99_ms: float
    cpu_ms: float
    """Of this process, on average; what another process did is not in it."""
    found: int
    """Points or values in the last answer."""


class Question(NamedTuple):
    """Of one node's past."""

    node_id: str
    from_ms: int
    to_ms: int


def questions(fleet: Fleet, span_ms: int, count: int) -> list[Question]:
    """Spans so long of nodes of the fleet, wherever there is room for them."""
    lot = random.Random(SEED)
    room_ms = fleet.length_ms - span_ms
    drawn: list[Question] = []
    for _ in range(count):
        from_ms = fleet.begin_ms + lot.randint(0, room_ms)
        drawn.append(Question(lot.choice(fleet.node_ids), from_ms, from_ms + span_ms))
    return drawn


def instants(from_ms: int, to_ms: int, count: int) -> list[int]:
    """So many between two."""
    lot = random.Random(SEED)
    return [lot.randint(from_ms, to_ms) for _ in range(count)]


def ours_of_nodes(path: Path, asked: list[Question], *, every_metric: bool) -> Times:
    """Least, mean and most of one metric, or of all of them, in about `POINTS` steps."""
    columns = range(len(metrics())) if every_metric else [_INDEX]
    queries = Queries(path, inline)

    async def ask(question: Question) -> int:
        found = await queries.series(
            question.node_id, columns, question.from_ms, question.to_ms, POINTS
        )
        return 0 if found is None else int((found.steps.known > 0).sum())

    return _timed(lambda question: trio.run(ask, question), asked)


def ours_of_fleet(path: Path, at_ms: list[int]) -> Times:
    """Every node with all of its values."""
    queries = Queries(path, inline)

    async def ask(instant_ms: int) -> int:
        return len(await queries.fleet_at(instant_ms))

    return _timed(lambda each: trio.run(ask, each), at_ms)


def theirs_of_nodes(database: Asked, asked: list[Question], *, every_metric: bool) -> Times:
    """The last value before each of `POINTS` instants."""
    metric = "" if every_metric else METRIC

    def ask(question: Question) -> int:
        selector = f'{metric}{{instance="{question.node_id}"}}'
        return database.series(selector, question.from_ms, question.to_ms, POINTS)

    return _timed(ask, asked)


def theirs_of_fleet(database: Asked, at_ms: list[int]) -> Times:
    """All values of all nodes."""
    return _timed(lambda each: database.instant('{instance=~".+"}', each), at_ms)


def _timed(ask: Callable[[Asking], int], questions: Sequence[Asking]) -> Times:
    ask(questions[0])  # what is only done once is not counted
    found = 0
    taken_ms: list[float] = []
    cpu_s = time.process_time()
    for question in questions:
        began_s = time.perf_counter()
        found = ask(question)
        taken_ms.append((time.perf_counter() - began_s) * 1000)
    cpu_s = time.process_time() - cpu_s
    return Times(
        percentile(taken_ms, 0.5), percentile(taken_ms, 0.99), cpu_s / len(questions) * 1000, found
    )


def percentile(values: list[float], part: float) -> float:
    """The least of the values that so large a part of them is not above."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]
