"""What a master sends of a node in focus: believable families and an inventory, that change."""

import math
from collections.abc import Iterator
from typing import Any, Final

from shared import families as f
from shared.inventory import FamilyInfo, FilesystemInfo, InterfaceInfo, Inventory
from shared.messages import (
    Availability,
    Event,
    FamilySample,
    FocusInventory,
    FocusUpdate,
    NodeDetail,
    Outage,
    TimeToDetect,
    raw,
)
from tests.tui.fleets import MONO_MS, WALL_MS, info, vitals

GIB: Final = 2**30
CORES: Final = 8

INVENTORY: Final = Inventory(
    hostname="db-1.example.net",
    os="Debian GNU/Linux 12 (bookworm)",
    kernel="6.1.0-28-amd64",
    architecture="x86_64",
    python="3.11.2",
    agent_version="0.1.0",
    boot_id="0d5e4c6e-7f0b-4f0c-9d6e-8d8f0a2b7c11",
    boot_wall_s=WALL_MS // 1000 - 12 * 86_400,
    cpu_model="AMD EPYC 7443P",
    cpu_logical=CORES,
    cpu_physical=CORES // 2,
    memory_total_kib=32 * 2**20,
    swap_total_kib=4 * 2**20,
    filesystems=(
        FilesystemInfo("/", "/dev/nvme0n1p2", "ext4", 60 * 2**20),
        FilesystemInfo("/var/lib/postgresql", "/dev/mapper/vg0-pg", "xfs", 900 * 2**20),
    ),
    interfaces=(
        InterfaceInfo("lo", None, ("127.0.0.1/8", "::1/128"), None, 65_536, True),
        InterfaceInfo(
            "enp5s0",
            "52:54:00:12:34:56",
            ("192.0.2.17/24", "2001:db8::17/64"),
            10_000,
            1_500,
            True,
        ),
        InterfaceInfo("enp6s0", "52:54:00:12:34:57", (), None, 1_500, False),
    ),
    disks=("nvme0n1", "nvme1n1"),
    sensors=("k10temp/Tctl", "nvme/Composite"),
    labels={"role": "db"},
    families=(
        FamilyInfo("cpu", True, 5.0, 60.0),
        FamilyInfo("routes", True, 60.0, 300.0),
        FamilyInfo("users", False, 60.0, 300.0),
    ),
    absent={"battery": "this host has none"},
)


def wave(second: float, place: int, low: float = 0.05, high: float = 0.95) -> float:
    """Something between `low` and `high` that moves."""
    turn = math.sin(second / (5 + place % 7) + place * 1.7) * math.cos(second / 31 + place)
    return low + (high - low) * (turn + 1) / 2


def cpu(second: float = 0) -> f.Cpu:
    busy = [wave(second, place) for place in range(CORES)]
    times = tuple(f.CpuTimes(each, each * 0.7, each * 0.3, 0.02, 0.001, 0.0) for each in busy)
    mean = sum(busy) / CORES
    return f.Cpu(
        CORES,
        f.CpuTimes(mean, mean * 0.7, mean * 0.3, 0.02, 0.001, None),
        times,
        3_412.0,
        1_500.0,
        4_035.0,
        mean * CORES,
        3.1,
        2.4,
        48_210.4,
        12_004.0,
        {"frequency per core": "the kernel does not say"},
    )


def memory(second: float = 0) -> f.Memory:
    used = wave(second, 3, 0.4, 0.8)
    return f.Memory(
        32 * GIB,
        round(32 * GIB * (1 - used)),
        used,
        2 * GIB,
        9 * GIB,
        GIB // 2,
        GIB // 4,
        11 * GIB,
        8 * GIB,
        GIB,
    )


def filesystems() -> f.Filesystems:
    return f.Filesystems(
        (
            f.Filesystem(
                "/",
                "/dev/nvme0n1p2",
                "ext4",
                False,
                60 * GIB,
                21 * GIB,
                36 * GIB,
                0.37,
                3_932_160,
                0.08,
            ),
            f.Filesystem(
                "/var/lib/postgresql",
                "/dev/mapper/vg0-pg",
                "xfs",
                False,
                900 * GIB,
                837 * GIB,
                63 * GIB,
                0.93,
                471_859_200,
                0.01,
            ),
            f.Filesystem(
                "/mnt/iso", "/dev/loop7", "iso9660", True, 4 * GIB, 4 * GIB, 0, 1.0, None, None
            ),
        ),
        0,
        {"/mnt/backup": "does not answer"},
    )


def disks(second: float = 0) -> f.Disks:
    busy = wave(second, 5)
    return f.Disks(
        (
            f.Disk(
                "nvme0n1", False, 812 * GIB, 2_400 * GIB, 2e6 * busy, 8e6 * busy, 40.0, 211.0, busy
            ),
            f.Disk("nvme1n1", False, 12 * GIB, 40 * GIB, 0.0, 0.0, 0.0, 0.0, 0.0),
            f.Disk("dm-0", True, 800 * GIB, 2_300 * GIB, 2e6 * busy, 8e6 * busy, 40.0, 211.0, busy),
        )
    )


def network(second: float = 0) -> f.Network:
    rate = 4e7 * wave(second, 2)
    return f.Network(
        (
            f.Interface(
                "lo", True, True, GIB, GIB, 2_000.0, 2_000.0, 20.0, 20.0, 0.0, 0.0, 0.0, 0.0
            ),
            f.Interface(
                "enp5s0",
                False,
                True,
                900 * GIB,
                400 * GIB,
                rate,
                rate / 3,
                31_000.0,
                20_100.0,
                0.0,
                0.0,
                1.5,
                0.0,
            ),
            f.Interface("enp6s0", False, False, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        )
    )


def sensors() -> f.Sensors:
    return f.Sensors(
        (
            f.Temperature("k10temp", "Tctl", 71.4, 95.0, 105.0),
            f.Temperature("nvme", "Composite", 44.9, 81.9, 84.9),
        ),
        (f.Fan("nct6775", "fan1", 1_204), f.Fan("nct6775", "fan2", 0)),
        None,
        0,
        {"battery": "this host has none"},
    )


def processes(second: float = 0) -> f.Processes:
    rows = [
        (1, 0, "systemd", "sleeping", "root", 1, "/sbin/init"),
        (812, 1, "sshd", "sleeping", "root", 1, None),
        (2_001, 812, "bash", "sleeping", "kim", 1, None),
        (2_044, 2_001, "top", "running", "kim", 1, None),
        (901, 1, "postgres", "sleeping", "postgres", 1, "postgres -D /var/lib/postgresql/17/main"),
        (903, 901, "postgres", "disk-sleep", "postgres", 1, "postgres: checkpointer"),
        (904, 901, "postgres", "running", "postgres", 1, "postgres: app orders [local] SELECT"),
        (1_310, 1, "node-exporter", "sleeping", "prometheus", 9, None),
        (4_711, 1, "cron", "zombie", "root", 1, None),
    ]
    largest = tuple(
        f.Process(
            pid,
            parent,
            name,
            state,
            threads,
            (place + 1) * 37 * 2**20,
            user,
            None if name == "bash" else 1.4 * wave(second, place, 0.0, 1.0),
            86_400.0 * (place + 1) + second,
            None,
            command,
        )
        for place, (pid, parent, name, state, user, threads, command) in enumerate(rows)
    )
    return f.Processes(213, 641, {"sleeping": 205, "running": 6, "zombie": 2}, largest)


def connections() -> f.Connections:
    return f.Connections(
        {"ESTABLISHED": 84, "TIME_WAIT": 12, "LISTEN": 3},
        7,
        (
            f.Listener("tcp", "0.0.0.0", 22, 812, "sshd"),
            f.Listener("tcp6", "::1", 5_432, 901, "postgres"),
            f.Listener("tcp", "192.0.2.17", 9_100),
        ),
        0,
        {"process of a listener": "needs more rights"},
    )


def routes() -> f.Routes:
    return f.Routes(
        (
            f.Route("0.0.0.0/0", "192.0.2.1", "enp5s0", 100),
            f.Route("192.0.2.0/24", None, "enp5s0", 100),
            f.Route("::/0", "fe80::1", "enp5s0", 1_024),
        )
    )


def system(second: float = 0) -> f.System:
    return f.System(12 * 86_400.0 + second, WALL_MS // 1000 - 12 * 86_400, 0.004, 31 * 2**20)


def users() -> f.Users:
    return f.Users(
        (
            f.UserSession("kim", "pts/0", "198.51.100.7", WALL_MS // 1000 - 5_000),
            f.UserSession("root", "tty1", "", WALL_MS // 1000 - 900_000),
        )
    )


def all_families(second: float = 0) -> dict[str, tuple[f.FamilyData, int]]:
    """Every family, and its period in milliseconds."""
    return {
        "cpu": (cpu(second), 1_000),
        "memory": (memory(second), 1_000),
        "swap": (f.Swap(4 * GIB, GIB // 3, 0.083, 0.0, 12_000.0), 5_000),
        "disks": (disks(second), 1_000),
        "filesystems": (filesystems(), 30_000),
        "network": (network(second), 1_000),
        "sensors": (sensors(), 30_000),
        "users": (users(), 60_000),
        "system": (system(second), 5_000),
        "processes": (processes(second), 2_000),
        "connections": (connections(), 30_000),
        "routes": (routes(), 300_000),
    }


def update(
    node_id: str,
    family: str,
    data: f.FamilyData,
    *,
    mono_ms: int = MONO_MS,
    age_ms: int = 1_000,
    period_ms: int = 5_000,
) -> FocusUpdate:
    """One family that arrived `age_ms` ago."""
    sample = FamilySample(family, 0, WALL_MS, period_ms, raw(data))
    return FocusUpdate(node_id, mono_ms, mono_ms - age_ms, sample)


def details(
    node_id: str, *, mono_ms: int = MONO_MS, second: float = 0
) -> Iterator[FocusUpdate | FocusInventory]:
    """All that is sent when a node is focused."""
    yield FocusInventory(node_id, raw(INVENTORY))
    for family, (data, period_ms) in all_families(second).items():
        yield update(node_id, family, data, mono_ms=mono_ms, period_ms=period_ms)


def events_of(node_id: str, name: str) -> tuple[Event, ...]:
    """A node that went and came back."""
    told = (
        ("enrolled", "", "", "from 192.0.2.17"),
        ("state", "joining", "up", ""),
        ("state", "up", "down", "unreachable: nothing heard for 2.5 periods"),
        ("state", "down", "up", ""),
        ("outage", "", "", "away for 4m 12s: rebooted"),
    )
    return tuple(
        Event(number, WALL_MS - (9 - number) * 60_000, event, node_id, name, before, after, text)
        for number, (event, before, after, text) in enumerate(told, 1)
    )


def outages_of(
    node_id: str, name: str, *, wall_ms: int = WALL_MS, is_away: bool = True
) -> tuple[Outage, ...]:
    """Four absences, the last of which lasts, unless the node `is_away` no more."""
    hour_ms = 3_600_000
    rebooted = (
        "boot id changed",
        "up for 42 s",
        "no clean stop was recorded",
        "also: agent and master did not reach each other for 12 s",
    )
    cut = ("the same process throughout", "the host was up: 9 samples were taken meanwhile")

    def outage(number: int, hours: float, lasted_s: int | None, **more: Any) -> Outage:
        from_ms = wall_ms - round(hours * hour_ms)
        to_ms = None if lasted_s is None else from_ms + lasted_s * 1000
        fields: dict[str, Any] = {"cause": "", "evidence": ()} | more
        return Outage(number, node_id, name, from_ms, from_ms + 12_600, to_ms, **fields)

    told = (
        outage(3, 19.5, 1_900, cause="master-away", evidence=("the master was gone for 31 m 2 s",)),
        outage(5, 9.2, 252, cause="host-rebooted", evidence=rebooted, clean=False),
        outage(8, 4.0, 47, cause="network-cut", evidence=cut),
        outage(9, 0.05, None),
    )
    return told if is_away else told[:-1]


def node_detail(name: str) -> NodeDetail:
    """The answer to a question about a node that has been away a little."""
    day_s = 86_400
    availability = (
        Availability(day_s, day_s, 80),
        Availability(7 * day_s, 7 * day_s, 9_000, 600),
        Availability(30 * day_s, 12 * day_s, 9_000, 600),
    )
    soon = TimeToDetect(6_100, 12_600, 30_100, 3_000, 90)
    return NodeDetail(
        1,
        MONO_MS,
        info(name),
        vitals(name),
        raw(None),
        (),
        (),
        availability,
        None,
        soon,
    )
