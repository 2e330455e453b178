"""From an address to a TLS stream: DNS, TCP, handshake."""

import os
import socket
import ssl
from typing import Final, cast

import trio

from shared.addresses import Address
from shared.errors import LinkBrokenError, NobodyThereError
from shared.stream import SocketStream, tls_client
from shared.tcp import tune

USER_TIMEOUT_S: Final = 15.0
"""Sent data that the master's kernel does not acknowledge for so long ends the link: a dead host, a
cable that was cut, an address translation that forgot us. A frozen master's kernel does
acknowledge."""


async def connect(address: Address, context: ssl.SSLContext, server_name: str) -> SocketStream:
    """A TLS stream to a master, whose name has been resolved anew.

    Raises:
        NobodyThereError: the host is there, and no master on it.
        LinkBrokenError: no such name, no answer, or not our master.
        trio.Cancelled: closes what was opened.
    """
    try:
        tcp = await trio.open_tcp_stream(address.host, address.port)
    except UnicodeError as error:
        raise LinkBrokenError(f"{address.host} cannot be a host's name") from error
    except OSError as error:
        kind = NobodyThereError if _is_refusal(error) else LinkBrokenError
        raise kind(_reason(error)) from error
    sock = socket.socket(fileno=tcp.socket.detach())
    try:
        tune(sock, user_timeout_s=USER_TIMEOUT_S)
        stream = tls_client(sock, context, server_name)
    except OSError as error:
        sock.close()
        raise LinkBrokenError(_reason(error)) from error
    try:
        await stream.handshake()
    except BaseException:
        stream.close()
        raise
    return stream


def _is_refusal(error: OSError) -> bool:
    return isinstance(_first_cause(error), ConnectionRefusedError)


def _reason(error: OSError) -> str:
    cause = _first_cause(error)
    if isinstance(cause, socket.gaierror | ssl.SSLError):
        return (cause.strerror or str(cause)).lower()
    # What trio raises carries a sentence with the address; the kernel's own words are shorter.
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno).lower()
    return str(cause)


def _first_cause(error: BaseException) -> BaseException:
    # trio groups what every address of a name answered; one answer says enough.
    if isinstance(error, BaseExceptionGroup):
        return _first_cause(cast("BaseExceptionGroup[BaseException]", error).exceptions[0])
    return error if error.__cause__ is None else _first_cause(error.__cause__)
