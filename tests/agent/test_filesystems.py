"""Which filesystems count, and that one whose server is gone does not hide the others."""

import os
import threading
from collections.abc import Iterator
from typing import NamedTuple

import psutil
import pytest

from agent.collectors.filesystems import FilesystemsCollector, Mount, coarse_kib, storing
from agent.collectors.reading import Reading
from shared.families import Filesystems
from shared.messages import raw

NOW_S = 0.0


class Part(NamedTuple):
    device: str
    mountpoint: str
    fstype: str
    opts: str


class Stat(NamedTuple):
    """What statvfs says, in blocks of 4096 bytes."""

    f_blocks: int
    f_bfree: int
    f_bavail: int
    f_files: int = 1000
    f_ffree: int = 900
    f_frsize: int = 4096


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator["Host"]:
    made = Host()
    monkeypatch.setattr(psutil, "disk_partitions", made.partitions)
    monkeypatch.setattr(os, "statvfs", made.statvfs)
    yield made
    made.release.set()


class Host:
    """Mounts and what they say; those in `gone` answer only once released."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.stats: dict[str, Stat | OSError] = {}
        self.gone: set[str] = set()
        self.release = threading.Event()
        self.asked: list[str] = []

    def mount(self, point: str, stat: Stat | OSError, device: str, opts: str = "rw") -> None:
        kind = "ext4" if device.startswith("/dev/") else "nfs4"
        self.parts.append(Part(device, point, kind, opts))
        self.stats[point] = stat

    def partitions(self, all: bool) -> list[Part]:  # noqa: A002 - psutil's name
        return self.parts

    def statvfs(self, point: str) -> Stat:
        self.asked.append(point)
        if point in self.gone:
            self.release.wait(10)
        stat = self.stats[point]
        if isinstance(stat, OSError):
            raise stat
        return stat


def data(reading: Reading) -> Filesystems:
    assert isinstance(reading.data, Filesystems)
    return reading.data


def mount(point: str, kind: str, device: str = "") -> Mount:
    return Mount(point, device or f"/dev/{point}", kind, read_only=False)


@pytest.mark.parametrize(
    "kind", ["proc", "sysfs", "tmpfs", "cgroup2", "autofs", "squashfs", "overlay", "nsfs"]
)
def test_what_stores_nothing_of_its_own_is_left_out(kind: str) -> None:
    assert storing([mount("/x", kind)]) == []


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "zfs", "nfs4", "cifs", "fuse.sshfs", "new"]
)
def test_what_may_store_something_counts(kind: str) -> None:
    assert storing([mount("/x", kind)]) == [mount("/x", kind)]


def test_overlay_counts_as_the_root_of_a_container() -> None:
    root = mount("/", "overlay", "overlay")
    assert storing([root, mount("/var/lib/docker/x/merged", "overlay", "overlay")]) == [root]


def test_device_that_is_mounted_more_than_once_counts_once_at_its_shortest_point() -> None:
    mounts = [mount(p, "ext4", "/dev/sda1") for p in ("/var/lib/bound", "/", "/mnt")]
    assert [each.point for each in storing(mounts)] == ["/"]


def test_usage_is_of_what_programs_may_use(host: Host) -> None:
    host.mount("/", Stat(1000, 400, 200), "/dev/sda1")
    reading = FilesystemsCollector().collect(NOW_S)
    (row,) = data(reading).filesystems
    assert (row.total_bytes, row.used_bytes, row.available_bytes) == (
        4096_000,
        600 * 4096,
        200 * 4096,
    )
    assert row.used_ratio == 0.75
    assert row.inodes_used_ratio == 0.1
    assert reading.core == {
        "filesystem_used_max_bp": 7500,
        "filesystem_fullest": 0,
        "filesystem_inodes_max_bp": 1000,
        "filesystem_free_min_kib": 800,
    }


def test_fullest_is_named_by_its_place_in_the_inventory(host: Host) -> None:
    host.mount("/", Stat(1000, 900, 900), "/dev/sda1")
    host.mount("/data", Stat(1000, 100, 100), "/dev/sdb1")
    host.mount("/home", Stat(1000, 500, 500), "/dev/sdc1")
    reading = FilesystemsCollector().collect(NOW_S)
    fullest = reading.core["filesystem_fullest"]
    assert fullest is not None
    assert reading.facts.get("filesystems", ())[fullest].mount == "/data"


def test_readonly_filesystem_is_reported_but_never_the_fullest(host: Host) -> None:
    host.mount("/", Stat(1000, 900, 900), "/dev/sda1")
    host.mount("/image", Stat(1000, 0, 0), "/dev/sdb1", "ro,nosuid")
    reading = FilesystemsCollector().collect(NOW_S)
    assert [row.read_only for row in data(reading).filesystems] == [False, True]
    assert reading.core["filesystem_used_max_bp"] == 1000


def test_filesystem_without_a_size_is_left_out(host: Host) -> None:
    host.mount("/odd", Stat(0, 0, 0), "/dev/odd")
    reading = FilesystemsCollector().collect(NOW_S)
    assert data(reading).filesystems == ()
    assert reading.core["filesystem_fullest"] is None


def test_filesystem_that_may_not_be_asked_is_absent_with_the_reason(host: Host) -> None:
    host.mount("/", Stat(1000, 900, 900), "/dev/sda1")
    host.mount("/secret", PermissionError(13, "Permission denied"), "/dev/sdb1")
    reading = FilesystemsCollector().collect(NOW_S)
    assert data(reading).absent == {"/secret": "Permission denied"}
    assert len(data(reading).filesystems) == 1


def test_server_that_is_gone_does_not_hide_the_local_filesystems(host: Host) -> None:
    host.mount("/", Stat(1000, 900, 900), "/dev/sda1")
    host.mount("/mnt/nfs", Stat(1000, 100, 100), "server:/export")
    host.gone = {"/mnt/nfs"}
    collector = FilesystemsCollector(answer_s=0.05)

    for _ in range(3):
        reading = collector.collect(NOW_S)
        assert [row.mount for row in data(reading).filesystems] == ["/"]
        assert data(reading).absent == {"/mnt/nfs": "does not answer"}
        assert reading.stuck == "no answer from /mnt/nfs"

    assert host.asked.count("/mnt/nfs") == 1, "one thread waits for it, not three"


def test_server_that_comes_back_is_measured_again(host: Host) -> None:
    host.mount("/mnt/nfs", Stat(1000, 100, 100), "server:/export")
    host.gone = {"/mnt/nfs"}
    patient = FilesystemsCollector(answer_s=0.05)
    assert patient.collect(NOW_S).stuck
    host.release.set()
    patient = _until_it_answers(patient)
    reading = patient.collect(NOW_S)
    assert reading.stuck == ""
    assert [row.mount for row in data(reading).filesystems] == ["/mnt/nfs"]


def _until_it_answers(collector: FilesystemsCollector) -> FilesystemsCollector:
    for question in collector._unanswered.values():
        assert question.done.wait(10)
    return collector


def test_filesystem_that_stops_answering_keeps_its_place_in_the_inventory(host: Host) -> None:
    host.mount("/data", Stat(1000, 100, 100), "server:/export")
    host.mount("/srv", Stat(1000, 50, 50), "/dev/sdb1")
    collector = FilesystemsCollector(answer_s=0.05)
    before = FilesystemsCollector.collect(collector, NOW_S)
    if before.stuck:  # a busy machine may not have run the thread in time
        _until_it_answers(collector)
        before = collector.collect(NOW_S)
    host.gone = {"/data"}
    after = collector.collect(NOW_S)
    assert after.facts == before.facts
    assert after.core["filesystem_fullest"] == 1


@pytest.mark.parametrize("size_kib", [0, 1, 255, 256, 1_000_003, 2**50 + 12345])
def test_size_in_the_inventory_is_within_a_percent(size_kib: int) -> None:
    assert 0.99 * size_kib <= coarse_kib(size_kib) <= size_kib


def test_size_that_wobbles_does_not_change_the_inventory() -> None:
    assert coarse_kib(1_000_000_000) == coarse_kib(1_000_100_000)


def test_mount_whose_name_is_no_text_is_reported_readably(host: Host) -> None:
    host.mount("/mnt/\udcff\udcfe", Stat(1000, 500, 500), "/dev/sdb1")
    reading = FilesystemsCollector().collect(NOW_S)
    assert [row.mount for row in data(reading).filesystems] == ["/mnt/??"]
    assert reading.core["filesystem_fullest"] == 0
    raw(reading.data)
