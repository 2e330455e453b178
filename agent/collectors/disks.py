"""Traffic of block devices.

Partitions belong to their disk; loop, RAM, floppy and optical devices are no disks. A device that
rests on others (RAID, LVM, encryption) is reported, but what passes through it is counted at the
bottom only, so that no byte is counted twice in the host's totals.
"""

import sys
from pathlib import Path
from typing import Final, Protocol

import psutil

from agent.collectors.reading import Reading, bp, whole
from agent.rates import Counters, Rates
from agent.wording import fit
from shared.families import ROWS_LIMIT, Disk, Disks
from shared.metrics import Family

_BLOCK_DEVICES: Final = Path("/sys/block")
_NO_DISKS: Final = ("loop", "ram", "zram", "sr", "fd")


class DiskCounters(Protocol):
    """psutil's counters of one device since boot."""

    @property
    def read_count(self) -> int: ...
    @property
    def write_count(self) -> int: ...
    @property
    def read_bytes(self) -> int: ...
    @property
    def write_bytes(self) -> int: ...


class DisksCollector:
    """Reads, writes and busy time of each disk since the reading before."""

    family: Family = "disks"

    def __init__(self) -> None:
        self._counters = Counters()
        self._seen: frozenset[str] = frozenset()
        self._stacked: dict[str, bool] = {}

    def collect(self, now_s: float) -> Reading:
        """See `Collector`."""
        counted = psutil.disk_io_counters(perdisk=True, nowrap=False)
        if counted.keys() != self._seen:
            self._seen = frozenset(counted)
            self._stacked = whole_disks(self._seen, _BLOCK_DEVICES)
        rows = {name: counted[name] for name in sorted(self._stacked)}
        rates = self._counters.update({name: _counters(row) for name, row in rows.items()}, now_s)
        disks = [_disk(name, row, self._stacked[name], rates[name]) for name, row in rows.items()]
        data = Disks(
            disks=tuple(disks[:ROWS_LIMIT]),
            left_out=max(0, len(disks) - ROWS_LIMIT),
            absent={} if disks else {"disks": "this system reports no disks"},
        )
        return Reading(data, _core(disks), {"disks": tuple([disk.name for disk in data.disks])})


def whole_disks(names: frozenset[str], block_devices: Path) -> dict[str, bool]:
    """Those of the devices that are disks, and whether each is stacked on others.

    `block_devices` is /sys/block; where it does not exist, the system reports whole disks only.
    """
    candidates = [name for name in names if not name.startswith(_NO_DISKS)]
    if not sys.platform.startswith("linux") or not block_devices.is_dir():
        return dict.fromkeys(candidates, False)
    return {
        name: _has_entries(block_devices / name / "slaves")
        for name in candidates
        if (block_devices / name).exists()
    }


def _has_entries(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _counters(row: DiskCounters) -> tuple[int, ...]:
    busy_ms: int = getattr(row, "busy_time", 0)
    return (row.read_bytes, row.write_bytes, row.read_count, row.write_count, busy_ms)


def _disk(name: str, row: DiskCounters, stacked: bool, rates: Rates) -> Disk:
    if rates is None:
        return Disk(fit(name), stacked, row.read_bytes, row.write_bytes)
    read_bytes_per_s, write_bytes_per_s, reads_per_s, writes_per_s, busy_ms_per_s = rates
    return Disk(
        name=fit(name),
        stacked=stacked,
        read_bytes=row.read_bytes,
        write_bytes=row.write_bytes,
        read_bytes_per_s=read_bytes_per_s,
        write_bytes_per_s=write_bytes_per_s,
        reads_per_s=reads_per_s,
        writes_per_s=writes_per_s,
        busy_ratio=min(busy_ms_per_s / 1000, 1.0) if hasattr(row, "busy_time") else None,
    )


def _core(disks: list[Disk]) -> dict[str, int | None]:
    known = [disk for disk in disks if disk.reads_per_s is not None]
    counted = [disk for disk in known if not disk.stacked]

    def total(field: str) -> int | None:
        return whole(sum([getattr(disk, field) for disk in counted])) if counted else None

    busy = [disk.busy_ratio for disk in known if disk.busy_ratio is not None]
    return {
        "disk_read_bytes_per_s": total("read_bytes_per_s"),
        "disk_write_bytes_per_s": total("write_bytes_per_s"),
        "disk_reads_per_s": total("reads_per_s"),
        "disk_writes_per_s": total("writes_per_s"),
        "disk_busy_max_bp": bp(max(busy, default=None)),
    }
