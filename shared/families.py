"""The families in full: what an agent sends of each beside the core sample, on its own period.

One frozen Struct per family, its fields as a MessagePack array in the order written here; fields
are only ever added, at the end, with a default. Units are in the names: `_ratio` is a part of the
whole (of one processor for a process), `_per_s` a rate over the time since the reading before,
`_wall_s` a Unix time by the host's own clock. None and an entry in `absent` (what is missing: why)
mean that the host, or the agent's permissions, do not offer it; that is never an error.

Rows are bounded (`ROWS_LIMIT`), so that a family always fits into a message; `left_out` counts
those beyond. Every string is the host's own and may be hostile: clean it before it is shown.
"""

from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from shared.metrics import LARGEST, Family

ROWS_LIMIT: Final = 256
"""Rows of one kind in a family: hosts with thousands of virtual interfaces or routes exist."""

CORES_LIMIT: Final = 1024
"""Processors reported one by one."""

Count: TypeAlias = Annotated[int, Meta(ge=0, le=LARGEST)]
Number: TypeAlias = Annotated[float, Meta(ge=0, le=LARGEST)]
Ratio: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Celsius: TypeAlias = Annotated[float, Meta(ge=-300, le=100_000)]
Name: TypeAlias = Annotated[str, Meta(max_length=256)]
Text: TypeAlias = Annotated[str, Meta(max_length=4096)]
Absent: TypeAlias = Annotated[dict[Name, Name], Meta(max_length=ROWS_LIMIT)]
Counts: TypeAlias = Annotated[dict[Name, Count], Meta(max_length=64)]


class CpuTimes(Struct, frozen=True, array_like=True, gc=False):
    """What the processors did since the reading before, as parts of their time."""

    busy_ratio: Ratio
    user_ratio: Ratio
    system_ratio: Ratio
    iowait_ratio: Ratio | None = None
    irq_ratio: Ratio | None = None
    steal_ratio: Ratio | None = None


class Cpu(Struct, frozen=True, array_like=True, gc=False):
    """Processors: times in total and per core, clock, load, switches."""

    count: Count
    total: CpuTimes | None = None
    cores: Annotated[tuple[CpuTimes, ...], Meta(max_length=CORES_LIMIT)] = ()
    frequency_mhz: Number | None = None
    frequency_min_mhz: Number | None = None
    frequency_max_mhz: Number | None = None
    load_1m: Number | None = None
    load_5m: Number | None = None
    load_15m: Number | None = None
    context_switches_per_s: Number | None = None
    interrupts_per_s: Number | None = None
    absent: Absent = {}


class Memory(Struct, frozen=True, array_like=True, gc=False):
    """Physical memory. `used` is what is not available to new programs."""

    total_bytes: Count
    available_bytes: Count
    used_ratio: Ratio
    free_bytes: Count
    cached_bytes: Count | None = None
    buffers_bytes: Count | None = None
    shared_bytes: Count | None = None
    active_bytes: Count | None = None
    inactive_bytes: Count | None = None
    slab_bytes: Count | None = None
    absent: Absent = {}


class Swap(Struct, frozen=True, array_like=True, gc=False):
    """Swap space and the traffic to and from it."""

    total_bytes: Count
    used_bytes: Count
    used_ratio: Ratio | None = None
    """None without swap space."""
    in_bytes_per_s: Number | None = None
    out_bytes_per_s: Number | None = None
    absent: Absent = {}


class Disk(Struct, frozen=True, array_like=True, gc=False):
    """One block device, whole. `stacked`: it rests on others, which are counted instead of it."""

    name: Name
    stacked: bool
    read_bytes: Count
    """Since boot, as is `write_bytes`."""
    write_bytes: Count
    read_bytes_per_s: Number | None = None
    write_bytes_per_s: Number | None = None
    reads_per_s: Number | None = None
    writes_per_s: Number | None = None
    busy_ratio: Ratio | None = None


class Disks(Struct, frozen=True, array_like=True, gc=False):
    """Traffic of each disk. Partitions, loop, RAM and optical devices are left out."""

    disks: Annotated[tuple[Disk, ...], Meta(max_length=ROWS_LIMIT)] = ()
    left_out: Count = 0
    absent: Absent = {}


class Filesystem(Struct, frozen=True, array_like=True, gc=False):
    """One mounted filesystem. `used_ratio` is of what unprivileged programs may use, as in `df`."""

    mount: Name
    device: Name
    type: Name
    read_only: bool
    total_bytes: Count
    used_bytes: Count
    available_bytes: Count
    used_ratio: Ratio
    inodes_total: Count | None = None
    inodes_used_ratio: Ratio | None = None


class Filesystems(Struct, frozen=True, array_like=True, gc=False):
    """Filesystems that store something, each once; `absent` names mounts that do not answer."""

    filesystems: Annotated[tuple[Filesystem, ...], Meta(max_length=ROWS_LIMIT)] = ()
    left_out: Count = 0
    absent: Absent = {}


class Interface(Struct, frozen=True, array_like=True, gc=False):
    """Traffic of one network interface; its addresses and speed are in the inventory."""

    name: Name
    loopback: bool
    up: bool | None
    receive_bytes: Count
    """Since the interface came to be, as is `transmit_bytes`."""
    transmit_bytes: Count
    receive_bytes_per_s: Number | None = None
    transmit_bytes_per_s: Number | None = None
    receive_packets_per_s: Number | None = None
    transmit_packets_per_s: Number | None = None
    receive_errors_per_s: Number | None = None
    transmit_errors_per_s: Number | None = None
    receive_drops_per_s: Number | None = None
    transmit_drops_per_s: Number | None = None


class Network(Struct, frozen=True, array_like=True, gc=False):
    """Traffic of each interface, loopback included."""

    interfaces: Annotated[tuple[Interface, ...], Meta(max_length=ROWS_LIMIT)] = ()
    left_out: Count = 0
    absent: Absent = {}


class Temperature(Struct, frozen=True, array_like=True, gc=False):
    """One temperature sensor, with the chip's own thresholds where it has them."""

    chip: Name
    label: Name
    celsius: Celsius
    high_celsius: Celsius | None = None
    critical_celsius: Celsius | None = None


class Fan(Struct, frozen=True, array_like=True, gc=False):
    """One fan, in revolutions a minute."""

    chip: Name
    label: Name
    speed_rpm: Count


class Battery(Struct, frozen=True, array_like=True, gc=False):
    """The battery: its charge, and how long that lasts at the present draw."""

    charge_ratio: Ratio
    plugged: bool | None = None
    left_s: Count | None = None


class Sensors(Struct, frozen=True, array_like=True, gc=False):
    """Temperatures, fans and the battery."""

    temperatures: Annotated[tuple[Temperature, ...], Meta(max_length=ROWS_LIMIT)] = ()
    fans: Annotated[tuple[Fan, ...], Meta(max_length=ROWS_LIMIT)] = ()
    battery: Battery | None = None
    left_out: Count = 0
    absent: Absent = {}


class UserSession(Struct, frozen=True, array_like=True, gc=False):
    """One login; `host` is where it came from, empty when it is local."""

    user: Name
    terminal: Name
    host: Name
    started_wall_s: int


class Users(Struct, frozen=True, array_like=True, gc=False):
    """Who is logged in, session by session."""

    sessions: Annotated[tuple[UserSession, ...], Meta(max_length=ROWS_LIMIT)] = ()
    left_out: Count = 0
    absent: Absent = {}


class System(Struct, frozen=True, array_like=True, gc=False):
    """How long the host has been up, and what the agent itself costs it."""

    uptime_s: Number
    boot_wall_s: int
    agent_cpu_ratio: Number | None = None
    """Of one processor, since the reading before."""
    agent_memory_bytes: Count | None = None
    absent: Absent = {}


class Process(Struct, frozen=True, array_like=True, gc=False):
    """One process. The last three fields are sent only where the host's own settings say so."""

    pid: Count
    parent_pid: Count
    name: Name
    state: Name
    threads: Count
    rss_bytes: Count
    user: Name | None = None
    cpu_ratio: Number | None = None
    """Of one processor, since the reading before; None for a process that is new since then."""
    age_s: Number | None = None
    open_files: Count | None = None
    command_line: Text | None = None
    environment: Annotated[tuple[Text, ...], Meta(max_length=ROWS_LIMIT)] | None = None
    open_file_names: Annotated[tuple[Text, ...], Meta(max_length=ROWS_LIMIT)] | None = None


class Processes(Struct, frozen=True, array_like=True, gc=False):
    """Counts of all processes, and the largest by CPU and by memory in full."""

    total: Count
    threads: Count
    by_state: Counts
    largest: Annotated[tuple[Process, ...], Meta(max_length=ROWS_LIMIT)] = ()
    """Each once, by CPU and then by memory, largest first."""
    absent: Absent = {}


class Listener(Struct, frozen=True, array_like=True, gc=False):
    """One address listened on, with the process where the agent may know it."""

    protocol: Name
    """`tcp`, `tcp6`, `udp` or `udp6`."""
    address: Name
    port: Annotated[int, Meta(ge=0, le=65535)]
    pid: Count | None = None
    process: Name | None = None


class Connections(Struct, frozen=True, array_like=True, gc=False):
    """TCP connections by state, UDP sockets, and the ports listened on."""

    tcp_by_state: Counts
    udp_sockets: Count
    listening: Annotated[tuple[Listener, ...], Meta(max_length=ROWS_LIMIT)] = ()
    left_out: Count = 0
    absent: Absent = {}


class Route(Struct, frozen=True, array_like=True, gc=False):
    """One route of the main table: `destination` as address/length, `gateway` None when direct."""

    destination: Name
    gateway: Name | None
    interface: Name
    metric: Count


class Routes(Struct, frozen=True, array_like=True, gc=False):
    """The host's routes, IPv4 then IPv6, without local and multicast ones."""

    routes: Annotated[tuple[Route, ...], Meta(max_length=ROWS_LIMIT)] = ()
    left_out: Count = 0
    absent: Absent = {}


FamilyData: TypeAlias = (
    Cpu
    | Memory
    | Swap
    | Disks
    | Filesystems
    | Network
    | Sensors
    | Users
    | System
    | Processes
    | Connections
    | Routes
)
"""The content of a `messages.FamilySample`."""

FAMILY_TYPES: Final[Mapping[Family, type[FamilyData]]] = {
    "cpu": Cpu,
    "memory": Memory,
    "swap": Swap,
    "disks": Disks,
    "filesystems": Filesystems,
    "network": Network,
    "sensors": Sensors,
    "users": Users,
    "system": System,
    "processes": Processes,
    "connections": Connections,
    "routes": Routes,
}

_DECODERS: Final[Mapping[str, msgspec.msgpack.Decoder[FamilyData]]] = {
    family: msgspec.msgpack.Decoder(type_) for family, type_ in FAMILY_TYPES.items()
}


def decode_family(family: str, raw: msgspec.Raw | bytes) -> FamilyData | None:
    """The Struct of a family's MessagePack, or None for a family this version does not know.

    Raises:
        msgspec.ValidationError: the bytes are not such a family.
    """
    decoder = _DECODERS.get(family)
    return None if decoder is None else decoder.decode(raw)
