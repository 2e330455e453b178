"""Where the table of sockets comes from: netlink on Linux, psutil elsewhere and where that fails.

psutil looks through every process's descriptors at each reading to say whose a socket is. Here that
search is made only for sockets that listen, and only when there are new ones.
"""

import contextlib
import errno
import ipaddress
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

import psutil

from agent.collectors import sock_diag
from agent.wording import fit

OWNERS_PERIOD_S: Final = 600.0
"""After this long owners are looked up again: a socket may have been handed to another process."""

# include/net/tcp_states.h
_STATES: Final = {
    1: "established",
    2: "syn-sent",
    3: "syn-recv",
    4: "fin-wait1",
    5: "fin-wait2",
    6: "time-wait",
    7: "close",
    8: "close-wait",
    9: "last-ack",
    10: "listen",
    11: "closing",
    12: "syn-recv",
}
_TABLES: Final = (
    ("tcp", socket.AF_INET, socket.IPPROTO_TCP, "listen"),
    ("tcp6", socket.AF_INET6, socket.IPPROTO_TCP, "listen"),
    ("udp", socket.AF_INET, socket.IPPROTO_UDP, "close"),
    ("udp6", socket.AF_INET6, socket.IPPROTO_UDP, "close"),
)
"""Protocol, how to ask for it, and the state of those that listen (for UDP: not connected)."""

_REFUSALS: Final = frozenset(
    {
        errno.EPERM,
        errno.EACCES,
        errno.ENOENT,
        errno.EAFNOSUPPORT,
        errno.EPROTONOSUPPORT,
        errno.EOPNOTSUPP,
    }
)
"""A kernel without the module, or a sandbox that forbids the question."""

_LINK: Final = "socket:["


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
    return NetlinkSockets().read if sys.platform.startswith("linux") else read_psutil


class NetlinkSockets:
    """The table by netlink, with owners that are looked up when they are not known yet."""

    def __init__(self) -> None:
        self._owners: dict[int, tuple[int, str] | None] = {}
        self._owners_due_s = float("-inf")
        self._refused = False

    def read(self, now_s: float) -> SocketTable:
        """The table; from psutil once netlink has been refused."""
        if not self._refused:
            try:
                return self._read(now_s)
            except OSError as error:
                if error.errno not in _REFUSALS:
                    raise
                self._refused = True
        return read_psutil(now_s)

    def _read(self, now_s: float) -> SocketTable:
        tcp: Counter[str] = Counter()
        udp_sockets = 0
        listening: list[Listening] = []
        for protocol, family, number, listens in _TABLES:
            states: Counter[str] = Counter()
            for row in sock_diag.dump(family, number):
                state = _STATES.get(row.state, "unknown")
                states[state] += 1
                if state == listens:
                    address = str(ipaddress.ip_address(row.address))
                    listening.append(Listening(protocol, address, row.port, row.inode))
            if number == socket.IPPROTO_TCP:
                tcp += states
            else:
                udp_sockets += states.total()
        return SocketTable(tcp, udp_sockets, self._named(listening, now_s))

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


def owners(inodes: set[int]) -> dict[int, tuple[int, str]]:
    """The process with the lowest pid that holds each socket, as far as this process may look."""
    found: dict[int, tuple[int, str]] = {}
    for pid in psutil.pids():
        if len(found) == len(inodes):
            break
        for inode in _sockets(pid) & (inodes - found.keys()):
            found[inode] = (pid, _name(pid))
    return found


def read_psutil(now_s: float) -> SocketTable:
    """The table from psutil.

    Raises:
        psutil.AccessDenied: this system shows it to privileged users only.
    """
    del now_s
    tcp: Counter[str] = Counter()
    udp_sockets = 0
    listening: list[Listening] = []
    for row in psutil.net_connections("inet"):
        protocol = "tcp" if row.type == socket.SOCK_STREAM else "udp"
        listens = row.status == psutil.CONN_LISTEN
        if protocol == "tcp":
            tcp[row.status.lower().replace("_", "-")] += 1
        else:
            udp_sockets += 1
            listens = not row.raddr
        if listens and row.laddr:
            version = "6" if row.family == socket.AF_INET6 else ""
            name = _name(row.pid) if row.pid else None
            listening.append(
                Listening(protocol + version, row.laddr.ip, row.laddr.port, 0, row.pid, name)
            )
    return SocketTable(tcp, udp_sockets, listening)


def _sockets(pid: int) -> set[int]:
    """The inodes of a process's sockets; none of one that is gone or not to be looked into."""
    inodes: set[int] = set()
    gone = (FileNotFoundError, ProcessLookupError)
    with contextlib.suppress(PermissionError, *gone), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with contextlib.suppress(*gone):  # closed meanwhile
                target = os.readlink(entry.path)  # noqa: PTH115 a Path each is dear
                if target.startswith(_LINK):
                    inodes.add(int(target[len(_LINK) : -1]))
    return inodes


def _name(pid: int) -> str:
    try:
        return fit(psutil.Process(pid).name())
    except psutil.Error:
        return ""
