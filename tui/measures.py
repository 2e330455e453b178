"""What can be measured of a node and compared: one row per measure, for filters, orders and sums.

Pure. A value is None where it is not known: such a node matches no comparison and stands last.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from tui.moment import Moment
from tui.node import Node

Value: TypeAlias = Callable[[Node, Moment], float | None]


class Unit(Enum):
    """How people write the values of a measure."""

    PERCENT = "a percentage, such as 80"
    NUMBER = "a number, such as 1.5"
    SIZE = "a size, such as 512, 10M or 1.5G"
    DURATION = "a duration, such as 30s, 5m, 2h or 3d"


class Total(Enum):
    """What a group of nodes has of a measure."""

    MEAN = "mean"
    SUM = "sum"
    MOST = "most"


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing to compare nodes by."""

    key: str
    unit: Unit
    value: Value
    """Percentages from 0 to 100, sizes in bytes, durations in seconds."""
    total: Total
    meaning: str


def _share(field: str) -> Value:
    def value(node: Node, _moment: Moment) -> float | None:
        basis_points: int | None = getattr(node.core, field)
        return None if basis_points is None else basis_points / 100

    return value


def _number(field: str, scale: float = 1) -> Value:
    def value(node: Node, _moment: Moment) -> float | None:
        number: int | None = getattr(node.core, field)
        return None if number is None else number / scale

    return value


def load_per_core(node: Node, _moment: Moment) -> float | None:
    """The load average of a minute for each processor."""
    core = node.core
    if core.load_1m_centi is None or not core.cpu_count:
        return None
    return core.load_1m_centi / 100 / core.cpu_count


def _age(node: Node, moment: Moment) -> float | None:
    return node.age_s(moment)


_KIB: Final = 1 / 1024

_ALL: Final = (
    Measure("cpu", Unit.PERCENT, _share("cpu_busy_bp"), Total.MEAN, "busy processors"),
    Measure("mem", Unit.PERCENT, _share("memory_used_bp"), Total.MEAN, "memory in use"),
    Measure("swap", Unit.PERCENT, _share("swap_used_bp"), Total.MEAN, "swap space in use"),
    Measure(
        "disk", Unit.PERCENT, _share("filesystem_used_max_bp"), Total.MOST, "fullest filesystem"
    ),
    Measure(
        "inodes", Unit.PERCENT, _share("filesystem_inodes_max_bp"), Total.MOST, "inodes in use"
    ),
    Measure("iowait", Unit.PERCENT, _share("cpu_iowait_bp"), Total.MEAN, "waiting for disks"),
    Measure("load", Unit.NUMBER, _number("load_1m_centi", 100), Total.SUM, "load over a minute"),
    Measure("load/core", Unit.NUMBER, load_per_core, Total.MEAN, "the same per processor"),
    Measure(
        "temp", Unit.NUMBER, _number("temperature_max_dc", 10), Total.MOST, "hottest sensor, °C"
    ),
    Measure(
        "in", Unit.SIZE, _number("network_receive_bytes_per_s"), Total.SUM, "received a second"
    ),
    Measure("out", Unit.SIZE, _number("network_transmit_bytes_per_s"), Total.SUM, "sent a second"),
    Measure("read", Unit.SIZE, _number("disk_read_bytes_per_s"), Total.SUM, "read a second"),
    Measure("write", Unit.SIZE, _number("disk_write_bytes_per_s"), Total.SUM, "written a second"),
    Measure("cpus", Unit.NUMBER, _number("cpu_count"), Total.SUM, "processors"),
    Measure("ram", Unit.SIZE, _number("memory_total_kib", _KIB), Total.SUM, "physical memory"),
    Measure("procs", Unit.NUMBER, _number("processes"), Total.SUM, "processes"),
    Measure("users", Unit.NUMBER, _number("users"), Total.SUM, "users logged in"),
    Measure("up", Unit.DURATION, _number("uptime_s"), Total.MOST, "since the host booted"),
    Measure("age", Unit.DURATION, _age, Total.MOST, "since the last sign of life"),
)

MEASURES: Final[Mapping[str, Measure]] = {measure.key: measure for measure in _ALL}
"""Every measure by its key, the most asked for first."""
