"""What befalls a fleet, and when: from a seed, so that it can be had again."""

import random
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final, NamedTuple


class Kind(StrEnum):
    """What a fault is; it begins and it ends."""

    AGENT_KILLED = "agent killed"
    AGENT_STOPPED = "agent stopped"
    AGENT_RESTARTED = "agent restarted"
    AGENT_DISK_FULL = "agent's disk full"
    LINK_CUT = "link cut"
    ALL_LINKS_CUT = "all links cut"
    MASTER_KILLED = "master killed"
    MASTER_STOPPED = "master stopped"
    MASTER_RESTARTED = "master restarted"
    MASTER_DISK_FULL = "master's disk full"


WEIGHTS: Final = {
    Kind.AGENT_KILLED: 6,
    Kind.AGENT_STOPPED: 3,
    Kind.AGENT_RESTARTED: 2,
    Kind.AGENT_DISK_FULL: 3,
    Kind.LINK_CUT: 5,
    Kind.ALL_LINKS_CUT: 1,
    Kind.MASTER_KILLED: 3,
    Kind.MASTER_STOPPED: 1,
    Kind.MASTER_RESTARTED: 1,
    Kind.MASTER_DISK_FULL: 2,
}
"""How often each is drawn."""

REST_S: Final = 1.5
"""How long whatever was at fault is left alone afterwards."""

_PROCESS: Final = frozenset({Kind.AGENT_KILLED, Kind.AGENT_STOPPED, Kind.AGENT_RESTARTED})
_MASTER: Final = frozenset({Kind.MASTER_KILLED, Kind.MASTER_STOPPED, Kind.MASTER_RESTARTED})


class Fault(NamedTuple):
    """One of them, in seconds from the beginning."""

    begin_s: float
    end_s: float
    kind: Kind
    host: int
    """Which agent's; -1 where it is none's."""

    def __str__(self) -> str:
        whose = f" {self.host}" if self.host >= 0 else ""
        return f"{self.begin_s:7.2f}–{self.end_s:7.2f} s  {self.kind}{whose}"


class Instant(NamedTuple):
    """When a fault begins or ends."""

    at_s: float
    is_end: bool
    fault: Fault


def schedule(
    seed: int,
    faults: int,
    *,
    hosts: int,
    full_disks: Sequence[int],
    apart_s: float,
    longest_s: float,
) -> list[Fault]:
    """So many faults, one every `apart_s` in the mean, of `longest_s` at most. They overlap, but
    for those of one process, one line or one disk. `full_disks` are the hosts whose disk can be
    filled."""
    chance = random.Random(seed)
    free_from_s: dict[object, float] = {}
    found: list[Fault] = []
    now_s = 0.0
    kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
    while len(found) < faults:
        now_s += chance.expovariate(1 / apart_s)
        (kind,) = chance.choices(kinds, weights)
        host = -1
        if kind is Kind.AGENT_DISK_FULL:
            host = chance.choice(full_disks)
        elif kind in _PROCESS or kind is Kind.LINK_CUT:
            host = chance.randrange(hosts)
        lasts_s = max(0.1, longest_s * chance.random() ** 2)
        what = _what(kind, host)
        if free_from_s.get(what, 0.0) <= now_s:
            free_from_s[what] = now_s + lasts_s + REST_S
            found.append(Fault(now_s, now_s + lasts_s, kind, host))
    return found


def instants(faults: Sequence[Fault]) -> Iterator[Instant]:
    """Every beginning and every end, in order."""
    begins = [Instant(fault.begin_s, False, fault) for fault in faults]
    ends = [Instant(fault.end_s, True, fault) for fault in faults]
    yield from sorted(begins + ends, key=lambda instant: instant.at_s)


def _what(kind: Kind, host: int) -> object:
    # What is at fault: it can be at fault in one way at a time.
    if kind in _PROCESS:
        return ("agent", host)
    return "master" if kind in _MASTER else (kind, host)
