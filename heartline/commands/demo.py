"""`heartline demo`."""

import os
import signal
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Final

import click

from heartline.bell import Bell, Departure
from heartline.demo.folder import own_folder, temporary_folder
from heartline.exits import Exit
from heartline.foreground import Voice, code_of, require_terminal, show
from heartline.invocation import Invocation, data_option, pass_invocation, verbose_option
from heartline.stack import Left, Options, Stack
from shared.paths import StateFolder

MOST_NODES: Final = 2_000
"""One process plays all of them."""

_LEAVE_ON: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_MASTER: Final = ("--listen", "127.0.0.1:0")

_ENVIRONMENT: Final = {
    "HEARTLINE_MASTER_NAME": "demo",
    # A whole fleet joins from one address, and at once: nobody waits for what guards a real one.
    "HEARTLINE_MASTER_HANDSHAKES_PER_S": "2000",
    "HEARTLINE_MASTER_UNAUTHENTICATED_CONNECTIONS": "4096",
    "HEARTLINE_MASTER_UNAUTHENTICATED_CONNECTIONS_PER_ADDRESS": "4096",
}


@click.command()
@click.option(
    "--nodes",
    type=click.IntRange(1, MOST_NODES),
    default=200,
    show_default=True,
    help="So many simulated hosts.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, another story.")
@click.option(
    "--duration", type=click.FloatRange(min=1), metavar="S", help="Leave after S seconds."
)
@click.option("--headless", is_flag=True, help="No dashboard: say what happens, as it does.")
@data_option("Keep it in this folder, which is new or an earlier demo's.")
@verbose_option
@pass_invocation
def demo(
    invocation: Invocation, *, nodes: int, seed: int, duration: float | None, headless: bool
) -> int:
    """Try it out: the dashboard on a simulated fleet.

    The master and the links are real, the hosts and their values are not. Something is always the
    matter: nodes are killed, hang, reboot, lose their network, fill their disks; the same seed
    tells the same story. All of it lives in a temporary folder and ends with this command; with
    --data DIR it stays, and other commands can look at it meanwhile. A folder that anything else
    has been kept in is refused, and HEARTLINE_DATA is not looked at.
    """
    if not headless:
        require_terminal()
    voice, bell = Voice(), Bell()
    departure = Departure(bell)
    with (
        departure.on_signals(_LEAVE_ON),
        closing(bell),
        _folder(invocation) as folder,
        closing(
            Stack(folder, Options((), _MASTER, _ENVIRONMENT), bell, departure, voice.say)
        ) as stack,
    ):
        try:
            stack.start_master()
        except Left:
            return Exit.OK
        flags = ("--nodes", str(nodes), "--seed", str(seed))
        hear = voice.say if headless else None
        stack.start_module("fleet", "heartline.demo.fleet", *flags, hear=hear)
        with _limited(duration):
            if headless:
                voice.say(f"{nodes} simulated hosts; state folder {folder.root}")
                while not departure.asked and stack.ended is None:
                    bell.wait()
            else:
                show(stack, voice)
        return Exit.OK if stack.ended is None else code_of(stack.ended)


@contextmanager
def _folder(invocation: Invocation) -> Generator[StateFolder]:
    """The one that was named, or one that is gone afterwards."""
    if invocation.data is not None:
        yield own_folder(invocation.data.absolute())
        return
    with temporary_folder() as root:
        invocation.data = root  # what the dashboard remembers is forgotten too
        yield invocation.folder


@contextmanager
def _limited(duration_s: float | None) -> Generator[None]:
    """Within this, the time is limited: when it is over, this process is asked to leave."""
    if duration_s is None:
        yield
        return
    timer = threading.Timer(duration_s, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
