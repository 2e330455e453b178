"""What follows from the signs of a host: heat, clocks, and how the load spreads."""

from typing import Final

from heartline.demo.hosts import Host
from heartline.demo.noise import drift, unit
from heartline.demo.signs import Signs

CORE_S: Final = 5.0
"""How fast the load of one processor changes."""

BLOCK_BYTES: Final = 24_000
"""A disk operation's, on average."""

PACKET_BYTES: Final = 900
"""A packet's, on average."""


def core_busy(host: Host, now: Signs, place: int) -> float:
    """How busy one of its processors is; they stray from their mean."""
    stray = 0.35 + 1.3 * drift(host.key + 1000 + place, now.at_s, CORE_S)
    return min(1.0, max(0.0, now.busy * stray if now.busy < 0.75 else 1 - (1 - now.busy) * stray))


def busiest(host: Host, now: Signs) -> float:
    """The CPU of the busiest process, of one processor."""
    service = max(host.role.services, key=lambda each: each.cpu / (each.workers or 1))
    return now.busy * host.cpus * service.cpu / (service.workers or 1)


def celsius(host: Host, now: Signs) -> float:
    """Its hottest sensor."""
    return host.role.cool_celsius + 4 * unit(host.key, 13) + host.role.warming_celsius * now.heat


def fan_rpm(host: Host, now: Signs) -> int:
    """Its slowest fan."""
    return round(2100 + 5200 * now.heat + 120 * unit(host.key, 14))


def frequency_mhz(host: Host, now: Signs) -> int:
    """The mean clock of its processors."""
    return round(1500 + 2200 * (0.2 + 0.8 * now.busy) + 40 * unit(host.key, 15))


def switches(host: Host, now: Signs) -> float:
    """Context switches a second."""
    return host.cpus * (180 + 2600 * now.busy)


def swapping(now: Signs) -> float:
    """Bytes a second, once memory is short."""
    return max(0.0, now.memory - 0.9) * 4e7
