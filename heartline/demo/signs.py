"""How a host is at an instant: the quantities that hang together, before anybody reports them.

Load follows the work, heat follows the load, traffic and disks follow both; a fault bears on all
that it would bear on. Everything is a pure function of host, faults and time.
"""

import math
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from heartline.demo.hosts import Host
from heartline.demo.noise import drift, swing, unit
from heartline.demo.plan import Fault, Kind

DAY_S: Final = 1440.0
"""A day of the demo: a minute for an hour, so that people who look on see it come and go."""

BEGINS_H: Final = 9.0
"""The hour, UTC, at which it begins."""

QUIETEST_H: Final = 4.0

BOOTED_BEFORE_S: Final = 9.0
"""A host was booted so long before its agent is back."""

LEAST_BUSY: Final = 0.004
MOST_BUSY: Final = 0.996
FULL: Final = 0.994

_CHECKPOINT_S: Final = 300.0
_CHECKPOINT_LASTS_S: Final = 25.0

# One of each for what wanders by itself: the first key of its noise.
_SLOW, _FAST, _JOBS, _MEMORY, _RECEIVE, _SEND, _WRITE, _READ, _HEAT, _DISKS, _PEOPLE, _LOAD = range(
    100, 112
)


class Hog(Struct, frozen=True):
    """A process that has run away: so many processors, since then."""

    cpus: float
    since_s: float
    key: int


class Signs(Struct, frozen=True, gc=False):
    """One host at one instant. Ratios are parts of the whole host."""

    at_s: float
    busy: float
    system: float
    iowait: float
    load_1m: float
    load_5m: float
    load_15m: float
    memory: float
    swap: float
    heat: float
    """Of what its cooling is made for; it follows the load slowly."""
    receive_bytes_per_s: float
    transmit_bytes_per_s: float
    read_bytes_per_s: float
    write_bytes_per_s: float
    disk_busy: float
    filling: tuple[float, ...]
    """How full each of its filesystems is."""
    connections: int
    processes: int
    people: int
    """Who is logged in."""
    booted_s: float
    hog: Hog | None
    stuck_since_s: float | None
    """Since when its file server has not answered."""


def signs(host: Host, faults: Sequence[Fault], at_s: float) -> Signs:
    """How `host`, to which `faults` happen, is at `at_s` on the demo's clock."""
    on = {fault.kind: fault for fault in faults if fault.is_on(at_s)}
    role, key = host.role, host.key
    hog = _hog(host, on.get(Kind.RUNAWAY))
    busy = busy_at(host, faults, at_s)
    recent = (busy + busy_at(host, faults, at_s - 20) + busy_at(host, faults, at_s - 45)) / 3
    writing = _checkpoint(host, at_s) * (0.15 + 0.85 * busy)
    write = role.disk_bytes_per_s * writing * (0.3 + 0.7 * drift(key + _WRITE, at_s, 8.0))
    disk_busy = min(FULL, write / role.disk_bytes_per_s * 0.9)
    traffic = role.link_mbps * 125_000 * busy
    return Signs(
        at_s=at_s,
        busy=busy,
        system=busy * (0.12 + 0.15 * unit(key, 4)),
        iowait=(1 - busy) * 0.3 * disk_busy**2,
        load_1m=_load(host, recent, at_s, 40.0),
        load_5m=_load(host, _mean_busy(host, faults, at_s, 300.0), at_s, 200.0),
        load_15m=_load(host, _mean_busy(host, faults, at_s, 900.0), at_s, 600.0),
        memory=_memory(host, recent, on.get(Kind.LEAKING), at_s),
        swap=_swap(host, on.get(Kind.LEAKING), at_s),
        heat=min(1.0, max(0.0, recent + 0.06 * swing(key + _HEAT, at_s, 90.0))),
        receive_bytes_per_s=traffic * role.receive * (0.5 + drift(key + _RECEIVE, at_s, 7.0)),
        transmit_bytes_per_s=traffic * role.transmit * (0.5 + drift(key + _SEND, at_s, 7.0)),
        read_bytes_per_s=write * 1.4 * drift(key + _READ, at_s, 11.0) ** 2,
        write_bytes_per_s=write,
        disk_busy=disk_busy,
        filling=_filling(host, on.get(Kind.FILLING), at_s),
        connections=12 + round(role.clients * busy * (0.8 + 0.4 * drift(key + _LOAD, at_s, 15.0))),
        processes=86 + 3 * host.cpus + round(24 * busy + 10 * drift(key + _LOAD, at_s, 60.0)),
        people=_people(host, at_s),
        booted_s=_booted_s(host, faults, at_s),
        hog=hog,
        stuck_since_s=on[Kind.STUCK].at_s if Kind.STUCK in on else None,
    )


def busy_at(host: Host, faults: Sequence[Fault], at_s: float) -> float:
    """The part of its processors that is busy."""
    role, key = host.role, host.key
    work = role.steady + role.daily * daylight(host, at_s)
    work += role.restless * (
        0.7 * swing(key + _SLOW, at_s, 75.0) + 0.5 * swing(key + _FAST, at_s, 6)
    )
    work *= host.lively
    if role.jobs is not None:
        span = math.floor((at_s + host.key % 997) / role.jobs.span_s)
        if unit(key, _JOBS, span) < role.jobs.chance:
            work += role.jobs.cpu * (0.8 + 0.3 * unit(key, _JOBS, span, 1))
    for fault in faults:
        if fault.kind is Kind.RUNAWAY and fault.is_on(at_s):
            work += _hog_cpus(host, fault) / host.cpus
    return min(max(work, LEAST_BUSY), MOST_BUSY)


def daylight(host: Host, at_s: float) -> float:
    """How much of the day's work there is where the host's users are: 0 at four, 1 at sixteen."""
    hour = BEGINS_H + 24 * at_s / DAY_S + host.site.ahead_h
    return 0.5 - 0.5 * math.cos((hour - QUIETEST_H) / 24 * math.tau)


def _mean_busy(host: Host, faults: Sequence[Fault], at_s: float, over_s: float) -> float:
    return sum(busy_at(host, faults, at_s - over_s * part) for part in (0.1, 0.45, 0.8)) / 3


def _load(host: Host, busy: float, at_s: float, period_s: float) -> float:
    """A load average. What is nearly busy has work waiting."""
    waiting = max(0.0, busy - 0.85) * 4
    return host.cpus * (busy * (0.9 + 0.25 * drift(host.key + _LOAD, at_s, period_s)) + waiting)


def _memory(host: Host, recent: float, leak: Fault | None, at_s: float) -> float:
    usual = host.role.memory * (0.85 + 0.3 * unit(host.key, 5)) + 0.12 * recent
    usual += 0.03 * swing(host.key + _MEMORY, at_s, 240.0)
    usual = min(max(usual, 0.03), 0.93)
    return usual if leak is None else usual + (0.975 - usual) * leak.part(at_s) ** 0.7


def _swap(host: Host, leak: Fault | None, at_s: float) -> float:
    if not host.role.swap_gib:
        return 0.0
    usual = 0.04 * unit(host.key, 6)
    return usual if leak is None else usual + 0.7 * leak.part(at_s) ** 2


def _filling(host: Host, fault: Fault | None, at_s: float) -> tuple[float, ...]:
    mounts = host.role.mounts
    struck = None if fault is None else fault.key % len(mounts)
    used: list[float] = []
    for place, mount in enumerate(mounts):
        usual = mount.used * (0.8 + 0.4 * unit(host.key, _DISKS, place))
        usual += 0.02 * drift(host.key + _DISKS + place, at_s, 900.0)
        if fault is not None and place == struck:
            usual += (FULL - usual) * min(1.0, fault.part(at_s) / 0.8)
        used.append(min(usual, FULL))
    return tuple(used)


def _checkpoint(host: Host, at_s: float) -> float:
    """Databases write what they hold back now and then."""
    if host.role.name != "db":
        return 1.0
    return 1.0 if (at_s + host.key % 301) % _CHECKPOINT_S < _CHECKPOINT_LASTS_S else 0.35


def _people(host: Host, at_s: float) -> int:
    span = math.floor(at_s / 900)
    return int(unit(host.key, _PEOPLE, span) < 0.1) + int(unit(host.key, _PEOPLE, span, 1) < 0.02)


def _booted_s(host: Host, faults: Sequence[Fault], at_s: float) -> float:
    boots = (Kind.REBOOTED, Kind.ABSENT)
    ends = [fault.ends_s for fault in faults if fault.kind in boots and fault.ends_s <= at_s]
    return max(ends) - BOOTED_BEFORE_S if ends else host.booted_s


def _hog(host: Host, fault: Fault | None) -> Hog | None:
    return None if fault is None else Hog(_hog_cpus(host, fault), fault.at_s, fault.key)


def _hog_cpus(host: Host, fault: Fault) -> float:
    """At least three quarters of a small host, a fair part of a large one."""
    return host.cpus * (0.55 + 0.4 * unit(fault.key)) if host.cpus > 4 else host.cpus * 0.85
