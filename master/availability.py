"""How much of a day, a week and a month a node was there, from its outages.

Time that nobody expected it (after a goodbye) and time that nobody looked (the master was away)
count neither for nor against it: `ratio = 1 - down / (known - planned - unobserved)`.
"""

from collections.abc import Iterable
from typing import Final

from shared.causes import Cause
from shared.messages import Availability, Outage

WINDOWS_S: Final = (86_400, 7 * 86_400, 30 * 86_400)


def availabilities(
    outages: Iterable[Outage], known_since_wall_ms: int, now_wall_ms: int
) -> tuple[Availability, ...]:
    """Over each of `WINDOWS_S` up to now. `known_since_wall_ms`: nothing is counted before."""
    kept = tuple(outages)
    return tuple(_over(window_s, kept, known_since_wall_ms, now_wall_ms) for window_s in WINDOWS_S)


def _over(
    window_s: int, outages: Iterable[Outage], known_since_wall_ms: int, now_wall_ms: int
) -> Availability:
    begin_ms = max(known_since_wall_ms, now_wall_ms - window_s * 1000)
    down_ms = planned_ms = unobserved_ms = 0
    for outage in outages:
        end_ms = now_wall_ms if outage.to_wall_ms is None else min(outage.to_wall_ms, now_wall_ms)
        lasted_ms = max(0, end_ms - max(outage.from_wall_ms, begin_ms))
        if outage.planned:
            planned_ms += lasted_ms
        elif outage.cause == Cause.MASTER_AWAY:
            unobserved_ms += lasted_ms
        else:
            down_ms += lasted_ms
    return Availability(
        window_s,
        max(0, now_wall_ms - begin_ms) // 1000,
        down_ms // 1000,
        planned_ms // 1000,
        unobserved_ms // 1000,
    )
