"""What was unusual just before an instant: which of a node's metrics had left their usual band.

Pure. A metric's band is its median and how far its values usually are from it (the median absolute
deviation): a single wild value moves neither. It is taken of the hour before, and of the same time
the day before: what happens every night at three is not news.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Final, NamedTuple

from shared.families import Process
from shared.messages import Series
from shared.metrics import Metric, metrics

LAST_MS: Final = 5 * 60_000
"""The last minutes, in which something may have changed."""

USUAL_MS: Final = 60 * 60_000
"""What they are compared with: as much before them."""

DAY_MS: Final = 24 * 60 * 60_000

SHOWN_MOST: Final = 8
UNUSUAL: Final = 4.0
"""So many spreads beyond the median. Of values that are spread evenly one in ten thousand is."""

_LEAST_VALUES: Final = 5
"""Fewer say nothing of what is usual."""

_SIGMA: Final = 1.4826
"""Makes a median absolute deviation comparable with a standard deviation."""

_LEAST_SPREAD: Final[Mapping[str, float]] = {
    "ratio": 100,
    "load": 25,
    "°C": 10,
    "KiB": 8 * 1024,
    "MHz": 100,
    "rpm": 100,
    "B/s": 32 * 1024,
    "/s": 50,
    "count": 1,
}
"""By unit, in what travels: values that keep so close together are noise."""

_PART_SPREAD: Final = 0.03
"""The same as a part of the median."""

_NO_NEWS: Final = frozenset(
    {
        "cpu_count",
        "memory_total_kib",
        "swap_total_kib",
        "filesystem_fullest",
        "uptime_s",
        "cpu_frequency_mhz",
    }
)
"""Metrics that say what a host is, and one that always grows."""

_KIN: Final[Mapping[str, str]] = {
    "memory_available_kib": "memory_used_bp",
    "memory_free_kib": "memory_used_bp",
    "load_5m_centi": "load_1m_centi",
    "load_15m_centi": "load_1m_centi",
    "cpu_user_bp": "cpu_busy_bp",
    "filesystem_free_min_kib": "filesystem_used_max_bp",
}
"""Metrics that tell the same story as another one: the one that is further out tells it."""

GROWN_LEAST_BYTES: Final = 32 * 2**20
"""What a process must have grown by, or a new one be as large as, to be told of."""

GROWN_CPU: Final = 0.25
"""Or so much of a processor that it takes more."""


class Change(NamedTuple):
    """One metric that left its band. Values as they travel."""

    metric: Metric
    usual: float
    then: float
    distance: float
    """In spreads."""
    course: Sequence[float | None]
    """The hour and the minutes after it, step by step."""


class Growth(NamedTuple):
    """One process that grew."""

    process: Process
    """As it was at the end."""
    before: Process | None
    """As it was before; None: it was not there, or not among the largest."""


def ranked(told: Series, day_before: Series | None, end_wall_ms: int) -> Sequence[Change]:
    """The metrics that were furthest out in the last minutes before `end_wall_ms`, at most
    `SHOWN_MOST` of them; `day_before` covers the same times a day earlier."""
    known = {metric.name: metric for metric in metrics()}
    before = {each.metric: each for each in day_before.series} if day_before else {}
    found: dict[str, Change] = {}
    for each in told.series:
        if each.metric in _NO_NEWS or each.metric not in known:
            continue
        usual, last = _parted(told.at_wall_ms, each.mean, end_wall_ms)
        yesterday = before.get(each.metric)
        values = [value for value in yesterday.mean if value is not None] if yesterday else []
        course = tuple(each.mean)
        change = _change(known[each.metric], usual, last, values, course)
        kin = _KIN.get(each.metric, each.metric)
        if change and (kin not in found or found[kin].distance < change.distance):
            found[kin] = change
    return sorted(found.values(), key=lambda change: -change.distance)[:SHOWN_MOST]


def grown(before: Iterable[Process], then: Iterable[Process]) -> Sequence[Growth]:
    """The processes that took more memory, or more of the processors, than before; those that grew
    most come first."""
    known = {(process.pid, process.name): process for process in before}
    found: list[Growth] = []
    for process in then:
        growth = Growth(process, known.get((process.pid, process.name)))
        more_cpu = (process.cpu_ratio or 0.0) - (
            growth.before.cpu_ratio or 0.0 if growth.before else 0.0
        )
        if grown_bytes(growth) >= GROWN_LEAST_BYTES or more_cpu >= GROWN_CPU:
            found.append(growth)
    found.sort(key=lambda growth: -grown_bytes(growth))
    return found[:SHOWN_MOST]


def grown_bytes(growth: Growth) -> int:
    """By how much a process grew; a new one by all that it has."""
    return growth.process.rss_bytes - (growth.before.rss_bytes if growth.before else 0)


def _parted(
    at_wall_ms: Sequence[int], means: Sequence[float | None], end_wall_ms: int
) -> tuple[list[float], list[float]]:
    usual: list[float] = []
    last: list[float] = []
    for at_ms, mean in zip(at_wall_ms, means, strict=True):
        if mean is not None and at_ms < end_wall_ms:
            (last if at_ms >= end_wall_ms - LAST_MS else usual).append(mean)
    return usual, last


def _change(
    metric: Metric,
    usual: Sequence[float],
    last: Sequence[float],
    yesterday: Sequence[float],
    course: Sequence[float | None],
) -> Change | None:
    if len(usual) < _LEAST_VALUES or not last:
        return None
    middle = median(usual)
    then = max(last, key=lambda value: abs(value - middle))
    distance = _distance(then, usual, metric)
    if len(yesterday) >= _LEAST_VALUES:
        distance = min(distance, _distance(then, yesterday, metric))
    return Change(metric, middle, then, distance, course) if distance >= UNUSUAL else None


def _distance(value: float, usual: Sequence[float], metric: Metric) -> float:
    middle = median(usual)
    spread = _SIGMA * median(abs(each - middle) for each in usual)
    least = max(_LEAST_SPREAD.get(metric.unit, 1), _PART_SPREAD * abs(middle))
    return abs(value - middle) / max(spread, least)
