"""The core sample: the numbers that travel in every beat.

Integers only, in units chosen so that most take one to three bytes of MessagePack: a beat of some
sixty values stays under 400 bytes where sixty floats would need 540. The unit is in the name:
`_bp` basis points (1/10,000 of the whole), `_kib` 1024 bytes, `_centi` hundredths, `_dc` tenths of
a degree Celsius, `_per_s` a rate over the time since the sample before.

None means "not known here": no such hardware, no permission, or the first sample of a counter. The
position of a field is its number on the wire: fields are only ever added, at the end, and never
reused.
"""

from functools import cache
from typing import Annotated, Any, Final, Literal, cast, get_args

import msgspec.inspect
from msgspec import Meta, Struct
from msgspec.inspect import StructType

LARGEST: Final = 2**53
"""Largest number accepted: exact in every language's double, and beyond every honest value."""

_N = Annotated[int, Meta(ge=0, le=LARGEST)] | None

Family = Literal[
    "cpu",
    "memory",
    "swap",
    "disks",
    "filesystems",
    "network",
    "sensors",
    "users",
    "system",
    "processes",
    "connections",
    "routes",
]
"""The families an agent of this version can measure, each with its own period and switch."""

FAMILIES: Final[tuple[Family, ...]] = get_args(Family)


class Core(Struct, frozen=True, array_like=True, gc=False):
    """One host's vital signs at one instant. Sixty-four values, None where not known."""

    # cpu
    cpu_busy_bp: Annotated[_N, Meta(description="Time not idle and not waiting for I/O")] = None
    cpu_user_bp: Annotated[_N, Meta(description="Time in user mode, nice included")] = None
    cpu_system_bp: Annotated[_N, Meta(description="Time in the kernel")] = None
    cpu_iowait_bp: Annotated[_N, Meta(description="Time idle with I/O outstanding")] = None
    cpu_irq_bp: Annotated[_N, Meta(description="Time serving interrupts")] = None
    cpu_steal_bp: Annotated[_N, Meta(description="Time taken by the hypervisor")] = None
    cpu_core_max_bp: Annotated[_N, Meta(description="Busy time of the busiest core")] = None
    cpu_count: Annotated[_N, Meta(description="Logical processors online")] = None
    cpu_frequency_mhz: Annotated[_N, Meta(description="Mean clock of the processors")] = None
    context_switches_per_s: Annotated[_N, Meta(description="Context switches")] = None
    interrupts_per_s: Annotated[_N, Meta(description="Hardware interrupts")] = None
    load_1m_centi: Annotated[_N, Meta(description="Load average over 1 minute")] = None
    load_5m_centi: Annotated[_N, Meta(description="Load average over 5 minutes")] = None
    load_15m_centi: Annotated[_N, Meta(description="Load average over 15 minutes")] = None
    # memory and swap
    memory_total_kib: Annotated[_N, Meta(description="Physical memory")] = None
    memory_used_bp: Annotated[_N, Meta(description="Memory not available to new programs")] = None
    memory_available_kib: Annotated[_N, Meta(description="Available without swapping")] = None
    memory_free_kib: Annotated[_N, Meta(description="Memory holding nothing")] = None
    memory_cached_kib: Annotated[_N, Meta(description="Page cache")] = None
    memory_buffers_kib: Annotated[_N, Meta(description="Buffers of block devices")] = None
    memory_shared_kib: Annotated[_N, Meta(description="Shared memory and tmpfs")] = None
    swap_total_kib: Annotated[_N, Meta(description="Swap space")] = None
    swap_used_bp: Annotated[_N, Meta(description="Swap space in use")] = None
    swap_in_bytes_per_s: Annotated[_N, Meta(description="Read back from swap")] = None
    swap_out_bytes_per_s: Annotated[_N, Meta(description="Written out to swap")] = None
    # disks, all devices together unless said otherwise
    disk_read_bytes_per_s: Annotated[_N, Meta(description="Read from disks")] = None
    disk_write_bytes_per_s: Annotated[_N, Meta(description="Written to disks")] = None
    disk_reads_per_s: Annotated[_N, Meta(description="Read operations")] = None
    disk_writes_per_s: Annotated[_N, Meta(description="Write operations")] = None
    disk_busy_max_bp: Annotated[_N, Meta(description="Busy time of the busiest disk")] = None
    # filesystems
    filesystem_used_max_bp: Annotated[_N, Meta(description="Use of the fullest filesystem")] = None
    filesystem_fullest: Annotated[_N, Meta(description="Which: its index in the inventory")] = None
    filesystem_inodes_max_bp: Annotated[_N, Meta(description="Highest use of inodes")] = None
    filesystem_free_min_kib: Annotated[_N, Meta(description="Least free space of any")] = None
    # network: interfaces that are hardware; where there are none, all but loopback
    network_receive_bytes_per_s: Annotated[_N, Meta(description="Received")] = None
    network_transmit_bytes_per_s: Annotated[_N, Meta(description="Sent")] = None
    network_receive_packets_per_s: Annotated[_N, Meta(description="Packets received")] = None
    network_transmit_packets_per_s: Annotated[_N, Meta(description="Packets sent")] = None
    network_receive_errors_per_s: Annotated[_N, Meta(description="Errors receiving")] = None
    network_transmit_errors_per_s: Annotated[_N, Meta(description="Errors sending")] = None
    network_receive_drops_per_s: Annotated[_N, Meta(description="Incoming packets dropped")] = None
    network_transmit_drops_per_s: Annotated[_N, Meta(description="Outgoing packets dropped")] = None
    network_interfaces_up: Annotated[_N, Meta(description="Interfaces that are up")] = None
    # sensors
    temperature_max_dc: Annotated[_N, Meta(description="Hottest sensor")] = None
    fan_min_rpm: Annotated[_N, Meta(description="Slowest fan")] = None
    battery_bp: Annotated[_N, Meta(description="Charge of the battery")] = None
    power_plugged: Annotated[_N, Meta(description="1 on mains, 0 on battery")] = None
    # users, uptime
    users: Annotated[_N, Meta(description="Users logged in")] = None
    uptime_s: Annotated[_N, Meta(description="Seconds since the host booted")] = None
    # processes
    processes: Annotated[_N, Meta(description="Processes")] = None
    processes_running: Annotated[_N, Meta(description="Processes running or runnable")] = None
    processes_blocked: Annotated[_N, Meta(description="Processes waiting for a disk")] = None
    processes_stopped: Annotated[_N, Meta(description="Processes stopped or traced")] = None
    processes_zombie: Annotated[_N, Meta(description="Processes dead but not reaped")] = None
    threads: Annotated[_N, Meta(description="Threads of all processes")] = None
    process_cpu_max_bp: Annotated[_N, Meta(description="Busiest process, of one core")] = None
    process_memory_max_kib: Annotated[_N, Meta(description="Largest resident set")] = None
    # connections
    tcp_established: Annotated[_N, Meta(description="TCP connections established")] = None
    tcp_listening: Annotated[_N, Meta(description="TCP ports listened on")] = None
    tcp_time_wait: Annotated[_N, Meta(description="TCP connections in TIME_WAIT")] = None
    tcp_close_wait: Annotated[_N, Meta(description="TCP connections in CLOSE_WAIT")] = None
    udp_sockets: Annotated[_N, Meta(description="UDP sockets")] = None
    # the agent itself
    agent_cpu_bp: Annotated[_N, Meta(description="CPU of the agent, of one core")] = None
    agent_memory_kib: Annotated[_N, Meta(description="Resident set of the agent")] = None


class Metric(Struct, frozen=True):
    """One row of the table of core metrics, made from `Core`'s own annotations."""

    index: int
    """Its position in `Core`, and so its number on the wire."""
    name: str
    unit: str
    scale: int
    """Divide the wire's integer by this to get the value in `unit`."""
    description: str


_UNITS: Final = (
    ("_bp", "ratio", 10_000),
    ("_centi", "load", 100),
    ("_dc", "°C", 10),
    ("_kib", "KiB", 1),
    ("_mhz", "MHz", 1),
    ("_rpm", "rpm", 1),
    ("_bytes_per_s", "B/s", 1),
    ("_per_s", "/s", 1),
    ("_s", "s", 1),
)


def _metric(index: int, field: msgspec.inspect.Field) -> Metric:
    unit, scale = next(
        ((unit, scale) for suffix, unit, scale in _UNITS if field.name.endswith(suffix)),
        ("count", 1),
    )
    annotated: Any = field.type  # msgspec types its schema as a bare dict
    description: str = annotated.extra_json_schema["description"]
    return Metric(index, field.name, unit, scale, description)


@cache
def metrics() -> tuple[Metric, ...]:
    """Every core metric in wire order: what documentation, history and exporters read."""
    core = cast("StructType", msgspec.inspect.type_info(Core))
    return tuple(_metric(index, field) for index, field in enumerate(core.fields))
