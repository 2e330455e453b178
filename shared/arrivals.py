"""When the next beat is due, learnt from how beats have been arriving.

An agent's clock and the master's are compared by the *offset*: arrival less the agent's monotonic
send time. The least offset of the last minutes is the fastest way that the link has shown, so
`due_s`, that offset on top of the time that the agent promised, is when the next beat can be here
at the earliest. By how much beats come later than that is kept as a peak that halves in ten
minutes: a link that was slow once is given more time for a while.

Both clocks are monotonic; no wall clock takes part. The receiver's is attentive
(`shared.attentive`).
"""

from typing import Final

from msgspec import Struct

BUCKETS: Final = 6
BUCKET_BEATS: Final = 10
"""The least offset of the last 51 to 60 beats, in six numbers instead of sixty. It has to be
forgotten in the end, because two clocks drift: at 50 ppm by 15 ms in 60 beats of 5 s."""

PEAK_HALF_LIFE_S: Final = 600.0

JUMP_PERIODS: Final = 4.0
"""A beat that is later than the longest margin there is did not travel for so long: the agent's
clock stood still (its host was suspended). What was learnt of the offset is void."""


class Arrivals(Struct, frozen=True, gc=False):
    """What the beats of one link have shown. Made by `first`, carried on by `observe`."""

    heard_s: float
    """When the last beat arrived."""
    due_s: float
    """When the next one can be here at the earliest."""
    peak_s: float
    """The greatest lateness, as it stood when the last beat arrived."""
    minimum_s: float
    """Least offset of the bucket that is being filled."""
    filled: int
    minima_s: tuple[float, ...] = ()
    """Least offset of each full bucket, the newest last."""


def first(now_s: float, mono_s: float, next_in_s: float, peak_s: float = 0.0) -> Arrivals:
    """After the first beat of a link, which was sent at `mono_s` on the agent's clock."""
    return Arrivals(now_s, now_s + next_in_s, peak_s, now_s - mono_s, 1)


def observe(before: Arrivals, now_s: float, mono_s: float, next_in_s: float) -> Arrivals:
    """After another beat of the same link."""
    offset_s = now_s - mono_s
    late_s = max(0.0, now_s - before.due_s)
    peak = peak_s(before, now_s)
    if late_s > JUMP_PERIODS * next_in_s:
        return first(now_s, mono_s, next_in_s, peak)
    minimum_s, filled, minima_s = (
        min(before.minimum_s, offset_s),
        before.filled + 1,
        before.minima_s,
    )
    least_s = min(minimum_s, *minima_s) if minima_s else minimum_s
    if filled > BUCKET_BEATS:
        minima_s = (*minima_s[1 - BUCKETS :], before.minimum_s)
        minimum_s, filled = offset_s, 1
    due_s = least_s + mono_s + next_in_s
    return Arrivals(now_s, due_s, max(peak, late_s), minimum_s, filled, minima_s)


def peak_s(arrivals: Arrivals, now_s: float) -> float:
    """The greatest lateness seen, halved for every ten minutes since."""
    return float(arrivals.peak_s * 0.5 ** ((now_s - arrivals.heard_s) / PEAK_HALF_LIFE_S))
