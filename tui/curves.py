"""How a node's vital signs went over hours, days and weeks: what the master's history tells, made
ready to draw.

Pure: questions are handed to `send`. Of a stretch that is drawn as one dot there is the mean, and
the highest value; a stretch without a sample is a gap.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from shared.messages import Failed, FromMaster, FromViewer, GetSeries, Series
from shared.text import clean
from tui.asking import Asking
from tui.trail import FIELDS, HOLD_PERIODS, Trail

_NAMES: Final = tuple(field.metric for field in FIELDS.values())
_PLACES: Final = {name: place for place, name in enumerate(FIELDS)}

_TIERS: Final = {0: "samples", 60_000: "1-min tier", 900_000: "15-min tier", 7_200_000: "2-h tier"}


class Stretch(NamedTuple):
    """What is drawn."""

    node_id: str
    begin_wall_ms: int
    end_wall_ms: int
    points: int


class Dot(NamedTuple):
    """What one column of dots stands for."""

    mean: float
    most: float


class Curves:
    """Those of one node over one span."""

    def __init__(self, send: Callable[[FromViewer], None], numbers: Iterator[int]) -> None:
        self.problem = ""
        """Why there are none."""
        self._asked: Stretch | None = None
        self._series: Series | None = None
        self._stretch: Stretch | None = None
        self._asking = Asking[Stretch](
            lambda number, what: send(
                GetSeries(
                    number, what.node_id, _NAMES, what.begin_wall_ms, what.end_wall_ms, what.points
                )
            ),
            numbers,
        )

    def __repr__(self) -> str:
        return f"<Curves of {self._stretch}>"

    def want(self, stretch: Stretch, now_s: float, *, is_past: bool) -> None:
        """Has this stretch told; a live one anew only when it has gone on by a dot."""
        before = self._asked
        if before is not None and before.node_id == stretch.node_id:
            patience_ms = 0 if is_past else _dot_ms(stretch)
            is_as_long = _length_ms(before) == _length_ms(stretch)
            moved_ms = abs(stretch.end_wall_ms - before.end_wall_ms)
            if is_as_long and before.points == stretch.points and moved_ms <= patience_ms:
                return
        self._asked = stretch
        self._asking.want(stretch, now_s)

    def again(self, now_s: float) -> None:
        """Another link."""
        self._asking.again(now_s)

    def forget(self) -> None:
        """Another node, or none: nothing is wanted."""
        self._asking.drop()
        self._asked = self._stretch = self._series = None
        self.problem = ""

    def take(self, message: FromMaster, now_s: float) -> bool:
        """Takes in an answer; False: it is none to the question that is open."""
        if not isinstance(message, Series | Failed):
            return False
        asked = self._asking.answered(message.request, now_s)
        if asked is None:
            return False
        self._stretch = asked
        self._series = message if isinstance(message, Series) else None
        self.problem = clean(message.text) if isinstance(message, Failed) else ""
        return True

    def source(self, node_id: str) -> str:
        """Where the values come from, as a title says it."""
        if self._stretch is None or self._stretch.node_id != node_id:
            return "asking …"
        if self._series is None:
            return self.problem
        tier_ms = self._series.tier_ms
        return f"from the {_TIERS.get(tier_ms, f'{tier_ms // 1000}-s tier')}"

    def dots(self, stretch: Stretch, field: str, count: int) -> Sequence[Dot | None]:
        """A field of `tui.trail.Reading` over a stretch in `count` equal parts.

        A value holds until the next one, but not for much longer than they are apart: beyond that
        there is a gap.
        """
        series = self._series
        if series is None or series.node_id != stretch.node_id or not count:
            return (None,) * count
        told = series.series[_PLACES[field]]
        whole = FIELDS[field].whole
        sums, weights, most = [0.0] * count, [0.0] * count, [0.0] * count
        dot_ms = _length_ms(stretch) / count
        starts = series.at_wall_ms
        hold_ms = _hold_ms(series)
        for place, start_ms in enumerate(starts):
            mean, highest = told.mean[place], told.most[place]
            if mean is None:
                continue
            end_ms = start_ms + hold_ms
            if place + 1 < len(starts):
                end_ms = min(end_ms, starts[place + 1])
            begin, end = start_ms - stretch.begin_wall_ms, end_ms - stretch.begin_wall_ms
            first, last = max(0, int(begin // dot_ms)), min(count - 1, int((end - 1) // dot_ms))
            for dot in range(first, last + 1):
                weight = min(end, (dot + 1) * dot_ms) - max(begin, dot * dot_ms)
                sums[dot] += mean / whole * weight
                weights[dot] += weight
                most[dot] = max(most[dot], (mean if highest is None else highest) / whole)
        return [
            Dot(total / weight, highest) if weight > 0 else None
            for total, weight, highest in zip(sums, weights, most, strict=True)
        ]


def with_tail(
    dots: Sequence[Dot | None], trail: Trail, field: str, now_ms: float, dot_ms: float
) -> Sequence[Dot | None]:
    """The dots that the history has not told yet are filled from the samples of the last minutes;
    `now_ms` is on the clock of the trail."""
    held = len(dots)
    while held and dots[held - 1] is None:
        held -= 1
    step_ms = max(1, round(dot_ms))
    latest = trail.series(field, now_ms, step_ms=step_ms, count=len(dots) - held)
    return [*dots[:held], *(None if value is None else Dot(value, value) for value in latest)]


def _hold_ms(series: Series) -> int:
    """How long a value is believed: as long as nearly all of them are apart, and half as much."""
    apart = sorted(later - earlier for earlier, later in pairwise(series.at_wall_ms))
    usual_ms = apart[len(apart) * 9 // 10] if apart else 0
    if usual_ms <= series.step_ms:
        return series.step_ms
    return round(HOLD_PERIODS * usual_ms)


def _length_ms(stretch: Stretch) -> int:
    return stretch.end_wall_ms - stretch.begin_wall_ms


def _dot_ms(stretch: Stretch) -> float:
    return _length_ms(stretch) / max(1, stretch.points)
