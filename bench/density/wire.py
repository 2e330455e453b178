"""A client's TLS connection over one epoll set, as cheap as it can be had: one read for each thing
that has come, and no exception where nothing is wrong."""

import errno
import os
import select
import socket
import ssl
from typing import Final

from shared.tls import load_leaf

RECEIVE_BYTES: Final = 16 * 1024
"""What a TLS record holds at most. OpenSSL reads record by record, so what one read leaves is still
the kernel's, which says so again: the set is asked for levels, not for edges."""

_IP_BIND_ADDRESS_NO_PORT: Final = 24
"""linux/in.h: the port is chosen when it is known where to, so each address has 28,000 of them for
each master."""


def context(pem: bytes) -> ssl.SSLContext:
    """TLS with this key and certificate. Reading them takes OpenSSL as long as a handshake, so it
    is done before the load begins; and whom they are shown to is not checked, which would cost
    this side alone."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    load_leaf(made, pem)
    return made


class Wire:
    """One connection, from its first packet to its end. Close it."""

    __slots__ = ("_epoll", "_socket", "_unsent", "descriptor", "is_secured")

    def __init__(self, epoll: select.epoll, source: str, master: tuple[str, int]) -> None:
        self.is_secured = False
        self._epoll = epoll
        self._unsent = b""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((source, 0))
        sock.connect_ex(master)
        self._socket = sock
        self.descriptor = sock.fileno()
        epoll.register(sock, select.EPOLLOUT)

    def __repr__(self) -> str:
        return f"<Wire {self.descriptor} {'secured' if self.is_secured else 'dialling'}>"

    def secure(self, tls: ssl.SSLContext, server_name: str) -> bool:
        """Goes on with the handshake; whether it is done.

        Raises:
            OSError: there is no connection.
        """
        sock = self._socket
        if not isinstance(sock, ssl.SSLSocket):
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            self._epoll.modify(self.descriptor, select.EPOLLIN)
            self._socket = sock = tls.wrap_socket(
                sock, server_hostname=server_name, do_handshake_on_connect=False
            )
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.is_secured = True
        return True

    def read(self) -> bytes:
        """What has come; empty: nothing yet.

        Raises:
            OSError: the connection is over.
        """
        if self._unsent:
            self.write(b"")
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except ssl.SSLWantReadError:
            return b""
        if not data:
            raise OSError(errno.ECONNRESET, "closed by the master")
        return data

    def write(self, frame: bytes) -> None:
        """Sends, or keeps until it can be sent.

        Raises:
            OSError: the connection is over.
        """
        # What was refused is repeated with the same bytes first: OpenSSL accepts it in a longer
        # buffer, which Python's sockets allow.
        was_refused, unsent = bool(self._unsent), self._unsent + frame
        try:
            while unsent:
                unsent = unsent[self._socket.send(unsent) :]
        except ssl.SSLWantWriteError:
            pass
        self._unsent = unsent
        if bool(unsent) != was_refused:
            wanted = select.EPOLLIN | select.EPOLLOUT if unsent else select.EPOLLIN
            self._epoll.modify(self.descriptor, wanted)

    def close(self) -> None:
        self._socket.close()
