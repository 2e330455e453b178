"""What a collector is and what it returns.

A collector reads one family of the host, blocking, in a worker thread, and is never called again
before it has returned; it keeps what it needs to tell rates (the counters before) and little else.
What the host does not offer, or the agent may not see, goes into the family's `absent` with its
reason. An exception of `MEASURING_ERRORS` means that the reading failed; any other is a bug.
"""

from collections.abc import Mapping
from typing import Final, Protocol, TypeAlias, TypedDict, runtime_checkable

import psutil
from msgspec import Struct

from shared.families import FamilyData
from shared.inventory import FilesystemInfo, InterfaceInfo
from shared.metrics import LARGEST, Family

MEASURING_ERRORS: Final = (
    OSError,
    psutil.Error,
    ValueError,
    LookupError,
    ArithmeticError,
    NotImplementedError,
)
"""What reading a host can raise: files that are gone, refused or not as expected."""

CoreValues: TypeAlias = Mapping[str, int | None]
"""Values of `shared.metrics.Core` by the name of the field."""


class Facts(TypedDict, total=False):
    """What a family contributes to the inventory, by the name of `Inventory`'s field."""

    hostname: str
    cpu_model: str | None
    cpu_logical: int | None
    cpu_physical: int | None
    memory_total_kib: int
    swap_total_kib: int
    filesystems: tuple[FilesystemInfo, ...]
    interfaces: tuple[InterfaceInfo, ...]
    disks: tuple[str, ...]
    sensors: tuple[str, ...]


class Reading(Struct, frozen=True):
    """One family, read once."""

    data: FamilyData
    core: CoreValues
    facts: Facts = {}
    stuck: str = ""
    """What of the family does not answer, while the rest was read."""


class Collector(Protocol):
    """Reads one family."""

    @property
    def family(self) -> Family: ...

    def collect(self, now_s: float) -> Reading:
        """Reads the family; blocks. `now_s` is monotonic and was read just before.

        Raises:
            One of `MEASURING_ERRORS`: the family could not be read this time.
        """
        ...


@runtime_checkable
class Attentive(Protocol):
    """A collector that tells more of its family while somebody looks."""

    def look_closely(self, is_watched: bool, /) -> None:
        """From the next reading on. Called in trio's thread; must not block."""
        ...


def whole(value: float | None, scale: int = 1) -> int | None:
    """`value · scale` as a number of the core sample, or None where that holds no such number."""
    if value is None or not 0 <= value * scale <= LARGEST:
        return None
    return round(value * scale)


def bp(ratio: float | None) -> int | None:
    """A ratio in basis points."""
    return whole(ratio, 10_000)


def kib(size_bytes: float | None) -> int | None:
    """A size in KiB."""
    return whole(size_bytes, 1) if size_bytes is None else whole(size_bytes / 1024)
