"""What a master says of itself when it starts: where it listens, and how to join it."""

import json
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from master.enrolment import Enrolment
from master.identities import AGENT
from master.joining import join_command
from master.listener import bound_address
from master.parts import Parts
from master.store import RETRY_S, StoreError
from shared.causes import lasting
from shared.private_files import write_private

FIRST_TOKEN_LIFE_S: Final = 3600
FIRST_TOKEN_USES: Final = 100
"""The token of the first start: an hour to bring a hundred hosts in, without a second thought."""

_log: Final = logging.getLogger(__name__)


def describe(nursery: trio.Nursery, path: Path, listeners: list[socket.socket]) -> None:
    """Writes to `path` where this master listens: as soon as the disk takes it, for to watch comes
    first."""
    addresses = [bound_address(sock) for sock in listeners]
    description = json.dumps({"listen": addresses, "pid": os.getpid()}).encode()
    try:
        write_private(path, description)
    except OSError as error:
        _log.error(
            "it cannot be written where this master listens; it goes on trying",
            extra={"file": str(path), "error": error.strerror or str(error)},
        )
        nursery.start_soon(_write_in_time, path, description)


async def announce(
    listeners: list[socket.socket],
    parts: Parts,
    is_first_start: bool,
    print_line: Callable[[str], None],
) -> None:
    """Tells the event log, and whoever has started this master, where it listens; when it is the
    first start, also how to join."""
    addresses = [bound_address(sock) for sock in listeners]
    away_s = parts.entry.registry.outages.life.away_s
    text = "" if away_s is None else f"; it was away for {lasting(away_s)} at most"
    parts.context.events.record("master-started", text=", ".join(addresses) + text)
    print_line(f"listening on {', '.join(addresses)}")
    if is_first_start:
        await _print_join_command(parts.enrolment, addresses, print_line)


async def _write_in_time(path: Path, data: bytes) -> None:
    is_written = False
    while not is_written:
        await trio.sleep(RETRY_S)
        with suppress(OSError):
            await trio.to_thread.run_sync(write_private, path, data)
            is_written = True


async def _print_join_command(
    enrolment: Enrolment, addresses: list[str], print_line: Callable[[str], None]
) -> None:
    try:
        token, _ = await enrolment.create_token(AGENT, FIRST_TOKEN_LIFE_S, FIRST_TOKEN_USES)
    except StoreError as error:
        _log.error("no join token yet; later: heartline token create", extra={"error": str(error)})
        return
    print_line("to join a host, run there (within an hour, up to 100 hosts):")
    print_line(f"  {join_command(token.encode(), addresses)}")
