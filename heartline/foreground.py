"""The dashboard in front of children: what `heartline up` and `heartline demo` do in a terminal."""

import os
import signal

import click

from heartline.dashboard import dashboard, has_terminal
from heartline.exits import Exit
from heartline.stack import Stack
from heartline.supervision import Keeper
from tui.client import Client
from tui.target import UnixTarget


class Voice:
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


def require_terminal() -> None:
    """Refuses, before anything is started, what could not be shown.

    Raises:
        click.UsageError: there is no terminal.
    """
    if not has_terminal():
        raise click.UsageError("there is no terminal for the dashboard; add --headless")


def show(stack: Stack, voice: Voice) -> None:
    """The dashboard of what runs, until the user leaves it or a child has ended for good."""
    # The dashboard leaves on SIGTERM: when a child has ended for good, there is nothing to show.
    stack.on_end = lambda: os.kill(os.getpid(), signal.SIGTERM)
    voice.hold()
    try:
        if stack.ended is None:
            dashboard(Client(UnixTarget(stack.folder.socket)))
    finally:
        voice.release()


def code_of(keeper: Keeper) -> int:
    """A child's own reason is this command's, unless it had none."""
    code = keeper.last_end.code if keeper.last_end is not None else Exit.FAILED
    return code if code > 0 else Exit.FAILED
