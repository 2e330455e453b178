"""One example of every message: what `docs/protocol.md` shows in hex, and what tests begin from.

Certificates and requests are stood in for by a short DER value, `SEQUENCE { INTEGER 1 }`.
"""

from collections.abc import Mapping
from typing import Final, TypeVar, cast

from shared import messages as m
from shared.families import Users
from shared.inventory import FamilyInfo, FilesystemInfo, InterfaceInfo, Inventory
from shared.metrics import Core
from shared.tokens import Token

Kind = TypeVar("Kind", bound=m.Message)

TOKEN: Final = Token(bytes(range(32)), bytes(range(32, 38)), bytes(range(38, 54)))

DER: Final = bytes.fromhex("3003020101")
NODE_ID: Final = "6f1d2c3b4a596877"
WALL_MS: Final = 1_795_132_800_000
BOOT_ID: Final = "2f6c1b1e-8d0a-4c57-9b1d-0d6f6a3c9e42"

CORE: Final = Core(
    cpu_busy_bp=1234, cpu_user_bp=900, cpu_system_bp=300, cpu_iowait_bp=12, cpu_irq_bp=4,
    cpu_steal_bp=0, cpu_core_max_bp=2950, cpu_count=8, cpu_frequency_mhz=2400,
    context_switches_per_s=5210, interrupts_per_s=2904, load_1m_centi=93, load_5m_centi=71,
    load_15m_centi=64, memory_total_kib=16_303_428, memory_used_bp=3710,
    memory_available_kib=10_254_856, memory_free_kib=2_118_400, memory_cached_kib=7_340_032,
    memory_buffers_kib=412_160, memory_shared_kib=18_432, swap_total_kib=0,
    disk_read_bytes_per_s=0, disk_write_bytes_per_s=81_920, disk_reads_per_s=0,
    disk_writes_per_s=11, disk_busy_max_bp=85, filesystem_used_max_bp=6120, filesystem_fullest=1,
    filesystem_inodes_max_bp=740, filesystem_free_min_kib=40_894_464,
    network_receive_bytes_per_s=15_230, network_transmit_bytes_per_s=9_411,
    network_receive_packets_per_s=60, network_transmit_packets_per_s=52,
    network_receive_errors_per_s=0, network_transmit_errors_per_s=0,
    network_receive_drops_per_s=0, network_transmit_drops_per_s=0, network_interfaces_up=1,
    temperature_max_dc=512, fan_min_rpm=1180, users=1, uptime_s=864_210, processes=183,
    processes_running=2, processes_blocked=0, processes_stopped=0, processes_zombie=0,
    threads=611, process_cpu_max_bp=640, process_memory_max_kib=524_288, tcp_established=14,
    tcp_listening=6, tcp_time_wait=3, tcp_close_wait=0, udp_sockets=4, agent_cpu_bp=6,
    agent_memory_kib=31_744,
)  # fmt: skip
"""A core sample of a host without swap, battery, or permission to be asked anything odd."""

INVENTORY: Final = Inventory(
    hostname="web-1",
    os="Debian GNU/Linux 12 (bookworm)",
    kernel="6.1.0-18-amd64",
    architecture="x86_64",
    python="3.11.2",
    agent_version="0.1.0",
    boot_id=BOOT_ID,
    boot_wall_s=WALL_MS // 1000 - 864_210,
    cpu_logical=8,
    cpu_physical=4,
    memory_total_kib=16_303_428,
    filesystems=(
        FilesystemInfo("/", "/dev/vda1", "ext4", 61_255_492),
        FilesystemInfo("/srv", "/dev/vdb", "xfs", 104_806_400),
    ),
    interfaces=(
        InterfaceInfo("eth0", "52:54:00:12:34:56", ("192.0.2.7/24",), 1000, 1500, up=True),
    ),
    labels={"role": "web"},
    families=(FamilyInfo("cpu", enabled=True, period_s=5, detail_s=30),),
)

_TROUBLE: Final = m.Trouble("sensors", "stuck", 42, "no reading within 10 s")
_INFO: Final = m.NodeInfo(
    NODE_ID, "web-1", {"role": "web"}, "", "192.0.2.7:48122", "0.1.0", WALL_MS, "Debian 12", ("/",)
)
_VITALS: Final = m.NodeVitals(
    NODE_ID, "up", "", WALL_MS, 91_500, WALL_MS, 5000, m.raw(Core(cpu_busy_bp=1234))
)
_VITALS_THEN: Final = m.NodeVitals(
    NODE_ID, "up", "", WALL_MS - 86_400_000, None, WALL_MS - 2000, 5000, m.raw(Core())
)
_USERS: Final = m.FamilySample("users", 864_295_000, WALL_MS, 30_000, m.raw(Users()))
_ENDED_RUN: Final = m.EndedRun(
    BOOT_ID, 864_210_000, 4100, "", WALL_MS - 9_000, 3_600_000, 0, 0, 0, 0, 8_200, "", "host"
)
_RETURNED: Final = m.Returned(
    BOOT_ID, 864_295_000, 4312, 864_294_000, 400, None, 0, 0, 0, 0, attempts=1, runs=(_ENDED_RUN,)
)
_OUTAGE: Final = m.Outage(
    31, NODE_ID, "web-1", WALL_MS - 9_600, WALL_MS - 9_000, WALL_MS, "agent-killed",
    ("another process in the same boot: 4312 instead of 4100", "no clean stop was recorded"),
    out_of_memory=True,
)  # fmt: skip
_AVAILABILITY: Final = m.Availability(86_400, 86_400, 10, 0, 0)

_ALL: Final[tuple[m.Message, ...]] = (
    m.CaRequest(1, 1),
    m.Ca(1, DER),
    m.Enrol(1, 1, bytes(6), bytes(16), DER, "web-1", "0.1.0", "agent"),
    m.Enrolled(1, NODE_ID, "web-1", "agent", DER),
    m.Deny("token-used", "this token has no uses left"),
    m.AgentHello(1, 1, "0.1.0", BOOT_ID, 864_210_000),
    m.Welcome(1, NODE_ID, "web-1", 5000, 2_592_000, 2_505_600, "0.1.0"),
    m.RenewFirst(1, 3600),
    m.ViewerHello(1, 1, "0.1.0"),
    m.ViewerWelcome(1, "0.1.0", "k7x2m4q6s8u3w5y7", False, 604_800, 518_400),
    m.Beat(864_210_017, 864_295_000, WALL_MS, 5000, m.raw(CORE), (_TROUBLE,)),
    m.Ack(864_210_017, 864_210_016),
    m.Ping(7),
    m.Pong(7),
    m.InventoryReport(m.raw(INVENTORY)),
    _USERS,
    m.Part(m.InventoryReport.kind, last=False, data=b"\x91\x9f"),
    m.Goodbye("stopped", "SIGTERM"),
    m.Cadence(1000),
    m.Renew(DER),
    m.Renewed(DER),
    m.Attend(1000, 2000, 10_000),
    _RETURNED,
    m.Replay(
        BOOT_ID,
        864_210_000,
        (m.Spooled(864_210_009, 864_255_000, 5000, m.raw(Core(cpu_busy_bp=1234))),),
    ),
    m.Lost(BOOT_ID, 864_210_000, 864_210_001, 864_210_008, 864_215_000, 864_250_000),
    m.Stored(BOOT_ID, 864_210_001, 864_210_009),
    m.Watch(),
    m.Snapshot(95_000, (_INFO,), (_VITALS,), last=True),
    m.Delta(95_250, (), (_VITALS,)),
    m.FocusNode(NODE_ID),
    m.FocusUpdate(NODE_ID, 95_250, 94_900, _USERS),
    m.FocusInventory(NODE_ID, m.raw(INVENTORY)),
    m.GetNode(1, "web-1"),
    m.NodeDetail(
        1,
        95_250,
        _INFO,
        _VITALS,
        m.raw(None),
        (),
        (),
        (_AVAILABILITY,),
        _OUTAGE,
        m.TimeToDetect(6000, 12_500, 30_000, 3000, 20),
    ),
    m.SetLabels(2, "web-1", {"role": "db"}, ("rack",), None),
    m.RevokeNode(3, "web-1"),
    m.ForgetNode(4, "web-1"),
    m.ListEvents(5, 20, "", follow=True),
    m.Events(5, (m.Event(812, WALL_MS, "state", NODE_ID, "web-1", "up", "late", ""),)),
    m.CreateToken(6, "agent", 86_400, 1),
    m.TokenCreated(6, TOKEN.encode(), "a1b2c3d4e5f6", WALL_MS + 86_400_000),
    m.ListTokens(7),
    m.Tokens(7, (m.TokenInfo("a1b2c3d4e5f6", "agent", WALL_MS, WALL_MS + 86_400_000, 1, "valid"),)),
    m.RevokeToken(8, "a1b2c3d4e5f6"),
    m.Done(8),
    m.Failed(9, "not-found", "no node is called web-9"),
    m.ListOutages(10, 20, "web-1", 86_400),
    m.Outages(10, (_OUTAGE,)),
    m.GetFleetAt(11, WALL_MS),
    m.FleetAt(11, WALL_MS, (_INFO,), (_VITALS_THEN,), last=True),
    m.GetNodeAt(12, "web-1", WALL_MS),
    m.NodeAt(12, WALL_MS, _INFO, _VITALS_THEN, m.raw(None), (_USERS,)),
    m.GetSeries(13, "web-1", ("cpu_busy_bp",), WALL_MS - 120_000, WALL_MS, 2),
    m.Series(
        13,
        NODE_ID,
        60_000,
        60_000,
        (WALL_MS - 120_000, WALL_MS - 60_000),
        (12, 11),
        (m.SeriesOf("cpu_busy_bp", (310, None), (512.5, None), (1234, None)),),
    ),
    m.GetSamples(14, "web-1", WALL_MS - 60_000, WALL_MS, 1),
    m.Samples(
        14,
        NODE_ID,
        (m.StoredSample(WALL_MS - 58_000, BOOT_ID, 864_210_017, m.raw(Core(cpu_busy_bp=1234))),),
        more=True,
    ),
    m.GetCoverage(15, "web-1", WALL_MS - 86_400_000, WALL_MS),
    m.CoverageOf(
        15,
        (
            m.Coverage(
                NODE_ID,
                "web-1",
                WALL_MS - 86_400_000,
                WALL_MS,
                17_280,
                17_270,
                120,
                8,
                2,
                0,
                (m.Gap(WALL_MS - 45_000, WALL_MS - 5000, "lost", 8),),
            ),
        ),
        last=True,
    ),
    m.BackUp(16, "/var/backups/heartline.db"),
)

EXAMPLES: Final[Mapping[type[m.Message], m.Message]] = {type(example): example for example in _ALL}


def example(message: type[Kind]) -> Kind:
    """The example of one message."""
    return cast("Kind", EXAMPLES[message])
