"""The families of a simulated host in full, as its agent sends them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from heartline.demo import hardware, physics, programs
from heartline.demo.hosts import Host
from heartline.demo.noise import unit
from heartline.demo.plan import Fault
from heartline.demo.signs import Signs, signs
from shared.families import (
    Cpu,
    CpuTimes,
    Disk,
    Disks,
    FamilyData,
    Fan,
    Filesystem,
    Filesystems,
    Interface,
    Memory,
    Network,
    Sensors,
    Swap,
    System,
    Temperature,
)
from shared.metrics import Family

_NO_SENSORS: Final = "none on this host"


def family(
    name: Family,
    host: Host,
    faults: Sequence[Fault],
    at_s: float,
    began_wall_s: float,
    *,
    is_watched: bool = False,
) -> FamilyData:
    """A family in full, as it was read at `at_s`; the demo began at `began_wall_s`. While somebody
    looks there may be more of it."""
    now = signs(host, faults, at_s)
    match name:
        case "users":
            return programs.users(host, now, began_wall_s)
        case "system":
            return _system(now, began_wall_s)
        case "routes":
            return hardware.routes(host)
        case "processes":
            return programs.processes(host, now, is_watched=is_watched)
        case _:
            return _MAKERS[name](host, now)


def _cpu(host: Host, now: Signs) -> Cpu:
    def times(busy: float) -> CpuTimes:
        system = busy * now.system / now.busy
        return CpuTimes(
            busy_ratio=busy,
            user_ratio=busy - system,
            system_ratio=system,
            iowait_ratio=min(now.iowait, 1 - busy),
            irq_ratio=busy * 0.01,
            steal_ratio=0.01 * unit(host.key, 11) if host.role.is_virtual else 0.0,
        )

    mhz = float(physics.frequency_mhz(host, now))
    return Cpu(
        count=host.cpus,
        total=times(now.busy),
        cores=tuple(times(physics.core_busy(host, now, place)) for place in range(host.cpus)),
        frequency_mhz=mhz,
        frequency_min_mhz=1500.0,
        frequency_max_mhz=3700.0,
        load_1m=now.load_1m,
        load_5m=now.load_5m,
        load_15m=now.load_15m,
        context_switches_per_s=physics.switches(host, now),
        interrupts_per_s=physics.switches(host, now) * 0.6,
    )


def _memory(host: Host, now: Signs) -> Memory:
    total = host.memory_kib * 1024
    free = max(0.01, 1 - now.memory)
    return Memory(
        total_bytes=total,
        available_bytes=round(total * (1 - now.memory)),
        used_ratio=now.memory,
        free_bytes=round(total * free * 0.3),
        cached_bytes=round(total * free * 0.6),
        buffers_bytes=round(total * free * 0.02),
        shared_bytes=round(total * 0.01),
        active_bytes=round(total * now.memory * 0.6),
        inactive_bytes=round(total * now.memory * 0.3),
        slab_bytes=round(total * 0.03),
    )


def _swap(host: Host, now: Signs) -> Swap:
    total = host.role.swap_gib * 2**30
    if not total:
        return Swap(0, 0, None, 0.0, 0.0, {"used": "this host has no swap space"})
    moved = physics.swapping(now)
    return Swap(total, round(total * now.swap), now.swap, moved * 0.4, moved)


def _disks(host: Host, now: Signs) -> Disks:
    names = hardware.disks(host)
    up_s = now.at_s - now.booted_s
    parts = (1.0,) if len(names) == 1 else (0.08, 0.92)
    return Disks(
        tuple(
            Disk(
                name=name,
                stacked=False,
                read_bytes=round(host.role.disk_bytes_per_s * 0.08 * part * up_s),
                write_bytes=round(host.role.disk_bytes_per_s * 0.2 * part * up_s),
                read_bytes_per_s=now.read_bytes_per_s * part,
                write_bytes_per_s=now.write_bytes_per_s * part,
                reads_per_s=now.read_bytes_per_s * part / physics.BLOCK_BYTES,
                writes_per_s=now.write_bytes_per_s * part / physics.BLOCK_BYTES,
                busy_ratio=min(1.0, now.disk_busy * (0.3 + 0.7 * part)),
            )
            for name, part in zip(names, parts, strict=True)
        )
    )


def _filesystems(host: Host, now: Signs) -> Filesystems:
    rows: list[Filesystem] = []
    absent: dict[str, str] = {}
    for place, (mount, used) in enumerate(zip(host.role.mounts, now.filling, strict=True)):
        if mount.is_remote and now.stuck_since_s is not None:
            absent[mount.point] = "does not answer"
            continue
        total = hardware.mount_bytes(mount)
        rows.append(
            Filesystem(
                mount=mount.point,
                device=mount.device,
                type=mount.type,
                read_only=False,
                total_bytes=total,
                used_bytes=round(total * used),
                available_bytes=round(total * (1 - used)),
                used_ratio=used,
                inodes_total=None if mount.type == "vfat" else mount.gib * 65_536,
                inodes_used_ratio=None
                if mount.type == "vfat"
                else (0.02 + 0.2 * unit(host.key, 12)) / (place + 1),
            )
        )
    return Filesystems(tuple(rows), absent=absent)


def _network(host: Host, now: Signs) -> Network:
    name, up_s = hardware.interface(host), now.at_s - now.booted_s

    def row(interface: str, part: float, *, loopback: bool = False) -> Interface:
        receive, transmit = now.receive_bytes_per_s * part, now.transmit_bytes_per_s * part
        usual_bytes = host.role.link_mbps * 125_000 * 0.25 * part * up_s
        return Interface(
            name=interface,
            loopback=loopback,
            up=True,
            receive_bytes=round(usual_bytes * host.role.receive),
            transmit_bytes=round(usual_bytes * host.role.transmit),
            receive_bytes_per_s=receive,
            transmit_bytes_per_s=transmit,
            receive_packets_per_s=receive / physics.PACKET_BYTES,
            transmit_packets_per_s=transmit / physics.PACKET_BYTES,
            receive_errors_per_s=0.0,
            transmit_errors_per_s=0.0,
            receive_drops_per_s=0.0 if loopback else max(0.0, now.busy - 0.9) * 40 * part,
            transmit_drops_per_s=0.0,
        )

    rows = [row(name, 1.0), row(hardware.LOOPBACK, 0.05, loopback=True)]
    if name == "bond0":
        rows += [row("ens1f0", 0.53), row("ens2f0", 0.47)]
    if hardware.has_containers(host):
        rows.append(row("docker0", 0.4))
    return Network(tuple(sorted(rows, key=lambda each: each.name)))


def _sensors(host: Host, now: Signs) -> Sensors:
    if host.role.is_virtual:
        parts = ("temperatures", "fans", "battery")
        return Sensors(absent=dict.fromkeys(parts, _NO_SENSORS))
    hottest = physics.celsius(host, now)
    readings = [(hottest, 90.0, 95.0)]
    readings += [(31 + 14 * now.disk_busy + number, 81.8, 84.8) for number in (1, 2)]
    found = tuple(
        Temperature(chip, label, celsius, high, critical)
        for (chip, label), (celsius, high, critical) in zip(
            hardware.thermometers(host), readings, strict=False
        )
    )
    fans = tuple(
        Fan(chip, label, physics.fan_rpm(host, now) + 40 * number)
        for number, (chip, label) in enumerate(hardware.fans(host))
    )
    absent = {"battery": _NO_SENSORS} | ({} if fans else {"fans": _NO_SENSORS})
    return Sensors(found, fans, absent=absent)


def _system(now: Signs, began_wall_s: float) -> System:
    return System(
        uptime_s=now.at_s - now.booted_s,
        boot_wall_s=round(began_wall_s + now.booted_s),
        agent_cpu_ratio=programs.AGENT_CPU,
        agent_memory_bytes=programs.AGENT_KIB * 1024,
    )


_MAKERS: Final[Mapping[Family, Callable[[Host, Signs], FamilyData]]] = {
    "cpu": _cpu,
    "memory": _memory,
    "swap": _swap,
    "disks": _disks,
    "filesystems": _filesystems,
    "network": _network,
    "sensors": _sensors,
    "connections": programs.connections,
}
