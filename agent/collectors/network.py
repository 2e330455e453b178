"""Traffic of network interfaces, and what they are.

The host's totals count interfaces that are hardware (or a hypervisor's), since what passes a
bridge, a bond, a VLAN or a tunnel passes one of those as well. Where there is none, as inside a
container, everything but loopback is counted.
"""

import ipaddress
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

import psutil

from agent.collectors.reading import Reading, whole
from agent.rates import Counters, Rates
from agent.wording import fit
from shared.families import ROWS_LIMIT, Interface, Network
from shared.inventory import InterfaceInfo
from shared.metrics import Family

INTERFACES_PERIOD_S: Final = 15.0
"""Between two looks at addresses, speed and state, which cost more than the counters."""

ADDRESSES_LIMIT: Final = 16
"""Of one interface, so that the inventory of a host with many interfaces fits a message."""

_INTERFACES: Final = Path("/sys/class/net")
_SPEED_UNKNOWN: Final = 65535
"""What drivers report that know no speed."""


class TrafficCounters(Protocol):
    """psutil's counters of one interface."""

    @property
    def bytes_recv(self) -> int: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def packets_recv(self) -> int: ...
    @property
    def packets_sent(self) -> int: ...
    @property
    def errin(self) -> int: ...
    @property
    def errout(self) -> int: ...
    @property
    def dropin(self) -> int: ...
    @property
    def dropout(self) -> int: ...


class InterfaceAddress(Protocol):
    """psutil's address of one interface; `family` is of the socket module or psutil's own."""

    @property
    def family(self) -> int: ...
    @property
    def address(self) -> str: ...
    @property
    def netmask(self) -> str | None: ...


class NetworkCollector:
    """Bytes, packets, errors and drops of each interface since the reading before."""

    family: Family = "network"

    def __init__(self) -> None:
        self._counters = Counters()
        self._infos: dict[str, InterfaceInfo] = {}
        self._loopback: frozenset[str] = frozenset()
        self._hardware: frozenset[str] = frozenset()
        self._infos_due_s = float("-inf")

    def collect(self, now_s: float) -> Reading:
        """See `Collector`."""
        counted = psutil.net_io_counters(pernic=True, nowrap=False)
        names = sorted(counted)
        if now_s >= self._infos_due_s or self._infos.keys() != counted.keys():
            self._look(names)
            self._infos_due_s = now_s + INTERFACES_PERIOD_S
        rates = self._counters.update({name: _counters(counted[name]) for name in names}, now_s)
        rows = [self._row(name, counted[name], rates[name]) for name in names]
        data = Network(
            interfaces=tuple(rows[:ROWS_LIMIT]),
            left_out=max(0, len(rows) - ROWS_LIMIT),
        )
        infos = tuple([self._infos[name] for name in names[:ROWS_LIMIT]])
        return Reading(data, self._core(rows), {"interfaces": infos})

    def _look(self, names: list[str]) -> None:
        """What the interfaces are, as opposed to what they do."""
        addresses = psutil.net_if_addrs()
        stats = psutil.net_if_stats()
        infos: dict[str, InterfaceInfo] = {}
        loopback: set[str] = set()
        for name in names:
            stat = stats.get(name)
            if _is_loopback(name, stat.flags if stat else ""):
                loopback.add(name)
            infos[name] = InterfaceInfo(
                name=fit(name),
                mac=_mac(addresses.get(name, ())),
                addresses=tuple(
                    sorted(map(with_prefix, _inet(addresses.get(name, ()))))[:ADDRESSES_LIMIT]
                ),
                speed_mbps=stat.speed if stat and 0 < stat.speed < _SPEED_UNKNOWN else None,
                mtu=stat.mtu if stat and stat.mtu > 0 else None,
                up=stat.isup if stat else False,
            )
        self._infos = infos
        self._loopback = frozenset(loopback)
        self._hardware = frozenset(n for n in names if (_INTERFACES / n / "device").exists())

    def _row(self, name: str, counters: TrafficCounters, rates: Rates) -> Interface:
        row = Interface(
            fit(name),
            name in self._loopback,
            self._infos[name].up,
            counters.bytes_recv,
            counters.bytes_sent,
        )
        if rates is None:
            return row
        return Interface(
            row.name, row.loopback, row.up, row.receive_bytes, row.transmit_bytes, *rates
        )

    def _core(self, rows: list[Interface]) -> dict[str, int | None]:
        outward = [row for row in rows if not row.loopback]
        known = [row for row in outward if row.receive_bytes_per_s is not None]
        counted = [row for row in known if row.name in self._hardware] or known

        def total(field: str) -> int | None:
            return whole(sum([getattr(row, field) for row in counted])) if counted else None

        core = {f"network_{field}": total(field) for field in _RATES}
        core["network_interfaces_up"] = sum([row.up is True for row in outward])
        return core


_RATES: Final = (
    "receive_bytes_per_s",
    "transmit_bytes_per_s",
    "receive_packets_per_s",
    "transmit_packets_per_s",
    "receive_errors_per_s",
    "transmit_errors_per_s",
    "receive_drops_per_s",
    "transmit_drops_per_s",
)
"""The rates of `Interface` in its own order, which is also that of `_counters`."""


def _counters(row: TrafficCounters) -> tuple[int, ...]:
    return (
        row.bytes_recv,
        row.bytes_sent,
        row.packets_recv,
        row.packets_sent,
        row.errin,
        row.errout,
        row.dropin,
        row.dropout,
    )


def _is_loopback(name: str, flags: str) -> bool:
    """By psutil's flags; by the usual name where there are none (Windows)."""
    return "loopback" in flags.split(",") if flags else name.lower().startswith(("lo", "loopback"))


def _mac(addresses: Iterable[InterfaceAddress]) -> str | None:
    macs = [row.address for row in addresses if row.family == psutil.AF_LINK]
    return next((mac for mac in macs if mac.strip("0:-")), None)


def _inet(addresses: Iterable[InterfaceAddress]) -> list[tuple[str, str | None]]:
    return [
        (row.address, row.netmask)
        for row in addresses
        if row.family in (socket.AF_INET, socket.AF_INET6)
    ]


def with_prefix(address: tuple[str, str | None]) -> str:
    """An address and its netmask in either notation, as `192.0.2.7/24`; bare when there is none."""
    text, netmask = address
    text = text.partition("%")[0]
    if netmask is None:
        return text
    try:
        return f"{text}/{int(ipaddress.ip_address(netmask)).bit_count()}"
    except ValueError:
        return text
