"""Telling systemd how it goes: ready, stopping, alive (sd_notify(3)). Without systemd, nothing
happens."""

import os
import socket
import time
from typing import Final

import trio

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
RELOADING: Final = "RELOADING=1"
_ALIVE: Final = "WATCHDOG=1"


def notify(state: str) -> None:
    """Sends one state to the service manager that started this process, if any asked for it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    if state == RELOADING:
        state += f"\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)  # a service manager that hangs must not stop the event loop
            sock.sendto(state.encode(), address)
    except OSError:
        return  # it is restarting, or busy: it asks again


async def keep_alive() -> None:
    """Feeds the service manager's watchdog at half its interval, for as long as the event loop
    turns.

    Returns at once when there is no watchdog.
    """
    interval_us = os.environ.get("WATCHDOG_USEC", "")
    if not interval_us.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(
        os.getpid()
    ):
        return
    while True:
        notify(_ALIVE)
        await trio.sleep(int(interval_us) / 2_000_000)
