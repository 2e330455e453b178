"""Who may begin a TLS handshake: limits that hold before anything is known of a peer.

Refusing costs one accept and one close; nothing is read. Addresses that have authenticated before
are told apart, because a whole fleet may sit behind one of them and has to be able to come back at
once after a restart of the master, whatever strangers are doing.
"""

import ipaddress
from collections import Counter, OrderedDict
from typing import Final

from msgspec import Struct

KNOWN_ADDRESSES: Final = 100_000
"""Addresses remembered as having authenticated, the least recent forgotten first."""

KNOWN_RATE_FACTOR: Final = 20
"""Handshakes of known addresses are allowed at this many times the strangers' rate: 1,000 a
second."""

KNOWN_CONNECTIONS_FACTOR: Final = 4
"""Unauthenticated connections of known addresses: this many times the total for strangers."""


class AdmissionLimits(Struct, frozen=True):
    """How many strangers may knock at once."""

    connections: int = 256
    connections_per_address: int = 16
    handshakes_per_s: float = 50.0


class Ticket(Struct, frozen=True):
    """A place among the unauthenticated connections; give it back with `Admission.release`."""

    group: str
    known: bool


class _Bucket:
    """A token bucket: `rate` a second, up to one second's worth at once."""

    def __init__(self, rate: float, now_s: float) -> None:
        self.rate = rate
        self._level = rate
        self._updated_s = now_s

    def take(self, now_s: float) -> bool:
        self._level = min(self.rate, self._level + (now_s - self._updated_s) * self.rate)
        self._updated_s = now_s
        if self._level < 1:
            return False
        self._level -= 1
        return True


class Admission:
    """Counts unauthenticated connections and handshakes. `now_s` is the caller's monotonic
    clock."""

    def __init__(self, limits: AdmissionLimits, now_s: float) -> None:
        self._limits = limits
        self._open: Counter[str] = Counter()
        self._strangers = 0
        self._known_open = 0
        self._known: OrderedDict[str, None] = OrderedDict()
        self._stranger_bucket = _Bucket(limits.handshakes_per_s, now_s)
        self._known_bucket = _Bucket(limits.handshakes_per_s * KNOWN_RATE_FACTOR, now_s)

    def __repr__(self) -> str:
        return f"<Admission {self._strangers} strangers, {self._known_open} known>"

    @property
    def waiting(self) -> int:
        """Connections that have not authenticated yet."""
        return self._strangers + self._known_open

    def change(self, limits: AdmissionLimits) -> None:
        """Takes other limits from now on; connections already admitted keep their places."""
        self._limits = limits
        self._stranger_bucket.rate = limits.handshakes_per_s
        self._known_bucket.rate = limits.handshakes_per_s * KNOWN_RATE_FACTOR

    def knock(self, address: str, now_s: float) -> Ticket | str:
        """A place for a new connection, or the name of the limit that it hits."""
        group = address_group(address)
        limits = self._limits
        if group in self._known:
            if self._known_open >= limits.connections * KNOWN_CONNECTIONS_FACTOR:
                return "known-connections"
            if not self._known_bucket.take(now_s):
                return "known-handshakes-per-s"
            self._known_open += 1
            return Ticket(group, known=True)
        if self._strangers >= limits.connections:
            return "connections"
        if self._open[group] >= limits.connections_per_address:
            return "connections-per-address"
        if not self._stranger_bucket.take(now_s):
            return "handshakes-per-s"
        self._strangers += 1
        self._open[group] += 1
        return Ticket(group, known=False)

    def release(self, ticket: Ticket) -> None:
        """The connection has ended or has authenticated. Once per ticket."""
        if ticket.known:
            self._known_open -= 1
            return
        self._strangers -= 1
        self._open[ticket.group] -= 1
        if not self._open[ticket.group]:
            del self._open[ticket.group]

    def remember(self, address: str) -> None:
        """Somebody has authenticated from this address."""
        group = address_group(address)
        self._known[group] = None
        self._known.move_to_end(group)
        if len(self._known) > KNOWN_ADDRESSES:
            self._known.popitem(last=False)


def address_group(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 one, which one host has to
    itself."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
