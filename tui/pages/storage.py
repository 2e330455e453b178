"""Filesystems, and the disks beneath them."""

from typing import Final

from shared.families import Disk, Disks, Filesystem, Filesystems
from tui.columns import shorten_path
from tui.look import Look
from tui.pages.page import Scene, Sheet, waiting
from tui.pages.parts import Field, bar, cell, heading, muted, number, percent, rate, size, table
from tui.tones import Piece, Pieces, Tone

_BAR: Final = 12
_MOUNT_MOST: Final = 40

_FILESYSTEM: Final = (
    Field("mounted on", most=_MOUNT_MOST, is_flexible=True),
    Field("used"),
    Field("of", is_number=True),
    Field("available", is_number=True),
    Field("inodes", is_number=True, leaves=2),
    Field("type", leaves=1),
    Field("device", most=32, leaves=3),
)
_DISK: Final = (
    Field("disk", most=24),
    Field("busy"),
    Field("read", is_number=True),
    Field("written", is_number=True),
    Field("reads/s", is_number=True, leaves=1),
    Field("writes/s", is_number=True, leaves=1),
    Field("read since boot", is_number=True, leaves=2),
    Field("written since boot", is_number=True, leaves=2),
    Field("", leaves=3),
)


def storage(scene: Scene) -> Sheet:
    """The fullest filesystem first, then the disks as the host names them."""
    filesystems, disks = scene.focus.data(Filesystems), scene.focus.data(Disks)
    look = scene.sight.look
    body: list[Pieces] = []
    if filesystems is not None:
        ordered = sorted(filesystems.filesystems, key=lambda each: -each.used_ratio)
        titles, lines = table(_FILESYSTEM, [_filesystem(f, look) for f in ordered], scene.width)
        body += [heading("Filesystems", f"{len(ordered)}"), titles, *lines, ()]
    if disks is not None:
        titles, lines = table(_DISK, [_disk(disk, look) for disk in disks.disks], scene.width)
        body += [heading("Disks", f"{len(disks.disks)}"), titles, *lines]
    return Sheet(body or waiting("filesystems"))


def _filesystem(each: Filesystem, look: Look) -> tuple[Pieces, ...]:
    read_only = (Piece(" read-only", Tone.WARM),) if each.read_only else ()
    return (
        (Piece(shorten_path(each.mount, _MOUNT_MOST - 10)), *read_only),
        bar(each.used_ratio, _BAR, look),
        size(each.total_bytes),
        size(each.available_bytes),
        percent(each.inodes_used_ratio, look),
        muted(each.type),
        muted(each.device),
    )


def _disk(disk: Disk, look: Look) -> tuple[Pieces, ...]:
    return (
        cell(disk.name),
        bar(disk.busy_ratio, _BAR, look),
        rate(disk.read_bytes_per_s),
        rate(disk.write_bytes_per_s),
        number(disk.reads_per_s),
        number(disk.writes_per_s),
        size(disk.read_bytes),
        size(disk.write_bytes),
        muted("rests on others" if disk.stacked else ""),
    )
