"""What the kernel is told about a link's socket, and what it tells about it.

Every option is guarded: where a kernel lacks one, the link's own timeouts still hold, only later.
"""

import socket
import struct
import sys
from typing import Final

_TCP_RTO_MAX_MS: Final = 44
"""Linux 6.15; not in Python's socket module."""

RTO_MAX_MS: Final = 1000
"""Longest pause between two retransmissions. The kernel's own 120 s make a lossy line silent for
minutes: at 30 % loss the worst silence was 113 s, and 11.8 s with this."""

NOTSENT_LOWAT_BYTES: Final = 16 * 1024
"""How much unsent data the kernel takes before it says "would block": what a beat may have to wait
behind."""

_UNACKED_OFFSET: Final = 24
"""`tcpi_unacked` in the same."""

_BYTES_RECEIVED_OFFSET: Final = 128
"""`tcpi_bytes_received` in `struct tcp_info` (linux/tcp.h), since Linux 4.1."""

_TCP_CLOSE: Final = 7
"""`tcpi_state`, the first byte, of a connection that was reset; one whose peer has closed it waits
to be closed here (net/tcp_states.h)."""


def tune(sock: socket.socket, *, user_timeout_s: float) -> None:
    """Sets a link's options: no delay, bounded retransmission, little queued in the kernel.

    `user_timeout_s`: the kernel ends the link when sent data stays unacknowledged for so long. It
    is the peer's kernel that has to answer, so a stalled process on a living host does not trip it.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _try_option(sock, getattr(socket, "TCP_NOTSENT_LOWAT", None), NOTSENT_LOWAT_BYTES)
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return  # not Linux: there option 44 means something else
    _try_option(sock, _TCP_RTO_MAX_MS, RTO_MAX_MS)
    _try_option(sock, socket.TCP_USER_TIMEOUT, int(user_timeout_s * 1000))


def bytes_received(sock: socket.socket) -> int | None:
    """Bytes the peer has sent so far, counted by the kernel under TLS; None where it does not
    tell."""
    if not hasattr(socket, "TCP_INFO"):
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED_OFFSET + 8)
    except OSError:
        return None
    if len(info) < _BYTES_RECEIVED_OFFSET + 8:
        return None
    (count,) = struct.unpack_from("=Q", info, _BYTES_RECEIVED_OFFSET)
    return int(count)


def unacknowledged(sock: socket.socket) -> int | None:
    """Segments sent that the peer's kernel has not acknowledged; None where ours does not tell.

    It is the kernel that acknowledges: of a stopped process as well as of a running one, but not of
    a host that is gone.
    """
    if not hasattr(socket, "TCP_INFO"):
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED_OFFSET + 4)
    except OSError:
        return None
    if len(info) < _UNACKED_OFFSET + 4:
        return None
    (count,) = struct.unpack_from("=I", info, _UNACKED_OFFSET)
    return int(count)


def was_reset(sock: socket.socket) -> bool:
    """Whether the connection at whose end a read has arrived was reset, and not closed in order.

    OpenSSL says the same of both. False where the kernel does not tell.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    except OSError:
        return False  # not TCP
    return info[:1] == bytes([_TCP_CLOSE])


def _try_option(sock: socket.socket, option: int | None, value: int) -> bool:
    if option is None:
        return False
    try:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    except OSError:
        return False  # an older kernel
    return True
