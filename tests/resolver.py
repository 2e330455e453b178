"""Names that a test makes up, for the loop that the test runs in."""

import socket
from collections.abc import Iterator
from typing import Literal, TypeAlias

import trio

Answer: TypeAlias = (
    tuple[Literal[socket.AddressFamily.AF_INET], socket.SocketKind, int, str, tuple[str, int]]
    | tuple[
        Literal[socket.AddressFamily.AF_INET6],
        socket.SocketKind,
        int,
        str,
        tuple[str, int, int, int] | tuple[int, bytes],
    ]
)


class Resolver(trio.abc.HostnameResolver):
    """Answers each question with the next address, or with that there is no such name."""

    def __init__(self, *answers: tuple[str, int]) -> None:
        self.asked: list[str] = []
        self._answers: Iterator[tuple[str, int]] = iter(answers)

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002 - the interface's name
        proto: int = 0,
        flags: int = 0,
    ) -> list[Answer]:
        await trio.lowlevel.checkpoint()
        self.asked.append((host or b"").decode())
        address = next(self._answers, None)
        if address is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        kind = socket.SocketKind.SOCK_STREAM
        return [(socket.AddressFamily.AF_INET, kind, socket.IPPROTO_TCP, "", address)]

    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
    ) -> tuple[str, str]:
        raise AssertionError("nobody asks for the name of an address")
