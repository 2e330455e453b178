"""Who may begin a TLS handshake: limits that hold before anything is known of a peer.

Refusing costs one accept and one close; nothing is read. A whole fleet may sit behind one address
and has to be able to come back at once after a restart of the master, whatever strangers are doing.
So every address has a reserve that grows with the members of the cluster last seen there; beyond it
the address is a stranger's like any other, and one hostile member cannot use up what is the
others'.
"""

import ipaddress
import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from shared.settings import MasterSettings

RESERVE_PER_MEMBER: Final = 2
"""Connections at once, and handshakes a second, per member: one that has just been cut and its
successor."""

RESERVE_LEAST: Final = 4
"""The same at least, for an address with any member at all."""

RESERVED_RATE_FACTOR: Final = 20
"""Handshakes in all reserves together: this many times the strangers' rate, 1,000 a second."""

RESERVED_CONNECTIONS_FACTOR: Final = 4
"""Connections in all reserves together: this many times the strangers' total."""


class AdmissionLimits(Struct, frozen=True):
    """How many strangers may knock at once."""

    connections: int = 256
    connections_per_address: int = 16
    handshakes_per_s: float = 50.0

    def shared_by(self, doors: int) -> "AdmissionLimits":
        """The limits of each of several doors, between which the kernel spreads the peers: what
        holds for all strangers together is divided."""
        return AdmissionLimits(
            max(1, round(self.connections / doors)),
            self.connections_per_address,
            max(1.0, self.handshakes_per_s / doors),
        )


def admission_limits(settings: MasterSettings) -> AdmissionLimits:
    """The limits as they are set."""
    return AdmissionLimits(
        settings.unauthenticated_connections,
        settings.unauthenticated_connections_per_address,
        settings.handshakes_per_s,
    )


class Ticket(Struct, frozen=True):
    """A place among the unauthenticated connections; give it back with `Admission.release`."""

    group: str
    is_reserved: bool


class _Bucket:
    """A token bucket: `rate` a second, up to one second's worth at once, and one at least."""

    __slots__ = ("_level", "_updated_s", "rate")

    def __init__(self, rate: float, now_s: float) -> None:
        self.rate = rate
        self._level = max(1.0, rate)
        self._updated_s = now_s

    def take(self, now_s: float) -> bool:
        refilled = self._level + (now_s - self._updated_s) * self.rate
        self._level = min(max(1.0, self.rate), refilled)
        self._updated_s = now_s
        if self._level < 1:
            return False
        self._level -= 1
        return True


class _Reserve:
    """What is kept for one address where members of the cluster were last seen."""

    __slots__ = ("_bucket", "members", "open")

    def __init__(self) -> None:
        self.members = 0
        self.open = 0
        self._bucket = _Bucket(0.0, -math.inf)  # full when it is first used

    @property
    def size(self) -> int:
        return max(RESERVE_LEAST, RESERVE_PER_MEMBER * self.members)

    def take(self, now_s: float) -> bool:
        self._bucket.rate = self.size
        return self.open < self.size and self._bucket.take(now_s)


class Admission:
    """Counts unauthenticated connections and handshakes. `now_s` is the caller's monotonic
    clock."""

    def __init__(self, limits: AdmissionLimits, now_s: float) -> None:
        self.released = 0
        """Tickets given back so far: handshakes that have ended, well or not."""
        self._limits = limits
        self._open: Counter[str] = Counter()
        self._strangers = 0
        self._reserved = 0
        self._reserves: dict[str, _Reserve] = {}
        self._homes: dict[str, str] = {}
        self.on_members: Callable[[str, int], None] | None = None
        """Called with a group of addresses and how many members are there now, when it changes."""
        self._stranger_bucket = _Bucket(limits.handshakes_per_s, now_s)
        self._reserved_bucket = _Bucket(limits.handshakes_per_s * RESERVED_RATE_FACTOR, now_s)

    def __repr__(self) -> str:
        return f"<Admission {self._strangers} strangers, {self._reserved} in reserves>"

    @property
    def waiting(self) -> int:
        """Connections that have not authenticated yet."""
        return self._strangers + self._reserved

    def change(self, limits: AdmissionLimits) -> None:
        """Takes other limits from now on; connections already admitted keep their places."""
        self._limits = limits
        self._stranger_bucket.rate = limits.handshakes_per_s
        self._reserved_bucket.rate = limits.handshakes_per_s * RESERVED_RATE_FACTOR

    def knock(self, address: str, now_s: float) -> Ticket | str:
        """A place for a new connection, or the name of the limit that it hits."""
        group = address_group(address)
        reserve = self._reserves.get(group)
        if reserve is not None and self._has_room(reserve, now_s):
            self._reserved += 1
            reserve.open += 1
            return Ticket(group, is_reserved=True)
        if self._strangers >= self._limits.connections:
            return "connections"
        if self._open[group] >= self._limits.connections_per_address:
            return "connections-per-address"
        if not self._stranger_bucket.take(now_s):
            return "handshakes-per-s"
        self._strangers += 1
        self._open[group] += 1
        return Ticket(group, is_reserved=False)

    def release(self, ticket: Ticket) -> None:
        """The connection has ended or has authenticated. Once per ticket."""
        self.released += 1
        group = ticket.group
        if ticket.is_reserved:
            self._reserved -= 1
            self._reserves[group].open -= 1
            self._drop_empty(group)
            return
        self._strangers -= 1
        self._open[group] -= 1
        if not self._open[group]:
            del self._open[group]

    def remember(self, identity: str, address: str) -> None:
        """A member of the cluster has authenticated from this address; its last one counts no
        more."""
        group = address_group(address)
        if self._homes.get(identity) == group:
            return
        self.forget(identity)
        self._homes[identity] = group
        self._count_member(group, 1)

    def forget(self, identity: str) -> None:
        """No longer a member, or elsewhere now."""
        group = self._homes.pop(identity, None)
        if group is not None:
            self._count_member(group, -1)

    def members(self) -> dict[str, int]:
        """How many members of the cluster were last seen in each group of addresses."""
        return {group: reserve.members for group, reserve in self._reserves.items()}

    def set_members(self, members: Mapping[str, int]) -> None:
        """Takes the numbers of these groups from elsewhere, where identities are known."""
        for group, count in members.items():
            self._reserves.setdefault(group, _Reserve()).members = count
            self._drop_empty(group)

    def _count_member(self, group: str, change: int) -> None:
        reserve = self._reserves.setdefault(group, _Reserve())
        reserve.members += change
        if self.on_members is not None:
            self.on_members(group, reserve.members)
        self._drop_empty(group)

    def _has_room(self, reserve: _Reserve, now_s: float) -> bool:
        most = self._limits.connections * RESERVED_CONNECTIONS_FACTOR
        return (
            reserve.members > 0
            and self._reserved < most
            and reserve.take(now_s)
            and self._reserved_bucket.take(now_s)
        )

    def _drop_empty(self, group: str) -> None:
        reserve = self._reserves[group]
        if not reserve.members and not reserve.open:
            del self._reserves[group]


def address_group(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 one, which one host has to
    itself."""
    if ":" not in address:
        return address
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
