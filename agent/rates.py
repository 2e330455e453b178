"""From counters to rates, without ever inventing one.

A counter that went backwards wrapped, was reset, or belongs to something created anew under the
same name; which of these cannot be known, so there is no rate for that interval rather than a
guess. The same goes for a rate beyond what any hardware does: some drivers report small negative
numbers as huge unsigned ones. Everything here is pure or keeps only the readings before.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from shared.families import CpuTimes

LARGEST_RATE_PER_S: Final = 1e12
"""Above a terabyte a second no counter is believed; the fastest interfaces and buses are below."""

SHORTEST_INTERVAL_S: Final = 0.05
"""Two readings closer than this give no rate: a tick of a counter would look like a flood."""

CLOCK_TOLERANCE_S: Final = 0.5
"""Processor times are counted in ticks, and not at the instant at which the clock is read."""

Row: TypeAlias = Sequence[int]
Rates: TypeAlias = tuple[float, ...] | None


def row_rates(before: Row, after: Row, elapsed_s: float) -> Rates:
    """The rate of each counter of one row, or None when any of them cannot be believed.

    One counter that went backwards condemns the whole row: what was created anew starts all its
    counters anew, and those that happen to be larger than before mean no more than the others.
    """
    if elapsed_s < SHORTEST_INTERVAL_S or len(before) != len(after):
        return None
    rates = tuple([(now - then) / elapsed_s for then, now in zip(before, after, strict=True)])
    if rates and (min(rates) < 0 or max(rates) > LARGEST_RATE_PER_S):
        return None
    return rates


class Counters:
    """The counters of rows by name (disks, interfaces) and when they were last read."""

    __slots__ = ("_read_s", "_rows")

    def __init__(self) -> None:
        self._rows: Mapping[str, Row] = {}
        self._read_s = 0.0

    def __repr__(self) -> str:
        return f"<Counters of {len(self._rows)} rows at {self._read_s:.3f} s>"

    def update(self, rows: Mapping[str, Row], now_s: float) -> dict[str, Rates]:
        """Takes a new reading; each row's rates since the one before, None if it has none."""
        elapsed_s = now_s - self._read_s
        before, self._rows, self._read_s = self._rows, rows, now_s
        return {
            name: row_rates(before[name], row, elapsed_s) if name in before else None
            for name, row in rows.items()
        }


class CpuClock(NamedTuple):
    """What a processor has done since boot, in seconds. `user` includes nice, `irq` soft ones."""

    user: float
    system: float
    idle: float
    iowait: float = 0.0
    irq: float = 0.0
    steal: float = 0.0


def cpu_shares(before: CpuClock, after: CpuClock, elapsed_s: float, cores: int) -> CpuTimes | None:
    """How `cores` processors spent their time between two readings, or None if that is not known.

    Linux is known to count waiting for I/O backwards, and idling by a tick; either then counts as
    none. Anything else that runs backwards (a processor was unplugged, a guest was moved), and more
    time than there was, mean that the counters were reset or are wrong.
    """
    user, system, idle, iowait, irq, steal = (
        now - then for then, now in zip(before, after, strict=True)
    )
    iowait = max(iowait, 0.0)
    if -CLOCK_TOLERANCE_S <= idle < 0:
        idle = 0.0
    total = user + system + idle + iowait + irq + steal
    if min(user, system, idle, irq, steal) < 0 or total <= 0 or elapsed_s < SHORTEST_INTERVAL_S:
        return None
    if total > (elapsed_s * 2 + CLOCK_TOLERANCE_S) * cores:
        return None
    return CpuTimes(
        busy_ratio=share(total - idle - iowait, total),
        user_ratio=share(user, total),
        system_ratio=share(system, total),
        iowait_ratio=share(iowait, total),
        irq_ratio=share(irq, total),
        steal_ratio=share(steal, total),
    )


def share(part: float, whole: float) -> float:
    """`part / whole`, kept within 0 and 1; nothing of nothing is 0."""
    return min(max(part / whole, 0.0), 1.0) if whole > 0 else 0.0
