"""Listening: TCP on every address asked for, and the unix socket for this host's operator."""

import errno
import logging
import os
import socket
import ssl
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import trio

from master.admission import Ticket
from master.door import Behind, serve_tls
from shared.addresses import Address, parse_address
from shared.errors import UserError, reason_of
from shared.unix_socket import short_path

if TYPE_CHECKING:
    from master.entry import Entry

ACCEPT_BURST: Final = 64
"""Connections accepted before the others get their turn: in a storm, accepting one at a time lets
the kernel's queue overflow, and the peers wait three seconds for their SYN to be repeated."""

OUT_OF_RESOURCES_S: Final = 1.0
"""Pause when there is no descriptor or memory left: connections that end free some."""

LOCAL_BACKLOG: Final = 64

_CAN_SHARE: Final = sys.platform.startswith("linux")
"""Elsewhere SO_REUSEPORT does not spread connections."""

_OUT_OF_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PEER_GONE: Final = frozenset(
    {
        errno.ECONNABORTED,
        errno.EPROTO,
        errno.EPERM,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EOPNOTSUPP,
        errno.ENOPROTOOPT,
    }
)
"""What accept(2) says of a connection that has already failed, or that a firewall denies: not the
listener's fault."""

_log: Final = logging.getLogger(__name__)


def bind(listen: Iterable[str], backlog: int) -> list[socket.socket]:
    """Listening TCP sockets for `HOST:PORT`s; no host means every address, IPv4 and IPv6.

    Raises:
        UserError: an address cannot be listened on; says which and why. None is left open.
    """
    sockets: list[socket.socket] = []
    try:
        for text in listen:
            address = parse_address(text)
            if address.host:
                sockets += _bind_host(address, backlog)
            else:
                sockets += _bind_everywhere(address.port, backlog)
    except UserError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def bind_shared(listen: Iterable[str], backlog: int, count: int) -> list[list[socket.socket]]:
    """`count` times what `bind` makes, on the same ports: the kernel spreads connections over them.

    Raises:
        UserError: as `bind`; this system cannot do it.
    """
    if not _CAN_SHARE:
        raise UserError("--workers needs Linux: here, one process has to do")
    # Whoever shares a port shares it with any process of the same user: so first without.
    first = bind(listen, backlog)
    addresses = [(sock.family, sock.getsockname()) for sock in first]
    for sock in first:
        sock.close()
    shares: list[list[socket.socket]] = []
    try:
        for _ in range(count):
            shares.append([])
            for family, sockaddr in addresses:
                address = Address(str(sockaddr[0]), int(sockaddr[1]))
                shares[-1].append(_listen(family, sockaddr, address, backlog, is_shared=True))
    except UserError:
        for sock in (sock for share in shares for sock in share):
            sock.close()
        raise
    return shares


def bound_address(sock: socket.socket) -> str:
    """What a socket listens on, as `HOST:PORT`."""
    host, port = sock.getsockname()[:2]
    return str(Address(host, port))


def bind_local(path: Path) -> socket.socket:
    """The unix socket at `path`, for this user only. One left by a crash is replaced.

    Raises:
        UserError: it cannot be made there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        with short_path(path) as name:
            # The folder is this user's alone, so nobody can connect before the mode is set.
            sock.bind(name)
        path.chmod(0o600)
        sock.listen(LOCAL_BACKLOG)
    except OSError as error:
        sock.close()
        raise UserError(f"cannot listen on {path}: {error.strerror or error}") from error
    sock.setblocking(False)
    return sock


async def accept_tls(
    listener: socket.socket,
    context: ssl.SSLContext,
    behind: Behind,
    nursery: trio.Nursery,
    ceiling: int | None = None,
) -> None:
    """Accepts until the listener is closed. Over a limit: closed before anything is read.

    `ceiling` is the number of descriptors above which there is no place (`master.descriptors`).
    """
    while await _readable(listener):
        for _ in range(ACCEPT_BURST):
            accepted = await _accept(listener)
            if accepted is None:
                break
            sock, peer = accepted
            address = str(peer[0]).removeprefix("::ffff:")
            if ceiling is not None and sock.fileno() > ceiling:
                ticket: Ticket | str = "descriptors"
            else:
                ticket = behind.admission.knock(address, trio.current_time())
            if isinstance(ticket, str):
                behind.limit_hit(ticket, address)
                sock.close()
            else:
                nursery.start_soon(serve_tls, behind, sock, address, ticket, context)


async def accept_local(listener: socket.socket, entry: "Entry", nursery: trio.Nursery) -> None:
    """Accepts on the unix socket until it is closed: this user and root, nobody else."""
    while await _readable(listener):
        accepted = await _accept(listener)
        if accepted is None:
            continue
        sock, _ = accepted
        if _is_trusted(sock):
            nursery.start_soon(entry.serve_local, sock)
        else:
            sock.close()


async def _readable(listener: socket.socket) -> bool:
    try:
        await trio.lowlevel.wait_readable(listener)
    except (trio.ClosedResourceError, ValueError):
        return False  # the master is stopping
    return True


async def _accept(listener: socket.socket) -> tuple[socket.socket, tuple[object, ...]] | None:
    try:
        sock, peer = listener.accept()
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno in _OUT_OF_RESOURCES:
            _log.error("cannot accept", extra={"error": error.strerror})
            await trio.sleep(OUT_OF_RESOURCES_S)
        elif error.errno not in _PEER_GONE:
            raise
        return None
    return sock, cast("tuple[object, ...]", peer)


def _is_trusted(sock: socket.socket) -> bool:
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the socket's mode 0600 in a folder of mode 0700 is all there is
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    return user in {0, os.geteuid()}


def _bind_host(address: Address, backlog: int) -> list[socket.socket]:
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise UserError(f"cannot listen on {address}: {reason_of(error).lower()}") from error
    except UnicodeError as error:
        raise UserError(f"cannot listen on {address}: that cannot be a host's name") from error
    sockets: list[socket.socket] = []
    port = address.port
    try:
        for family, host in dict.fromkeys((family, str(each[0])) for family, *_, each in found):
            sockets.append(_listen(family, (host, port), address, backlog))
            port = sockets[0].getsockname()[1]  # any port: the same for every address of the name
    except UserError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _bind_everywhere(port: int, backlog: int) -> list[socket.socket]:
    everywhere = Address("", port)
    first = _listen(socket.AF_INET, ("0.0.0.0", port), everywhere, backlog)  # noqa: S104 - asked for
    if not socket.has_ipv6:
        return [first]
    try:
        port = first.getsockname()[1]
        return [first, _listen(socket.AF_INET6, ("::", port), everywhere, backlog)]
    except UserError as error:
        _log.warning("listening on IPv4 only", extra={"reason": str(error)})
        return [first]


def _listen(
    family: int,
    sockaddr: tuple[object, ...],
    address: Address,
    backlog: int,
    *,
    is_shared: bool = False,
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(sockaddr)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        hint = ": is another master running?" if error.errno == errno.EADDRINUSE else ""
        raise UserError(f"cannot listen on {address}: {error.strerror or error}{hint}") from error
    sock.setblocking(False)
    return sock
