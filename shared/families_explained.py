"""What each family reads, and what of it leaves the host: for people who decide what to allow.

The names of the fields are taken from the Structs that are sent, so that they cannot be forgotten;
a test holds `core` to what the collectors give, and to all of `shared.metrics.Core`.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec.inspect
from msgspec import Struct
from msgspec.inspect import Metadata, StructType, Type, UnionType, VarTupleType

from shared.families import FAMILY_TYPES
from shared.metrics import Core, Family


class Explained(Struct, frozen=True, kw_only=True):
    """One family, for people."""

    reads: str
    """What is opened or asked on the host."""
    core: tuple[str, ...]
    """Its fields of the core sample, which go out with every beat."""
    inventory: tuple[str, ...] = ()
    """Its fields of the inventory, which goes out on joining and on change."""
    on_request: tuple[str, ...] = ()
    """Fields that may hold secrets: not read unless they are switched on in the host's settings."""


def _core(*prefixes: str) -> tuple[str, ...]:
    return tuple([name for name in Core.__struct_fields__ if name.startswith(prefixes)])


EXPLAINED: Final[Mapping[Family, Explained]] = {
    "cpu": Explained(
        reads="processor times, switches, interrupts, clock and load, by psutil; on Linux from "
        "/proc/stat, /proc/loadavg, /proc/cpuinfo and /sys/devices/system/cpu",
        core=_core("cpu_", "context_", "interrupts_", "load_"),
        inventory=("cpu_model", "cpu_logical", "cpu_physical"),
    ),
    "memory": Explained(
        reads="use of physical memory, by psutil; on Linux from /proc/meminfo",
        core=_core("memory_"),
        inventory=("memory_total_kib",),
    ),
    "swap": Explained(
        reads="use of swap space, by psutil; on Linux from /proc/meminfo and /proc/vmstat",
        core=_core("swap_"),
        inventory=("swap_total_kib",),
    ),
    "disks": Explained(
        reads="counters of block devices, by psutil; on Linux from /proc/diskstats, and /sys/block "
        "for which of them are disks",
        core=_core("disk_"),
        inventory=("disks",),
    ),
    "filesystems": Explained(
        reads="the table of mounts, and statvfs of each that stores something; no file in them",
        core=_core("filesystem_"),
        inventory=("filesystems",),
    ),
    "network": Explained(
        reads="counters, addresses, speed and state of interfaces, by psutil; on Linux from "
        "/proc/net/dev, netlink and /sys/class/net; no packet",
        core=_core("network_"),
        inventory=("interfaces",),
    ),
    "sensors": Explained(
        reads="temperatures, fans and battery, by psutil; on Linux from /sys/class/hwmon, "
        "/sys/class/thermal and /sys/class/power_supply",
        core=_core("temperature_", "fan_", "battery_", "power_"),
        inventory=("sensors",),
    ),
    "users": Explained(
        reads="who is logged in, by psutil; on Linux from utmp, or /run/systemd/sessions",
        core=("users",),
    ),
    "system": Explained(
        reads="the time since boot, the host's name, and the agent's own use of the host",
        core=_core("uptime_", "agent_"),
        inventory=("hostname",),
    ),
    "processes": Explained(
        reads="the table of processes; on Linux /proc/PID/stat of each, and of the largest their "
        "user and how many files they hold open",
        core=("processes", *_core("processes_", "process_"), "threads"),
        on_request=("command_line", "environment", "open_file_names"),
    ),
    "connections": Explained(
        reads="the table of sockets; on Linux by netlink, and /proc/PID/fd for whose the listening "
        "ones are; addresses of peers are not kept",
        core=_core("tcp_", "udp_"),
    ),
    "routes": Explained(
        reads="/proc/net/route and /proc/net/ipv6_route; Linux only",
        core=(),
    ),
}


def sent_in_full(family: Family) -> tuple[str, ...]:
    """Every field of the family's own report, those inside of rows as `rows.field`."""
    return tuple(_fields(msgspec.inspect.type_info(FAMILY_TYPES[family]), ""))


def _fields(kind: Type, prefix: str) -> Iterator[str]:
    """The fields below a type; the name it stands under is `prefix`."""
    match kind:
        case Metadata(inner):
            yield from _fields(inner, prefix)
        case UnionType(types):
            for member in types:
                yield from _fields(member, prefix)
        case VarTupleType(item):
            yield from _fields(item, prefix)
        case StructType(fields=fields):
            for field in fields:
                below = tuple(_fields(field.type, f"{prefix}{field.name}."))
                yield from below or (f"{prefix}{field.name}",)
        case _:
            return
