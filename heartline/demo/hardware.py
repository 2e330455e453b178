"""What changes rarely about a host: its inventory, and the parts that its families measure."""

from typing import Final

from heartline.demo.hosts import Host
from heartline.demo.noise import scramble
from heartline.demo.roles import MIB, Mount
from shared import VERSION
from shared.families import Route, Routes
from shared.families_settings import FamiliesSettings
from shared.inventory import FamilyInfo, FilesystemInfo, InterfaceInfo, Inventory
from shared.metrics import Family

LOOPBACK: Final = "lo"

_GIB_IN_KIB: Final = 2**20
_CONTAINER_ROLES: Final = frozenset({"app", "build"})


def interface(host: Host) -> str:
    """Its way to the others."""
    return "eth0" if host.role.is_virtual or host.role.name == "edge" else "bond0"


def has_containers(host: Host) -> bool:
    """Whether it has a bridge for them."""
    return host.role.name in _CONTAINER_ROLES


def disks(host: Host) -> tuple[str, ...]:
    """Its disks, by name."""
    if host.role.is_virtual:
        return ("vda", "vdb")
    return ("mmcblk0",) if host.role.name == "edge" else ("nvme0n1", "nvme1n1")


def thermometers(host: Host) -> tuple[tuple[str, str], ...]:
    """Its temperature sensors, chip and label, the hottest first."""
    if host.role.is_virtual:
        return ()
    if host.role.name == "edge":
        return (("cpu_thermal", "1"),)
    return (("k10temp", "Tctl"), ("nvme", "Composite 1"), ("nvme", "Composite 2"))


def fans(host: Host) -> tuple[tuple[str, str], ...]:
    """Its fans, chip and label."""
    count = 0 if host.role.is_virtual else host.role.fans
    return tuple(("nct6798", f"fan{number + 1}") for number in range(count))


def mount_bytes(mount: Mount) -> int:
    """How large a filesystem is."""
    return mount.gib * 1024 * MIB


def boot_id(host: Host, booted_s: float) -> str:
    """As the kernel makes it at every boot."""
    text = (
        f"{scramble(host.key, round(booted_s)):016x}{scramble(host.key, round(booted_s), 1):016x}"
    )
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def inventory(host: Host, booted_s: float, began_wall_s: float) -> Inventory:
    """The host since it was booted at `booted_s` on the demo's clock."""
    role = host.role
    return Inventory(
        hostname=host.name,
        os=role.os,
        kernel=role.kernel,
        architecture=role.architecture,
        python="3.12.11",
        agent_version=VERSION,
        boot_id=boot_id(host, booted_s),
        boot_wall_s=round(began_wall_s + booted_s),
        cpu_model=role.cpu_model,
        cpu_logical=host.cpus,
        cpu_physical=host.cpus if role.is_virtual or role.name == "edge" else host.cpus // 2,
        memory_total_kib=host.memory_kib,
        swap_total_kib=role.swap_gib * _GIB_IN_KIB,
        filesystems=tuple(
            FilesystemInfo(mount.point, mount.device, mount.type, mount.gib * _GIB_IN_KIB)
            for mount in role.mounts
        ),
        interfaces=_interfaces(host),
        disks=disks(host),
        sensors=tuple(sorted("/".join(each) for each in (*thermometers(host), *fans(host)))),
        labels=host.labels,
        families=_families(),
    )


def routes(host: Host) -> Routes:
    """By the router of its rack, like everybody."""
    name = interface(host)
    network = host.ipv4.rpartition(".")[0]
    found = [
        Route("0.0.0.0/0", host.gateway, name, 100),
        Route(f"{network}.0/24", None, name, 100),
    ]
    if has_containers(host):
        found.append(Route("172.17.0.0/16", None, "docker0", 0))
    prefix = host.ipv6.rpartition("::")[0]
    found += [Route("::/0", "fe80::1", name, 1024), Route(f"{prefix}::/64", None, name, 256)]
    return Routes(tuple(found))


def _interfaces(host: Host) -> tuple[InterfaceInfo, ...]:
    name = interface(host)
    addresses = (f"{host.ipv4}/24", f"{host.ipv6}/64")
    found = [
        InterfaceInfo(name, _mac(host, 0), addresses, host.role.link_mbps, 9000, up=True),
        InterfaceInfo(LOOPBACK, None, ("127.0.0.1/8", "::1/128"), None, 65_536, up=True),
    ]
    if name == "bond0":
        for port in (0, 1):
            mac, speed_mbps = _mac(host, 0), host.role.link_mbps
            found.append(InterfaceInfo(f"ens{port + 1}f0", mac, (), speed_mbps, 9000, up=True))
    if has_containers(host):
        found.append(
            InterfaceInfo("docker0", _mac(host, 9), ("172.17.0.1/16",), None, 1500, up=True)
        )
    return tuple(sorted(found, key=lambda each: each.name))


def _mac(host: Host, port: int) -> str:
    digits = f"{scramble(host.key, 7, port):016x}"
    return ":".join(("02", *(digits[place : place + 2] for place in range(0, 10, 2))))


def _families() -> tuple[FamilyInfo, ...]:
    return tuple(
        FamilyInfo(family, each.enabled, each.period_s, detail_s(family))
        for family, each in FamiliesSettings().each()
    )


def detail_s(family: Family) -> float:
    """How often a family is sent in full, by the agents' defaults."""
    settings = dict(FamiliesSettings().each())[family]
    return max(settings.period_s, settings.detail_s)
