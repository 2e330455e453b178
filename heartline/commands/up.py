"""`heartline up`."""

import os
import shlex
import signal
import sys
from contextlib import closing
from typing import Final

import click

from heartline.bell import Bell, Departure
from heartline.commands.daemons import listen_option
from heartline.commands.top import dashboard
from heartline.exits import Exit
from heartline.invocation import Invocation, daemon_options, pass_invocation
from heartline.running import running_master
from heartline.stack import Left, Options, Stack
from heartline.supervision import Keeper
from tui.client import UnixTarget

_LEAVE_ON: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Voice:
    """Prints at once, or, while the dashboard has the terminal, when it is given back."""

    def __init__(self) -> None:
        self._held: list[str] | None = None

    def say(self, text: str) -> None:
        """Tells the user. From any thread."""
        if self._held is None:
            click.echo(text)
        else:
            self._held.append(text)

    def hold(self) -> None:
        """Nothing is printed from now on."""
        self._held = []

    def release(self) -> None:
        """Prints what was held back."""
        held, self._held = self._held or [], None
        for text in held:
            click.echo(text)


@click.command()
@listen_option
@click.option("--headless", is_flag=True, help="No dashboard: run until a signal says stop.")
@daemon_options
@pass_invocation
def up(invocation: Invocation, listen: tuple[str, ...], headless: bool) -> int:
    """Run a master, this host's agent and the dashboard in one terminal.

    Everything lives under the state folder. Leaving (q, Ctrl-C, SIGTERM) stops what this command
    has started, and nothing else: a master or an agent that runs there already is left alone.
    """
    if not headless and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("there is no terminal for the dashboard; add --headless")
    invocation.settings()
    voice, bell = _Voice(), Bell()
    departure = Departure(bell)
    options = Options(_shared_flags(invocation), _flags("--listen", listen))
    stack = Stack(invocation.folder, options, bell, departure, voice.say)
    with departure.on_signals(_LEAVE_ON), closing(bell), closing(stack):
        try:
            stack.start()
        except Left:
            return Exit.OK
        if headless:
            _serve(stack, bell, departure, voice)
        else:
            _show(stack, voice)
        return Exit.OK if stack.ended is None else _code(stack.ended)


def _serve(stack: Stack, bell: Bell, departure: Departure, voice: _Voice) -> None:
    running = running_master(stack.folder)
    if running is not None:
        voice.say(f"listening on {', '.join(running.listen)}")
    voice.say("this host's node is up")
    command = shlex.join(["heartline", "token", "create", "--data", str(stack.folder.root)])
    voice.say(f"to join another host, run what this prints: {command}")
    while not departure.asked and stack.ended is None:
        bell.wait()


def _show(stack: Stack, voice: _Voice) -> None:
    # The dashboard leaves on SIGTERM: when a child has ended for good, there is nothing to show.
    stack.on_end = lambda: os.kill(os.getpid(), signal.SIGTERM)
    voice.hold()
    try:
        if stack.ended is None:
            dashboard(UnixTarget(stack.folder.socket))
    finally:
        voice.release()


def _code(keeper: Keeper) -> int:
    """A child's own reason is this command's, unless it had none."""
    code = keeper.last_end.code if keeper.last_end is not None else Exit.FAILED
    return code if code > 0 else Exit.FAILED


def _shared_flags(invocation: Invocation) -> tuple[str, ...]:
    file, asked = invocation.config_file
    return (
        *(("--config", str(file)) if asked else ()),
        *("-v" for _ in range(invocation.verbose)),
        *("--log-format", invocation.log_format),
    )


def _flags(name: str, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for value in values for word in (name, value))
