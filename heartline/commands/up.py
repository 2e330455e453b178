"""`heartline up`."""

import shlex
import signal
from contextlib import closing
from typing import Final

import click

from heartline.bell import Bell, Departure
from heartline.commands.daemons import listen_option
from heartline.exits import Exit
from heartline.foreground import Voice, code_of, require_terminal, show
from heartline.invocation import Invocation, daemon_options, pass_invocation
from heartline.running import running_master
from heartline.stack import Left, Options, Stack

_LEAVE_ON: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
    if not headless:
        require_terminal()
    invocation.settings()
    voice, bell = Voice(), Bell()
    departure = Departure(bell)
    options = Options(_shared_flags(invocation), _flags("--listen", listen))
    stack = Stack(invocation.folder, options, bell, departure, voice.say)
    with departure.on_signals(_LEAVE_ON), closing(bell), closing(stack):
        try:
            stack.start_master()
            stack.start_agent()
        except Left:
            return Exit.OK
        if headless:
            _serve(stack, bell, departure, voice)
        else:
            show(stack, voice)
        return Exit.OK if stack.ended is None else code_of(stack.ended)


def _serve(stack: Stack, bell: Bell, departure: Departure, voice: Voice) -> None:
    running = running_master(stack.folder)
    if running is not None:
        voice.say(f"listening on {', '.join(running.listen)}")
    voice.say("this host's node is up")
    command = shlex.join(["heartline", "token", "create", "--data", str(stack.folder.root)])
    voice.say(f"to join another host, run what this prints: {command}")
    while not departure.asked and stack.ended is None:
        bell.wait()


def _shared_flags(invocation: Invocation) -> tuple[str, ...]:
    file, asked = invocation.config_file
    return (
        *(("--config", str(file)) if asked else ()),
        *("-v" for _ in range(invocation.verbose)),
        *("--log-format", invocation.log_format),
    )


def _flags(name: str, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for value in values for word in (name, value))
