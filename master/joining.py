"""The one line that brings another host in."""

import socket
from collections.abc import Iterable

import psutil

from shared.addresses import Address, parse_address


def join_command(token: str, listen: Iterable[str]) -> str:
    """What to run on the new host. `listen` are the addresses that the master is bound to."""
    return f"heartline agent --join {token} --master {reachable_address(listen)}"


def reachable_address(listen: Iterable[str]) -> Address:
    """The address by which other hosts probably reach this one.

    An address that was bound explicitly, if there is one that is not loopback; otherwise the first
    IPv4 address of an interface of this host; otherwise its name.
    """
    bound = [parse_address(text) for text in listen]
    explicit = [address for address in bound if not address.is_everywhere]
    for address in explicit:
        if not _is_loopback(address.host):
            return address
    if explicit and len(explicit) == len(bound):
        return explicit[0]
    port = next(address.port for address in bound if address.is_everywhere)
    return Address(_own_address() or socket.gethostname(), port)


def _own_address() -> str | None:
    up = {name for name, status in psutil.net_if_stats().items() if status.isup}
    for name, addresses in sorted(psutil.net_if_addrs().items()):
        for address in addresses:
            if (
                name in up
                and address.family is socket.AF_INET
                and not _is_loopback(address.address)
            ):
                return address.address
    return None


def _is_loopback(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")
