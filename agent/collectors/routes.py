"""The host's routes, which psutil does not know: from /proc/net on Linux, absent elsewhere."""

import ipaddress
import struct
import sys
from pathlib import Path
from typing import Final

from agent.collectors.reading import Reading
from shared.families import ROWS_LIMIT, Route, Routes
from shared.metrics import Family

# linux/route.h, linux/ipv6_route.h
_UP: Final = 0x0001
_REJECT: Final = 0x0200
_ANYCAST: Final = 0x0010_0000
_LOCAL: Final = 0x8000_0000

_LARGEST_METRIC: Final = 0xFFFF_FFFF


class RoutesCollector:
    """The main routing tables of IPv4 and IPv6."""

    family: Family = "routes"

    def __init__(self, net: Path = Path("/proc/net")) -> None:
        self._net = net

    def collect(self, now_s: float) -> Reading:
        """See `Collector`."""
        del now_s
        if not sys.platform.startswith("linux"):
            return Reading(Routes(absent={"routes": f"not read on {sys.platform}"}), {})
        absent: dict[str, str] = {}
        routes: list[Route] = []
        for name, parse in (("route", parse_routes), ("ipv6_route", parse_routes_ipv6)):
            try:
                routes += parse((self._net / name).read_text(encoding="ascii"))
            except FileNotFoundError:
                absent[name] = "this kernel is without it"
        data = Routes(tuple(routes[:ROWS_LIMIT]), max(0, len(routes) - ROWS_LIMIT), absent)
        return Reading(data, {})


def parse_routes(table: str) -> list[Route]:
    """/proc/net/route: a heading, then addresses in hexadecimal of the host's byte order.

    Raises:
        ValueError, LookupError: it is not such a table.
    """
    routes: list[Route] = []
    for line in table.splitlines()[1:]:
        interface, destination, gateway, flags, _, _, metric, mask, *_ = line.split()
        if not int(flags, 16) & _UP or int(flags, 16) & _REJECT:
            continue
        length = int(mask, 16).bit_count()
        routes.append(
            Route(
                destination=f"{_ipv4(destination)}/{length}",
                gateway=_ipv4(gateway) if int(gateway, 16) else None,
                interface=interface,
                metric=int(metric),
            )
        )
    return routes


def parse_routes_ipv6(table: str) -> list[Route]:
    """/proc/net/ipv6_route: addresses in network order; local and multicast ones are left out.

    Raises:
        ValueError, LookupError: it is not such a table.
    """
    routes: list[Route] = []
    for line in table.splitlines():
        destination, length, _, _, gateway, metric, _, _, flags, interface = line.split()
        network = ipaddress.IPv6Address(int(destination, 16))
        unwanted = _REJECT | _ANYCAST | _LOCAL
        if not int(flags, 16) & _UP or int(flags, 16) & unwanted or network.is_multicast:
            continue
        routes.append(
            Route(
                destination=f"{network}/{int(length, 16)}",
                gateway=str(ipaddress.IPv6Address(int(gateway, 16))) if int(gateway, 16) else None,
                interface=interface,
                metric=int(metric, 16) & _LARGEST_METRIC,
            )
        )
    return routes


def _ipv4(number: str) -> str:
    return str(ipaddress.IPv4Address(struct.pack("=I", int(number, 16))))
