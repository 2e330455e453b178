"""The kernel's tables, parsed from literals."""

import socket
import struct
import sys

import pytest

from agent.collectors.cpu import parse_cpu_model
from agent.collectors.process_table import Row, parse_stat
from agent.collectors.routes import parse_routes, parse_routes_ipv6
from agent.collectors.sock_diag import DiagSocket, parse
from agent.collectors.users import parse_logind_session
from shared.families import Route, UserSession

little_endian = pytest.mark.skipif(
    sys.byteorder != "little", reason="literals of a little-endian host"
)

STAT = (
    b"1234 (a) b (c)) S 1 1234 1234 0 -1 4194560 2811 95126 32 101 250 150 115 49 20 0 7 0 4200 "
    b"23207936 3316 18446744073709551615 1 1 0 0 0 0 671173123 4096 1260 0 0 0 17 1 0 0 0 0 0\n"
)


def test_process_is_read_from_its_stat() -> None:
    assert parse_stat(STAT, ticks_per_s=100, page_bytes=4096) == Row(
        pid=1234,
        parent_pid=1,
        name="a) b (c)",
        state="sleeping",
        threads=7,
        rss_bytes=3316 * 4096,
        cpu_s=4.0,
        started_s=42.0,
    )


def test_process_in_a_state_of_a_newer_kernel_is_in_an_unknown_one() -> None:
    assert parse_stat(STAT.replace(b") S ", b") ? "), 100, 4096).state == "unknown"


def test_name_that_is_no_text_is_made_one() -> None:
    assert parse_stat(STAT.replace(b"a) b (c)", b"\xff\xfe"), 100, 4096).name == "\ufffd\ufffd"


@pytest.mark.parametrize("stat", [b"", b"1234", b"1234 (a) S 1", b"x (a) " + STAT[15:]])
def test_what_is_no_stat_is_refused(stat: bytes) -> None:
    with pytest.raises((ValueError, LookupError)):
        parse_stat(stat, 100, 4096)


ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
eth0\t0000000A\t00000000\t0201\t0\t0\t0\t000000FF\t0\t0\t0
eth1\t000010AC\t00000000\t0000\t0\t0\t0\t0000F0FF\t0\t0\t0
"""


@little_endian
def test_routes_of_ipv4_without_those_that_are_down_or_reject() -> None:
    assert parse_routes(ROUTES) == [
        Route("0.0.0.0/0", "192.168.1.1", "eth0", 100),
        Route("192.168.1.0/24", None, "eth0", 100),
    ]


def ipv6_route(destination: str, length: str, gateway: str, flags: str, interface: str) -> str:
    return (
        f"{destination} {length} {'0' * 32} 00 {gateway} 00000400 00000001 00000000 {flags} "
        f"{interface:>8}\n"
    )


def test_routes_of_ipv6_without_local_and_multicast_ones() -> None:
    nothing = "0" * 32
    network = "20010db8000000000000000000000000"
    gateway = "fe800000000000000000000000000001"
    table = (
        ipv6_route(network, "40", nothing, "00000001", "eth0")
        + ipv6_route(nothing, "00", gateway, "00000003", "eth0")
        + ipv6_route(nothing[:-1] + "1", "80", nothing, "80200001", "lo")
        + ipv6_route("ff" + nothing[2:], "08", nothing, "00000001", "eth0")
        + ipv6_route(nothing, "00", nothing, "00200200", "lo")
    )
    assert parse_routes_ipv6(table) == [
        Route("2001:db8::/64", None, "eth0", 1024),
        Route("::/0", "fe80::1", "eth0", 1024),
    ]


@pytest.mark.parametrize("table", ["a heading\neth0 00000000", "a heading\n" + "x " * 11])
def test_what_is_no_table_of_routes_is_refused(table: str) -> None:
    with pytest.raises((ValueError, LookupError)):
        parse_routes(table)


def diag_message(family: int, state: int, port: int, address: bytes, inode: int) -> bytes:
    """As struct inet_diag_msg has it, with an attribute behind it."""
    body = struct.pack("=BBBB", family, state, 0, 0)
    body += struct.pack(">HH", port, 443) + address.ljust(16, b"\0") + b"\7" * 16
    body += struct.pack("=III", 2, 0xFFFF_FFFF, 0xFFFF_FFFF)
    body += struct.pack("=IIIII", 0, 0, 128, 1000, inode)
    assert len(body) == 72
    body += b"\5\0\x08\0\0\0\0\0"
    return struct.pack("=IHHII", 16 + len(body), 20, 2, 0, 1) + body


DONE = struct.pack("=IHHIIi", 20, 3, 2, 0, 1, 0)


def parsed(answer: bytes) -> tuple[list[DiagSocket], bool]:
    sockets: list[DiagSocket] = []
    messages = parse(answer)
    while True:
        try:
            sockets.append(next(messages))
        except StopIteration as end:
            return sockets, end.value


def test_sockets_are_read_from_netlinks_messages() -> None:
    four = diag_message(socket.AF_INET, 10, 22, b"\x7f\0\0\1", 4711)
    six = diag_message(socket.AF_INET6, 1, 8080, b"\xfd" + b"\0" * 14 + b"\2", 0)
    assert parsed(four + six) == (
        [
            DiagSocket(10, 22, b"\x7f\0\0\1", 4711),
            DiagSocket(1, 8080, b"\xfd" + b"\0" * 14 + b"\2", 0),
        ],
        False,
    )


def test_end_of_the_dump_is_seen() -> None:
    assert parsed(diag_message(socket.AF_INET, 1, 1, b"abcd", 1) + DONE)[1] is True


def test_refusal_of_the_kernel_is_an_error() -> None:
    refused = struct.pack("=IHHIIi", 20, 2, 0, 0, 1, -2)
    with pytest.raises(FileNotFoundError):
        parsed(refused)


@pytest.mark.parametrize("length", [17, 60, 95])
def test_message_that_is_cut_short_is_an_error(length: int) -> None:
    with pytest.raises(OSError, match="cut short"):
        parsed(diag_message(socket.AF_INET, 1, 1, b"abcd", 1)[:length])


def test_session_of_systemd_is_a_login() -> None:
    text = (
        "# This is private data. Do not parse.\nUID=1000\nUSER=ada\nACTIVE=1\nSTATE=active\n"
        "REMOTE=1\nTYPE=tty\nCLASS=user\nREMOTE_HOST=192.0.2.9\nTTY=pts/0\n"
        "REALTIME=1795159252123456\n"
    )
    expected = UserSession("ada", "pts/0", "192.0.2.9", 1795159252)
    assert parse_logind_session(text) == expected


@pytest.mark.parametrize(
    "text", ["USER=gdm\nCLASS=greeter\n", "USER=ada\nCLASS=user\nSTATE=closing\n", ""]
)
def test_session_that_is_nobodys_login_is_left_out(text: str) -> None:
    assert parse_logind_session(text) is None


@pytest.mark.parametrize(
    ("cpuinfo", "model"),
    [
        ("processor\t: 0\nmodel\t\t: 2\nmodel name\t: AMD  EPYC\n", "AMD EPYC"),
        ("processor\t: 0\nBogoMIPS\t: 38\n\nModel\t\t: Raspberry Pi 4\n", "Raspberry Pi 4"),
        ("processor\t: 0\n", None),
    ],
)
def test_processors_model_is_found(cpuinfo: str, model: str | None) -> None:
    assert parse_cpu_model(cpuinfo) == model
