"""At which address other hosts reach this one.

A service bound to every address still has to tell people one that they can dial. The routing table
knows: connecting a datagram socket sends nothing, and its own address is then the one that packets
to the outside would carry.
"""

import socket
from collections.abc import Iterable
from typing import Final

from shared.addresses import Address

# Addresses for documentation: certainly nobody's, and routed like the rest of the outside.
_OUTSIDE: Final = (
    (socket.AF_INET, "192.0.2.1"),
    (socket.AF_INET6, "2001:db8::1"),
)
_ANY_PORT: Final = 9


def dialable(bound: Iterable[Address]) -> list[Address]:
    """The addresses to dial for a service bound to these, the likeliest to work first.

    Those of this host alone come last. Reads the routing table; never blocks on the network.
    """
    found: dict[Address, None] = {}
    for address in bound:
        hosts = _own_hosts(address.host) if address.is_everywhere else [address.host]
        found |= dict.fromkeys(Address(host, address.port) for host in hosts)
    return sorted(found, key=_is_local)


def _own_hosts(bound: str) -> list[str]:
    families = {"0.0.0.0": socket.AF_INET, "::": socket.AF_INET6}  # noqa: S104 - read, not bound
    wanted = families.get(bound)
    hosts = [
        host
        for family, outside in _OUTSIDE
        if wanted in {family, None} and (host := _source_address(family, outside))
    ]
    return hosts or ["::1" if wanted is socket.AF_INET6 else "127.0.0.1"]


def _source_address(family: socket.AddressFamily, outside: str) -> str | None:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((outside, _ANY_PORT))
            return str(probe.getsockname()[0])
    except OSError:
        return None  # no such protocol, or no way to the outside


def _is_local(address: Address) -> bool:
    return address.host in {"::1", "localhost"} or address.host.startswith("127.")
