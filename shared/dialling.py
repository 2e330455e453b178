"""From an address to a TLS stream: DNS, TCP, handshake."""

import socket
import ssl
from typing import Final

import trio

from shared.addresses import Address
from shared.errors import LinkBrokenError
from shared.stream import SocketStream, tls_client
from shared.tcp import tune

USER_TIMEOUT_S: Final = 15.0
"""Sent data that the master's kernel does not acknowledge for so long ends the link: a dead host, a
cable that was cut, an address translation that forgot us. A frozen master's kernel does
acknowledge."""


async def connect(address: Address, context: ssl.SSLContext, server_name: str) -> SocketStream:
    """A TLS stream to a master, whose name has been resolved anew.

    Raises:
        LinkBrokenError: no such name, nobody there, or not our master.
        trio.Cancelled: closes what was opened.
    """
    try:
        tcp = await trio.open_tcp_stream(address.host, address.port)
    except OSError as error:
        raise LinkBrokenError(_dial_reason(error)) from error
    sock = socket.socket(fileno=tcp.socket.detach())
    try:
        tune(sock, user_timeout_s=USER_TIMEOUT_S)
        stream = tls_client(sock, context, server_name)
    except OSError as error:
        sock.close()
        raise LinkBrokenError(str(error)) from error
    try:
        await stream.handshake()
    except BaseException:
        stream.close()
        raise
    return stream


def _dial_reason(error: OSError) -> str:
    # trio groups what every address of a name answered; one answer says enough.
    cause: BaseException = error
    while isinstance(cause.__cause__, BaseExceptionGroup) or isinstance(cause, BaseExceptionGroup):
        group = cause if isinstance(cause, BaseExceptionGroup) else cause.__cause__
        assert isinstance(group, BaseExceptionGroup)
        cause = group.exceptions[0]
    if isinstance(cause.__cause__, OSError):
        cause = cause.__cause__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return str(cause)
