"""What there is in a fleet: the kinds of hosts, their hardware, software and habits. Data only."""

from typing import Final

from msgspec import Struct

MIB: Final = 2**20


class Mount(Struct, frozen=True):
    """A filesystem: how large it is, and how full it usually is."""

    point: str
    device: str
    type: str
    gib: int
    used: float

    @property
    def is_remote(self) -> bool:
        """Whether a file server has to answer for it."""
        return self.type == "nfs4"


class Service(Struct, frozen=True):
    """A program that such hosts run: a first process, and `workers` that it has started."""

    name: str
    user: str
    cpu: float
    """Its part of what the host computes."""
    memory: float
    """Its part of what the host's memory holds."""
    workers: int = 0
    threads: int = 1
    port: int | None = None


class Jobs(Struct, frozen=True):
    """Work that comes in pieces: in each span of `span_s`, with this chance, so much load."""

    span_s: float
    chance: float
    cpu: float


class Role(Struct, frozen=True, kw_only=True):
    """A kind of host. Ratios are of all its processors or all its memory."""

    name: str
    weight: int
    cpus: tuple[int, ...]
    gib_per_cpu: int
    cpu_model: str
    os: str
    kernel: str
    mounts: tuple[Mount, ...]
    services: tuple[Service, ...]
    steady: float
    """Load that is always there."""
    daily: float
    """Load that comes and goes with the day."""
    restless: float
    """How far the load strays from that."""
    jobs: Jobs | None = None
    memory: float = 0.5
    swap_gib: int = 4
    link_mbps: int = 10_000
    receive: float = 0.05
    """Of the link, at full load; `transmit` too."""
    transmit: float = 0.05
    disk_bytes_per_s: float = 20 * MIB
    """Written at full load."""
    clients: int = 300
    """Connections at full load."""
    is_virtual: bool = False
    """Virtual machines have no sensors."""
    architecture: str = "x86_64"
    cool_celsius: float = 34.0
    warming_celsius: float = 38.0
    """Above `cool_celsius`, at full load."""
    fans: int = 4


_DEBIAN: Final = ("Debian GNU/Linux 12 (bookworm)", "Linux 6.1.0-37-amd64")
_UBUNTU: Final = ("Ubuntu 24.04.3 LTS", "Linux 6.8.0-79-generic")
_ROCKY: Final = ("Rocky Linux 9.6 (Blue Onyx)", "Linux 5.14.0-570.el9.x86_64")

_WEB: Final = Role(
    name="web",
    weight=30,
    cpus=(8, 8, 16),
    gib_per_cpu=2,
    cpu_model="AMD EPYC 7543P 32-Core Processor",
    os=_DEBIAN[0],
    kernel=_DEBIAN[1],
    mounts=(
        Mount("/", "/dev/vda1", "ext4", 40, 0.38),
        Mount("/var/log", "/dev/vdb", "ext4", 20, 0.52),
    ),
    services=(
        Service("nginx", "www-data", 0.30, 0.08, workers=8, port=443),
        Service("gunicorn", "app", 0.55, 0.60, workers=8, port=8000),
        Service("vector", "vector", 0.06, 0.06, threads=12),
    ),
    steady=0.08,
    daily=0.38,
    restless=0.10,
    memory=0.46,
    receive=0.02,
    transmit=0.09,
    clients=2400,
    disk_bytes_per_s=6 * MIB,
    is_virtual=True,
)

_APP: Final = Role(
    name="app",
    weight=18,
    cpus=(8, 16, 16),
    gib_per_cpu=4,
    cpu_model="Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz",
    os=_UBUNTU[0],
    kernel=_UBUNTU[1],
    mounts=(
        Mount("/", "/dev/vda1", "ext4", 60, 0.44),
        Mount("/var/lib/containerd", "/dev/vdb", "xfs", 120, 0.58),
    ),
    services=(
        Service("java", "orders", 0.52, 0.56, threads=164, port=8080),
        Service("containerd", "root", 0.05, 0.06, threads=28),
        Service("kubelet", "root", 0.06, 0.07, threads=31, port=10250),
        Service("envoy", "envoy", 0.20, 0.05, threads=18, port=15001),
    ),
    steady=0.12,
    daily=0.30,
    restless=0.12,
    memory=0.58,
    receive=0.04,
    transmit=0.05,
    disk_bytes_per_s=12 * MIB,
    is_virtual=True,
)

_DB: Final = Role(
    name="db",
    weight=12,
    cpus=(32, 48, 64),
    gib_per_cpu=8,
    cpu_model="AMD EPYC 9354 32-Core Processor",
    os=_DEBIAN[0],
    kernel=_DEBIAN[1],
    mounts=(
        Mount("/", "/dev/md0", "ext4", 100, 0.21),
        Mount("/var/lib/postgresql", "/dev/mapper/data-pg", "xfs", 3500, 0.63),
        Mount("/var/lib/postgresql/wal", "/dev/nvme2n1", "ext4", 400, 0.34),
        Mount("/backup", "/dev/md1", "xfs", 8000, 0.71),
    ),
    services=(
        Service("postgres", "postgres", 0.86, 0.90, workers=14, port=5432),
        Service("pgbouncer", "postgres", 0.05, 0.01, port=6432),
        Service("walg", "postgres", 0.03, 0.01, threads=9),
    ),
    steady=0.14,
    daily=0.22,
    restless=0.10,
    memory=0.74,
    swap_gib=8,
    link_mbps=25_000,
    receive=0.05,
    transmit=0.12,
    clients=900,
    disk_bytes_per_s=420 * MIB,
    fans=6,
)

_CACHE: Final = Role(
    name="cache",
    weight=8,
    cpus=(8, 16),
    gib_per_cpu=16,
    cpu_model="Intel(R) Xeon(R) Gold 6442Y",
    os=_DEBIAN[0],
    kernel=_DEBIAN[1],
    mounts=(
        Mount("/", "/dev/nvme0n1p2", "ext4", 80, 0.27),
        Mount("/var/lib/valkey", "/dev/nvme1n1", "xfs", 900, 0.48),
    ),
    services=(
        Service("valkey-server", "valkey", 0.90, 0.96, threads=6, port=6379),
        Service("valkey-sentinel", "valkey", 0.02, 0.01, threads=4, port=26379),
    ),
    steady=0.07,
    daily=0.14,
    restless=0.05,
    memory=0.79,
    link_mbps=25_000,
    receive=0.20,
    transmit=0.42,
    clients=3200,
    disk_bytes_per_s=30 * MIB,
)

_QUEUE: Final = Role(
    name="queue",
    weight=6,
    cpus=(16,),
    gib_per_cpu=4,
    cpu_model="AMD EPYC 7443P 24-Core Processor",
    os=_ROCKY[0],
    kernel=_ROCKY[1],
    mounts=(
        Mount("/", "/dev/mapper/rl-root", "xfs", 70, 0.33),
        Mount("/data/kafka", "/dev/nvme1n1", "xfs", 1800, 0.66),
    ),
    services=(
        Service("java", "kafka", 0.82, 0.80, threads=131, port=9092),
        Service("node_exporter", "nobody", 0.02, 0.01, threads=7, port=9100),
    ),
    steady=0.10,
    daily=0.20,
    restless=0.09,
    memory=0.62,
    receive=0.18,
    transmit=0.22,
    clients=700,
    disk_bytes_per_s=260 * MIB,
)

_GPU: Final = Role(
    name="gpu",
    weight=10,
    cpus=(64, 96, 128),
    gib_per_cpu=8,
    cpu_model="AMD EPYC 9654 96-Core Processor",
    os=_UBUNTU[0],
    kernel=_UBUNTU[1],
    mounts=(
        Mount("/", "/dev/nvme0n1p2", "ext4", 450, 0.41),
        Mount("/scratch", "/dev/md127", "xfs", 14000, 0.57),
        Mount("/datasets", "nas-2:/export/datasets", "nfs4", 90000, 0.83),
    ),
    services=(
        Service("python3", "train", 0.90, 0.82, workers=8, threads=48),
        Service("slurmd", "root", 0.01, 0.01, threads=5, port=6818),
        Service("nv-hostengine", "root", 0.02, 0.01, threads=13, port=5555),
    ),
    steady=0.03,
    daily=0.0,
    restless=0.05,
    jobs=Jobs(420.0, 0.72, 0.74),
    memory=0.38,
    swap_gib=0,
    link_mbps=100_000,
    receive=0.06,
    transmit=0.03,
    clients=40,
    disk_bytes_per_s=310 * MIB,
    cool_celsius=38.0,
    warming_celsius=44.0,
    fans=8,
)

_BUILD: Final = Role(
    name="build",
    weight=6,
    cpus=(32,),
    gib_per_cpu=4,
    cpu_model="AMD Ryzen Threadripper PRO 5975WX 32-Cores",
    os=_UBUNTU[0],
    kernel=_UBUNTU[1],
    mounts=(
        Mount("/", "/dev/nvme0n1p2", "ext4", 200, 0.36),
        Mount("/var/lib/docker", "/dev/nvme1n1", "ext4", 900, 0.68),
        Mount("/srv/artifacts", "nas-1:/export/artifacts", "nfs4", 24000, 0.55),
    ),
    services=(
        Service("cc1plus", "ci", 0.62, 0.42, workers=12),
        Service("dockerd", "root", 0.08, 0.12, threads=44),
        Service("gitlab-runner", "ci", 0.04, 0.06, threads=17),
        Service("ld.lld", "ci", 0.14, 0.22, threads=16),
    ),
    steady=0.02,
    daily=0.05,
    restless=0.04,
    jobs=Jobs(95.0, 0.45, 0.86),
    memory=0.30,
    receive=0.03,
    transmit=0.02,
    clients=50,
    disk_bytes_per_s=180 * MIB,
    cool_celsius=33.0,
    warming_celsius=47.0,
)

_EDGE: Final = Role(
    name="edge",
    weight=10,
    cpus=(4,),
    gib_per_cpu=2,
    cpu_model="Cortex-A76",
    os=_DEBIAN[0],
    kernel="Linux 6.12.34+rpt-rpi-2712",
    mounts=(
        Mount("/", "/dev/mmcblk0p2", "ext4", 58, 0.49),
        Mount("/boot/firmware", "/dev/mmcblk0p1", "vfat", 1, 0.18),
    ),
    services=(
        Service("mosquitto", "mosquitto", 0.22, 0.10, port=1883),
        Service("python3", "gateway", 0.48, 0.44, threads=7),
        Service("chronyd", "_chrony", 0.02, 0.02),
    ),
    steady=0.09,
    daily=0.10,
    restless=0.06,
    memory=0.37,
    swap_gib=0,
    link_mbps=1_000,
    receive=0.004,
    transmit=0.012,
    clients=60,
    disk_bytes_per_s=1 * MIB,
    architecture="aarch64",
    cool_celsius=44.0,
    warming_celsius=34.0,
    fans=0,
)

ROLES: Final = (_WEB, _APP, _DB, _CACHE, _QUEUE, _GPU, _BUILD, _EDGE)


class Site(Struct, frozen=True):
    """A place: its code, its number in addresses, and how many hours it is ahead of UTC."""

    code: str
    number: int
    weight: int
    ahead_h: float


SITES: Final = (
    Site("fra", 20, 40, 1),
    Site("iad", 40, 32, -5),
    Site("sin", 60, 18, 8),
)
"""Data centres."""

OUTPOSTS: Final = tuple(
    Site(code, 100 + number, 1, ahead_h)
    for number, (code, ahead_h) in enumerate(
        (("ber", 1), ("osl", 1), ("lis", 0), ("yul", -5), ("pdx", -8), ("hnd", 9), ("akl", 13))
    )
)
"""Where the edge is: a cupboard each."""

BACKGROUND: Final = (
    ("systemd", "root", 13),
    ("systemd-journald", "root", 41),
    ("systemd-udevd", "root", 12),
    ("dbus-daemon", "messagebus", 6),
    ("cron", "root", 4),
    ("sshd", "root", 9),
    ("chronyd", "_chrony", 5),
    ("unattended-upgr", "root", 26),
)
"""What runs everywhere: name, user, MiB."""

PEOPLE: Final = ("maria", "jonas", "aiko", "devops", "priya", "lars", "sam")

RUNAWAYS: Final = (
    ("find", "root"),
    ("python3", "cron"),
    ("ffmpeg", "app"),
    ("jq", "ci"),
    ("clamscan", "clamav"),
)
"""What runs away: name and user."""
