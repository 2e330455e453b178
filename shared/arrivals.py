"""When the next beat is due, learnt from how beats have been arriving.

An agent's clock and the master's are compared by the *offset*: arrival less the agent's monotonic
send time. The least offset of the last minutes is the fastest way that the link has shown, so
`due_s`, that offset on top of the time that the agent promised, is when the next beat can be here
at the earliest. By how much beats come later than that is kept as a peak that halves in ten
minutes: a link that was slow once is given more time for a while.

More than a period on a link that had always been in time is no slowness but an accident: a cut
cable, a stopped process, a suspended host. It is not believed until it happens again, or the next
accident would be noticed late because of the last one.

Both clocks are monotonic; no wall clock takes part. The receiver's is attentive
(`shared.attentive`).
"""

import math
from typing import Final

from msgspec import Struct

BUCKETS: Final = 6
BUCKET_BEATS: Final = 10
"""The least offset of the last 51 to 60 beats, in six numbers instead of sixty. It has to be
forgotten in the end, because two clocks drift: at 50 ppm by 15 ms in 60 beats of 5 s."""

PEAK_HALF_LIFE_S: Final = 600.0

PEAK_MOST_PERIODS: Final = 2.4
"""More lateness than this cannot widen a margin any further (`shared.liveness`); kept in full, the
hour that a host was suspended for would keep its margin wide for a day."""

RELEARN_PERIODS: Final = 1.0
"""A beat that is later than this starts the offset anew: either the agent's clock stood still (its
host was suspended) and never catches up, or the beat was slow and the next one on time restores
what was known."""

IN_TIME_PERIODS: Final = 0.1
"""A link whose peak is less than this has always been in time: of a lossy one, which is late now
and then, great lateness is believed at once."""

DOUBT_HALF_LIFE_S: Final = 3600.0
"""How long an accident is remembered, in case it becomes a habit."""


class Doubt(Struct, frozen=True, gc=False):
    """The greatest lateness that was not believed, as it stood at `at_s`."""

    late_s: float = 0.0
    at_s: float = 0.0


NO_DOUBT: Final = Doubt()


class Arrivals(Struct, frozen=True, gc=False):
    """What the beats of one link have shown. Made by `none_yet` or `first`, carried on by
    `observe`."""

    heard_s: float
    """When the last beat arrived."""
    due_s: float
    """When the next one can be here at the earliest."""
    peak_s: float
    """The greatest lateness, as it stood when the last beat arrived."""
    minimum_s: float
    """Least offset of the bucket that is being filled."""
    filled: int
    """How many beats are in that bucket; 0 before the first beat of all."""
    least_s: float = math.inf
    """Least offset of the full buckets."""
    minima_s: tuple[float, ...] = ()
    """Least offset of each full bucket, the newest last."""
    doubt: Doubt = NO_DOUBT


def none_yet(
    now_s: float, next_in_s: float, peak_s: float = 0.0, doubt: Doubt = NO_DOUBT
) -> Arrivals:
    """Before the first beat of a link that was made now."""
    return Arrivals(now_s, now_s + next_in_s, peak_s, math.inf, 0, doubt=doubt)


def first(
    now_s: float, mono_s: float, next_in_s: float, peak_s: float = 0.0, doubt: Doubt = NO_DOUBT
) -> Arrivals:
    """After the first beat of a link, which was sent at `mono_s` on the agent's clock."""
    return Arrivals(now_s, now_s + next_in_s, peak_s, now_s - mono_s, 1, doubt=doubt)


def observe(
    before: Arrivals, now_s: float, mono_s: float, next_in_s: float, period_s: float
) -> Arrivals:
    """After another beat of the same link. `period_s` is what the node is judged by: a node that is
    looked at beats, and promises, more often."""
    peak, late_s = peak_s(before, now_s), now_s - before.due_s
    if not before.filled:  # nothing was promised
        return first(now_s, mono_s, next_in_s, peak, before.doubt)
    if late_s > RELEARN_PERIODS * period_s:
        late_s = min(late_s, PEAK_MOST_PERIODS * period_s)
        if peak >= IN_TIME_PERIODS * period_s:
            return first(now_s, mono_s, next_in_s, max(peak, late_s), before.doubt)
        doubted_s = _doubted_s(before.doubt, now_s)
        doubt = Doubt(max(late_s, doubted_s), now_s)
        return first(now_s, mono_s, next_in_s, max(peak, min(late_s, doubted_s)), doubt)
    peak = max(peak, late_s)
    minimum_s, filled = before.minimum_s, before.filled
    least_s, minima_s = before.least_s, before.minima_s
    offset_s = now_s - mono_s
    if filled == BUCKET_BEATS:
        minima_s = (*minima_s[2 - BUCKETS :], minimum_s)
        least_s = min(minima_s)
        minimum_s, filled = offset_s, 0
    elif offset_s < minimum_s:
        minimum_s = offset_s
    fastest_s = min(least_s, minimum_s)
    due_s = fastest_s + mono_s + next_in_s
    return Arrivals(now_s, due_s, peak, minimum_s, filled + 1, least_s, minima_s, before.doubt)


def peak_s(arrivals: Arrivals, now_s: float) -> float:
    """The greatest lateness seen, halved for every ten minutes since."""
    if not arrivals.peak_s:
        return 0.0
    return float(arrivals.peak_s * 0.5 ** ((now_s - arrivals.heard_s) / PEAK_HALF_LIFE_S))


def _doubted_s(doubt: Doubt, now_s: float) -> float:
    return float(doubt.late_s * 0.5 ** ((now_s - doubt.at_s) / DOUBT_HALF_LIFE_S))
