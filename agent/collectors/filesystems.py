"""Usage of filesystems that store something.

The rule: left out are types that hold no storage of their own (`PSEUDO_TYPES`: kernel interfaces,
memory, overlays of others) or can only be full (`IMAGE_TYPES`: read-only images), and whatever
reports a size of zero. An overlay mounted on `/` is kept: inside a container it is the only
filesystem there is. A device mounted more than once (bind mounts, subvolumes) counts once, at its
shortest mount point. What is mounted read-only is reported but cannot fill up, so it is never the
fullest.

A filesystem whose server is gone holds its caller for good. So whatever is not on a device of
this host is asked aside, in a thread of its own that is given a moment and, while it has not
returned, is not started again: at most one waits per mount, and the rest is measured regardless.
"""

import os
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import psutil

from agent.collectors.reading import Reading, bp, kib
from agent.rates import share
from agent.wording import fit
from shared.families import ROWS_LIMIT, Filesystem, Filesystems
from shared.inventory import FilesystemInfo
from shared.metrics import Family
from shared.text import TEXT_LIMIT_CHARACTERS

# fmt: off
PSEUDO_TYPES: Final = frozenset({
    "autofs", "binder", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "cpuset", "debugfs",
    "devfs", "devpts", "devtmpfs", "efivarfs", "fdescfs", "fuse.gvfsd-fuse", "fuse.lxcfs",
    "fuse.portal", "fusectl", "hugetlbfs", "linprocfs", "linsysfs", "mqueue", "nsfs", "nullfs",
    "overlay", "proc", "procfs", "pstore", "ramfs", "resctrl", "rootfs", "rpc_pipefs",
    "securityfs", "selinuxfs", "smackfs", "sysfs", "tmpfs", "tracefs",
})
# fmt: on
IMAGE_TYPES: Final = frozenset(
    {"cd9660", "cdfs", "cramfs", "erofs", "fuse.snapfuse", "iso9660", "squashfs", "udf"}
)

ANSWER_S: Final = 1.0
"""How long the filesystems asked aside are waited for, all together."""

_TYPE_OF_CONTAINERS_ROOT: Final = "overlay"
_LOCAL_DEVICES: Final = "/dev/"


class Mount(NamedTuple):
    """One line of the table of mounts."""

    point: str
    device: str
    type: str
    read_only: bool


class Space(NamedTuple):
    """How much a filesystem holds; `available` is what unprivileged programs may still use."""

    total_bytes: int
    used_bytes: int
    available_bytes: int


class FilesystemsCollector:
    """How full filesystems are, in space and in inodes."""

    family: Family = "filesystems"

    def __init__(self, answer_s: float = ANSWER_S) -> None:
        self._answer_s = answer_s
        self._unanswered: dict[str, _Question] = {}
        self._infos: dict[str, FilesystemInfo] = {}

    def collect(self, now_s: float) -> Reading:
        """See `Collector`."""
        del now_s
        mounts = storing(_mounts())
        measured = mounts[:ROWS_LIMIT]
        questions = [self._question(mount) for mount in measured]
        self._wait(questions)
        self._unanswered = {q.mount.point: q for q in questions if not q.done.is_set()}
        rows = {q.mount.point: q.row for q in questions if q.row and q.done.is_set()}
        absent = {q.mount.point: q.reason for q in questions if q.reason}
        known = self._infos
        points = [mount.point for mount in measured]
        self._infos = {
            point: _info(rows[point]) if point in rows else known[point]
            for point in points
            if point in rows or point in known
        }
        data = Filesystems(
            filesystems=tuple(rows.values()),
            left_out=len(mounts) - len(measured),
            absent={fit(point): reason for point, reason in absent.items()},
        )
        return Reading(
            data=data,
            core=_core(rows, list(self._infos)),
            facts={"filesystems": tuple(self._infos.values())},
            stuck=_stuck(self._unanswered),
        )

    def _question(self, mount: Mount) -> "_Question":
        """The question that still hangs on this mount, or a new one, asked."""
        hanging = self._unanswered.get(mount.point)
        if hanging is not None:
            return hanging
        question = _Question(mount)
        if mount.device.startswith(_LOCAL_DEVICES):
            question.ask()
        else:
            threading.Thread(target=question.ask, name=f"ask {mount.point}", daemon=True).start()
        return question

    def _wait(self, questions: list["_Question"]) -> None:
        until_s = time.monotonic() + self._answer_s
        for question in questions:
            question.done.wait(max(0.0, until_s - time.monotonic()))


class _Question:
    """What was asked about one mount; written by the thread that asks, before `done`."""

    __slots__ = ("done", "mount", "reason", "row")

    def __init__(self, mount: Mount) -> None:
        self.mount = mount
        self.done = threading.Event()
        self.row: Filesystem | None = None
        self.reason = "does not answer"

    def ask(self) -> None:
        """Asks the filesystem. May never return."""
        try:
            self.row = _usage(self.mount)
            self.reason = ""
        except OSError as error:
            self.reason = error.strerror or type(error).__name__
        self.done.set()


def storing(mounts: Iterable[Mount]) -> list[Mount]:
    """The mounts that store something, each device once, by mount point."""
    shortest: dict[str, Mount] = {}
    for mount in mounts:
        if mount.type in PSEUDO_TYPES | IMAGE_TYPES and not (
            mount.type == _TYPE_OF_CONTAINERS_ROOT and mount.point == "/"
        ):
            continue
        known = shortest.get(mount.device)
        if known is None or len(mount.point) < len(known.point):
            shortest[mount.device] = mount
    return sorted(shortest.values())


def _mounts() -> list[Mount]:
    return [
        Mount(part.mountpoint, part.device, part.fstype, "ro" in part.opts.split(","))
        for part in psutil.disk_partitions(all=True)
    ]


def _usage(mount: Mount) -> Filesystem | None:
    """What the filesystem says of itself; None when it has no size. May never return."""
    if hasattr(os, "statvfs"):
        stat = os.statvfs(mount.point)
        unit = stat.f_frsize
        space = Space(
            stat.f_blocks * unit, (stat.f_blocks - stat.f_bfree) * unit, stat.f_bavail * unit
        )
        inodes_total, inodes_free = stat.f_files, stat.f_ffree
    else:
        usage = psutil.disk_usage(mount.point)
        space = Space(usage.total, usage.used, usage.free)
        inodes_total, inodes_free = 0, 0
    if space.total_bytes <= 0:
        return None
    return Filesystem(
        mount=fit(mount.point),
        device=fit(mount.device),
        type=fit(mount.type),
        read_only=mount.read_only,
        total_bytes=space.total_bytes,
        used_bytes=max(0, space.used_bytes),
        available_bytes=space.available_bytes,
        used_ratio=share(space.used_bytes, space.used_bytes + space.available_bytes),
        inodes_total=inodes_total or None,
        inodes_used_ratio=share(inodes_total - inodes_free, inodes_total) if inodes_total else None,
    )


def _info(row: Filesystem) -> FilesystemInfo:
    return FilesystemInfo(row.mount, row.device, row.type, coarse_kib(row.total_bytes // 1024))


def coarse_kib(size_kib: int) -> int:
    """A size to within one percent: one that wobbles (ZFS) is no change of the inventory."""
    dropped = max(0, size_kib.bit_length() - 8)
    return size_kib >> dropped << dropped


def _stuck(points: Iterable[str]) -> str:
    named = ", ".join(points)
    return fit(f"no answer from {named}", TEXT_LIMIT_CHARACTERS) if named else ""


def _core(rows: Mapping[str, Filesystem], points: list[str]) -> dict[str, int | None]:
    """`points` are the mount points of the inventory, in its order."""
    writable = {point: row for point, row in rows.items() if not row.read_only}
    fullest = max(writable, key=lambda point: writable[point].used_ratio, default=None)
    ratios = [row.inodes_used_ratio for row in writable.values()]
    inodes = [ratio for ratio in ratios if ratio is not None]
    free = [row.available_bytes for row in writable.values()]
    return {
        "filesystem_used_max_bp": None if fullest is None else bp(writable[fullest].used_ratio),
        "filesystem_fullest": None if fullest is None else points.index(fullest),
        "filesystem_inodes_max_bp": bp(max(inodes, default=None)),
        "filesystem_free_min_kib": kib(min(free, default=None)),
    }
