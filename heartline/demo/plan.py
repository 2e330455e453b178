"""What goes wrong in a demo, where and when: decided by the seed before it begins.

The first minutes are set, so that there is something to see at once; from then on each cycle has
every kind of fault, in an order of its own. A host has one fault at a time and a while to recover,
and most of the fleet is always well.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from heartline.demo.hosts import Host

HORIZON_S: Final = 86_400.0
"""For so long something happens; afterwards all is well for ever."""

CYCLE_S: Final = 300.0
FIRST_CYCLE_S: Final = 60.0

RECOVERY_S: Final = 60.0
"""A host that had a fault is left alone for so long."""

HOSTS_FOR_ALL: Final = 60
"""In smaller fleets than this not every kind of fault comes in every cycle."""

TRIES: Final = 60
"""So many hosts are asked to have a fault before it is given up."""

HOSTS_A_FAULT: Final = 250
"""In larger fleets than this, more than one host has the same fault in a cycle."""

MOST_AT_ONCE: Final = 1 / 3
"""A fault that would take more of the fleet than this does not happen."""


class Kind(StrEnum):
    """What can go wrong, in words."""

    ABSENT = "is not switched on yet"
    KILLED = "has its agent killed"
    HUNG = "has an agent that hangs"
    STOPPED = "has its agent stopped by an operator, and will be back"
    REBOOTED = "reboots"
    CUT = "loses its network"
    CLONED = "has been cloned: its identity is used twice"
    FILLING = "has a disk that fills up"
    RUNAWAY = "has a process that runs away"
    LEAKING = "has a program that leaks memory"
    STUCK = "has a file server that does not answer"


class Fault(Struct, frozen=True):
    """One thing that goes wrong, from `at_s` on for `lasts_s`, on the demo's clock."""

    kind: Kind
    at_s: float
    lasts_s: float
    hosts: tuple[int, ...]
    """Their numbers; several share the fate of a switch."""
    key: int
    """Decides whatever else is to be decided about it."""

    @property
    def ends_s(self) -> float:
        """When it is over."""
        return self.at_s + self.lasts_s

    def is_on(self, now_s: float) -> bool:
        """Whether it is going on."""
        return self.at_s <= now_s < self.ends_s

    def part(self, now_s: float) -> float:
        """How much of it is over, 0 to 1."""
        return min(max((now_s - self.at_s) / self.lasts_s, 0.0), 1.0)


LASTS_S: Final = {
    Kind.ABSENT: (80.0, 80.0),
    Kind.KILLED: (25.0, 120.0),
    Kind.HUNG: (25.0, 60.0),
    Kind.STOPPED: (20.0, 90.0),
    Kind.REBOOTED: (35.0, 70.0),
    Kind.CUT: (35.0, 75.0),
    Kind.CLONED: (150.0, 180.0),
    Kind.FILLING: (300.0, 600.0),
    Kind.RUNAWAY: (90.0, 240.0),
    Kind.LEAKING: (240.0, 600.0),
    Kind.STUCK: (80.0, 200.0),
}

AWAY: Final = frozenset({Kind.ABSENT, Kind.KILLED, Kind.STOPPED, Kind.REBOOTED, Kind.CUT})
"""The agent is not there while it lasts."""

SILENT: Final = AWAY | {Kind.HUNG}
"""Nothing is heard of the agent while it lasts."""

_OPENING: Final = (
    (Kind.ABSENT, -1.0, 80.0),
    (Kind.FILLING, -300.0, 560.0),
    (Kind.LEAKING, -210.0, 420.0),
    (Kind.STUCK, -41.0, 190.0),
    (Kind.RUNAWAY, -25.0, 150.0),
    (Kind.CLONED, 6.0, 170.0),
    (Kind.STOPPED, 8.0, 300.0),
    (Kind.KILLED, 9.0, 110.0),
    (Kind.CUT, 22.0, 45.0),
    (Kind.HUNG, 40.0, 40.0),
    (Kind.REBOOTED, 48.0, 50.0),
)

_RECURRING: Final = tuple(kind for kind in Kind if kind is not Kind.ABSENT)

_LEAKING_ROLES: Final = frozenset({"web", "app", "queue", "edge"})


class Plan:
    """The faults of one demo, in the order in which they begin."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults: Final = tuple(sorted(faults, key=lambda fault: fault.at_s))
        of: dict[int, list[Fault]] = defaultdict(list)
        for fault in self.faults:
            for number in fault.hosts:
                of[number].append(fault)
        self._of = {number: tuple(faults) for number, faults in of.items()}

    def __repr__(self) -> str:
        return f"<Plan of {len(self.faults)} faults>"

    @classmethod
    def drawn(cls, hosts: Sequence[Host], seed: int) -> "Plan":
        """What the seed has in store for these hosts."""
        return cls(_Lots(hosts, seed).draw())

    def of(self, host: Host) -> tuple[Fault, ...]:
        """What happens to one host, in order."""
        return self._of.get(host.number, ())


class _Lots:
    """Draws faults, one after the other."""

    def __init__(self, hosts: Sequence[Host], seed: int) -> None:
        self._hosts = hosts
        self._rng = random.Random(seed)  # noqa: S311 - decides what is shown, keeps no secret
        self._racks = _racks(hosts)
        self._free_s = {host.number: -HORIZON_S for host in hosts}

    def draw(self) -> Iterator[Fault]:
        """Every fault there will be."""
        times = max(1, len(self._hosts) // HOSTS_A_FAULT)
        chance = len(self._hosts) / HOSTS_FOR_ALL
        for kind, at_s, lasts_s in _OPENING:
            if self._rng.random() < chance:
                yield from self._fault(kind, at_s, lasts_s)
        at_s = FIRST_CYCLE_S
        while at_s < HORIZON_S:
            kinds = list(_RECURRING) * times
            self._rng.shuffle(kinds)
            for place, kind in enumerate(kinds):
                begins_s = at_s + CYCLE_S * (place + self._rng.random()) / len(kinds)
                if self._rng.random() < chance:
                    yield from self._fault(kind, begins_s, self._rng.uniform(*LASTS_S[kind]))
            at_s += CYCLE_S

    def _fault(self, kind: Kind, at_s: float, lasts_s: float) -> Iterator[Fault]:
        """The fault, unless there is no host left to have it."""
        struck = self._rack(at_s) if kind is Kind.CUT else self._one(kind, at_s)
        if not struck or len(struck) > max(1.0, len(self._hosts) * MOST_AT_ONCE):
            return
        for host in struck:
            self._free_s[host.number] = at_s + lasts_s + RECOVERY_S
        numbers = tuple(host.number for host in struck)
        yield Fault(kind, at_s, lasts_s, numbers, self._rng.getrandbits(32))

    def _one(self, kind: Kind, at_s: float) -> list[Host]:
        for _ in range(TRIES):
            host = self._rng.choice(self._hosts)
            if self._free_s[host.number] <= at_s and _can_have(host, kind):
                return [host]
        return []

    def _rack(self, at_s: float) -> list[Host]:
        """What is in one rack and has nothing else to suffer."""
        rack = self._rng.choice(self._racks)
        return [host for host in rack if self._free_s[host.number] <= at_s]


def _can_have(host: Host, kind: Kind) -> bool:
    match kind:
        case Kind.LEAKING:
            return host.role.name in _LEAKING_ROLES
        case Kind.STUCK:
            return any(mount.is_remote for mount in host.role.mounts)
        case Kind.RUNAWAY:
            return host.role.jobs is None
        case _:
            return True


def _racks(hosts: Sequence[Host]) -> list[list[Host]]:
    """The hosts by rack, without the racks that are hardly begun."""
    racks: dict[str, list[Host]] = defaultdict(list)
    for host in hosts:
        racks[host.rack].append(host)
    most = max(map(len, racks.values()))
    return [rack for rack in racks.values() if len(rack) * 2 > most]
