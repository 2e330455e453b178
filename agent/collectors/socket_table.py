"""Where the table of sockets comes from: /proc/net on Linux, psutil elsewhere.

psutil looks through every process's descriptors at each reading to say whose a socket is. Here that
search is made only for sockets that listen, and only when there are new ones.
"""

import contextlib
import ipaddress
import os
import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import psutil

OWNERS_PERIOD_S: Final = 600.0
"""After this long owners are looked up again: a socket may have been handed to another process."""

# include/net/tcp_states.h
_TCP_STATES: Final = {
    b"01": "established",
    b"02": "syn-sent",
    b"03": "syn-recv",
    b"04": "fin-wait1",
    b"05": "fin-wait2",
    b"06": "time-wait",
    b"07": "close",
    b"08": "close-wait",
    b"09": "last-ack",
    b"0A": "listen",
    b"0B": "closing",
    b"0C": "syn-recv",
}
_LISTENING: Final = {"tcp": b"0A", "tcp6": b"0A", "udp": b"07", "udp6": b"07"}
"""A UDP socket that is not connected takes datagrams from anybody."""

_SOCKET: Final = "socket:["


class Listening(NamedTuple):
    """One socket that listens."""

    protocol: str
    address: str
    port: int
    inode: int = 0
    """Linux's number of the socket, 0 where there is none."""
    pid: int | None = None
    process: str | None = None


class SocketTable(NamedTuple):
    """All sockets of IPv4 and IPv6 at one instant."""

    tcp_by_state: Counter[str]
    udp_sockets: int
    listening: list[Listening]


Read: TypeAlias = Callable[[float], SocketTable]
"""Reads the table at a monotonic time."""


def reader() -> Read:
    """The cheapest way to read the table on this system."""
    return ProcSockets().read if sys.platform.startswith("linux") else read_psutil


class ProcSockets:
    """The table from /proc/net, with owners that are looked up when they are not known yet."""

    def __init__(self, net: Path = Path("/proc/net")) -> None:
        self._net = net
        self._owners: dict[int, tuple[int, str] | None] = {}
        self._owners_due_s = float("-inf")

    def read(self, now_s: float) -> SocketTable:
        """The table, as far as this kernel has the protocols."""
        tcp: Counter[str] = Counter()
        udp = 0
        listening: list[Listening] = []
        for protocol in _LISTENING:
            with (
                contextlib.suppress(FileNotFoundError),
                (self._net / protocol).open("rb") as lines,
            ):
                states, found = parse_sockets(lines, protocol)
                listening += found
                if protocol.startswith("tcp"):
                    tcp.update({_TCP_STATES.get(s, "unknown"): n for s, n in states.items()})
                else:
                    udp += states.total()
        return SocketTable(tcp, udp, self._named(listening, now_s))

    def _named(self, listening: list[Listening], now_s: float) -> list[Listening]:
        inodes = {row.inode for row in listening if row.inode}
        if now_s >= self._owners_due_s or not inodes <= self._owners.keys():
            self._owners = dict.fromkeys(inodes) | owners(inodes)
            self._owners_due_s = now_s + OWNERS_PERIOD_S
        named: list[Listening] = []
        for row in listening:
            owner = self._owners.get(row.inode)
            named.append(row._replace(pid=owner[0], process=owner[1]) if owner else row)
        return named


def parse_sockets(lines: Iterable[bytes], protocol: str) -> tuple[Counter[bytes], list[Listening]]:
    """One of /proc/net/{tcp,tcp6,udp,udp6}: how many sockets per state, and those that listen.

    Line by line, for a host may have a hundred thousand connections.

    Raises:
        ValueError, LookupError: it is not such a table.
    """
    states: Counter[bytes] = Counter()
    listening: list[Listening] = []
    wanted = _LISTENING[protocol]
    rows = iter(lines)
    next(rows, None)  # the heading
    for line in rows:
        _, local, _, state, rest = line.split(None, 4)
        states[state] += 1
        if state == wanted:
            address, _, port = local.partition(b":")
            inode = int(rest.split(None, 6)[5])
            listening.append(Listening(protocol, parse_address(address), int(port, 16), inode))
    return states, listening


def parse_address(number: bytes) -> str:
    """An address of /proc/net: 32-bit words in hexadecimal, each in the host's byte order."""
    words = [int(number[start : start + 8], 16) for start in range(0, len(number), 8)]
    return str(ipaddress.ip_address(struct.pack(f"={len(words)}I", *words)))


def owners(inodes: set[int]) -> dict[int, tuple[int, str]]:
    """The process with the lowest pid that holds each socket, as far as this process may look."""
    found: dict[int, tuple[int, str]] = {}
    for pid in psutil.pids():
        if len(found) == len(inodes):
            break
        for inode in _sockets(pid) & inodes - found.keys():
            found[inode] = (pid, _name(pid))
    return found


def read_psutil(now_s: float) -> SocketTable:
    """The table from psutil.

    Raises:
        psutil.AccessDenied: this system shows it to privileged users only.
    """
    del now_s
    tcp: Counter[str] = Counter()
    udp = 0
    listening: list[Listening] = []
    for row in psutil.net_connections("inet"):
        protocol = _protocol(row.type, row.family)
        if protocol.startswith("udp"):
            udp += 1
        else:
            tcp[row.status.lower().replace("_", "-")] += 1
        if row.laddr and (row.status == psutil.CONN_LISTEN or protocol.startswith("udp")):
            name = _name(row.pid) if row.pid else None
            listening.append(Listening(protocol, row.laddr.ip, row.laddr.port, 0, row.pid, name))
    return SocketTable(tcp, udp, listening)


def _protocol(kind: int, family: int) -> str:
    name = "tcp" if kind == socket.SOCK_STREAM else "udp"
    return f"{name}6" if family == socket.AF_INET6 else name


def _sockets(pid: int) -> set[int]:
    """The inodes of a process's sockets; none of one that is gone or not to be looked into."""
    inodes: set[int] = set()
    gone = (FileNotFoundError, ProcessLookupError)
    with contextlib.suppress(PermissionError, *gone), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with contextlib.suppress(*gone):  # closed meanwhile
                target = os.readlink(entry.path)  # noqa: PTH115 a Path each is dear
                if target.startswith(_SOCKET):
                    inodes.add(int(target[len(_SOCKET) : -1]))
    return inodes


def _named(self, listening: list[Listening], now_s: float) -> list[Listening]:
    inodes = {row.inode for row in listening if row.inode}
    if now_s >= self._owners_due_s or not inodes <= self._owners.keys():
        self._owners = dict.fromkeys(inodes) | owners(inodes)
        self._owners_due_s = now_s + OWNERS_PERIOD_S
    named: list[Listening] = []
    for row in listening:
        owner = self._owners.get(row.inode)
        named.append(row._replace(pid=owner[0], process=owner[1]) if owner else row)
    return named


def parse_sockets(lines: Iterable[bytes], protocol: str) -> tuple[Counter[bytes], list[Listening]]:
    """One of /proc/net/{tcp,tcp6,udp,udp6}: how many sockets per state, and those that listen.

    Line by line, for a host may have a hundred thousand connections.

    Raises:
        ValueError, LookupError: it is not such a table.
    """
    states: Counter[bytes] = Counter()
    listening: list[Listening] = []
    wanted = _LISTENING[protocol]
    rows = iter(lines)
    next(rows, None)  # the heading
    for line in rows:
        _, local, _, state, rest = line.split(None, 4)
        states[state] += 1
        if state == wanted:
            address, _, port = local.partition(b":")
            inode = int(rest.split(None, 6)[5])
            listening.append(Listening(protocol, parse_address(address), int(port, 16), inode))
    return states, listening


def parse_address(number: bytes) -> str:
    """An address of /proc/net: 32-bit words in hexadecimal, each in the host's byte order."""
    words = [int(number[start : start + 8], 16) for start in range(0, len(number), 8)]
    return str(ipaddress.ip_address(struct.pack(f"={len(words)}I", *words)))


def owners(inodes: set[int]) -> dict[int, tuple[int, str]]:
    """The process with the lowest pid that holds each socket, as far as this process may look."""
    found: dict[int, tuple[int, str]] = {}
    for pid in psutil.pids():
        if len(found) == len(inodes):
            break
        for inode in _sockets(pid) & inodes - found.keys():
            found[inode] = (pid, _name(pid))
    return found


def read_psutil(now_s: float) -> SocketTable:
    """The table from psutil.

    Raises:
        psutil.AccessDenied: this system shows it to privileged users only.
    """
    del now_s
    tcp: Counter[str] = Counter()
    udp = 0
    listening: list[Listening] = []
    for row in psutil.net_connections("inet"):
        protocol = _protocol(row.type, row.family)
        if protocol.startswith("udp"):
            udp += 1
        else:
            tcp[row.status.lower().replace("_", "-")] += 1
        if row.laddr and (row.status == psutil.CONN_LISTEN or protocol.startswith("udp")):
            name = _name(row.pid) if row.pid else None
            listening.append(Listening(protocol, row.laddr.ip, row.laddr.port, 0, row.pid, name))
    return SocketTable(tcp, udp, listening)


def _protocol(kind: int, family: int) -> str:
    name = "tcp" if kind == socket.SOCK_STREAM else "udp"
    return f"{name}6" if family == socket.AF_INET6 else name


def _sockets(pid: int) -> set[int]:
    """The inodes of a process's sockets; none of one that is gone or not to be looked into."""
    inodes: set[int] = set()
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                target = os.readlink(entry.path)
                if target.startswith(_SOCKET):
                    inodes.add(int(target[len(_SOCKET) : -1]))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return inodes
    return inodes


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()[:256]
    except psutil.Error:
        return ""
