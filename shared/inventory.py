"""The inventory: what changes rarely about a host, sent on joining and on change.

It carries the names, so that beats carry numbers only: `Core.filesystem_fullest` is an index into
`filesystems`. Two inventories are equal exactly when nothing has changed. The same rules of
evolution, units and hostile strings hold as in `shared.families`.
"""

from typing import Annotated

from msgspec import Meta, Struct

from shared.families import ROWS_LIMIT, Absent, Count, Name, Number
from shared.messages import Labels

_Names = Annotated[tuple[Name, ...], Meta(max_length=ROWS_LIMIT)]


class FilesystemInfo(Struct, frozen=True, array_like=True, gc=False):
    """One mounted filesystem that stores something."""

    mount: Name
    device: Name
    type: Name
    total_kib: Count


class InterfaceInfo(Struct, frozen=True, array_like=True, gc=False):
    """One network interface. `speed_mbps` is None where there is no such thing or it is down."""

    name: Name
    mac: Name | None
    addresses: _Names
    """With prefix lengths: `192.0.2.7/24`, `2001:db8::7/64`."""
    speed_mbps: Count | None
    mtu: Count | None
    up: bool


class FamilyInfo(Struct, frozen=True, array_like=True, gc=False):
    """Whether and how often the agent reads a family, by its own settings."""

    family: Name
    enabled: bool
    period_s: Number
    detail_s: Number


class Inventory(Struct, frozen=True, array_like=True, gc=False):
    """One host as it is."""

    hostname: Name
    os: Name
    """As people call it: `Debian GNU/Linux 12 (bookworm)`."""
    kernel: Name
    architecture: Name
    python: Name
    agent_version: Name
    boot_id: Name
    """Changes with every boot; empty where the system has none."""
    boot_wall_s: int
    """When the host booted, by its own clock."""
    cpu_model: Name | None = None
    cpu_logical: Count | None = None
    cpu_physical: Count | None = None
    memory_total_kib: Count | None = None
    swap_total_kib: Count | None = None
    filesystems: Annotated[tuple[FilesystemInfo, ...], Meta(max_length=ROWS_LIMIT)] = ()
    interfaces: Annotated[tuple[InterfaceInfo, ...], Meta(max_length=ROWS_LIMIT)] = ()
    disks: _Names = ()
    sensors: _Names = ()
    """`chip/label` of each sensor."""
    labels: Labels = {}
    families: Annotated[tuple[FamilyInfo, ...], Meta(max_length=64)] = ()
    absent: Absent = {}
