"""`heartline`: the table of commands, and the one place where errors become exit codes.

A command's module is imported when the command is run, so that each costs what it uses.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple, cast

import click

from heartline.exits import MEANINGS, Exit, exit_of
from heartline.invocation import common_options
from shared import VERSION
from shared.errors import HeartlineError


class Entry(NamedTuple):
    """One command: where it is defined, and the first sentence of its help."""

    module: str
    summary: str


SECTIONS: Final[dict[str, dict[str, Entry]]] = {
    "Run": {
        "up": Entry("up", "Run a master, this host's agent and the dashboard in one terminal."),
        "master": Entry("daemons", "Run the service that agents link to."),
        "agent": Entry("daemons", "Run the daemon that reports this host to a master."),
        "demo": Entry("demo", "Try it out: the dashboard on a simulated fleet."),
    },
    "Look": {
        "top": Entry("top", "Watch the fleet in a terminal dashboard."),
        "nodes": Entry("nodes", "List the nodes, problems first."),
        "node": Entry("nodes", "Show, label, revoke or forget one node."),
        "events": Entry("events", "List what happened: states, enrolments, conflicts."),
        "outages": Entry("outages", "List when nodes were away, for how long, and why."),
        "coverage": Entry("coverage", "Say how complete the history is, and what is missing."),
        "export": Entry("export", "Write stored samples as CSV, JSON lines or OpenMetrics."),
    },
    "Manage": {
        "token": Entry(
            "tokens", "Create, list or revoke the tokens that let hosts and viewers join."
        ),
        "backup": Entry("backup", "Write a copy of all that the running master knows to FILE."),
        "doctor": Entry(
            "doctor", "Check this installation, and say what to do about each finding."
        ),
        "completion": Entry("completion", "Print the completion script of a shell."),
    },
}
"""Every command by the section of `--help` it stands in."""

_ENTRIES: Final = {name: entry for table in SECTIONS.values() for name, entry in table.items()}

_INTERNAL: Final = {"worker": Entry("daemons", "Hold links for a master.")}
"""Started by other commands, and by nobody else."""


class Commands(click.Group):
    """The commands of `SECTIONS`, each loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order of the help."""
        return list(_ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Loads one command; None when there is none of that name."""
        entry = _ENTRIES.get(cmd_name) or _INTERNAL.get(cmd_name)
        if entry is None:
            return None
        module = import_module(f"heartline.commands.{entry.module}")
        return cast("click.Command", getattr(module, cmd_name))

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command. A reader of its output that goes away has seen enough of it: that is
        the end, and no failure. Caught here, because click would make it one."""
        try:
            code = cast("object", super().invoke(ctx))
        except BrokenPipeError:
            _forget_output()
            return Exit.OK
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            _forget_output()
        return code

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Refuses an unknown command with the one that was probably meant."""
        name = args[0]
        is_known = name in _ENTRIES or name in _INTERNAL
        if not is_known and not name.startswith("-") and not ctx.resilient_parsing:
            import difflib  # noqa: PLC0415 - only an error needs it

            close = difflib.get_close_matches(name, _ENTRIES, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"No such command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Writes the table, without loading any of it."""
        for title, table in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.summary) for name, entry in table.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Writes the exit codes."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), text) for code, text in MEANINGS.items()])


@click.group(cls=Commands)
@common_options
@click.version_option(VERSION, prog_name="heartline")
def cli() -> None:
    """Know which of your machines are alive, how they are, and, when one goes, how soon and why.

    Try it: heartline up. Settings: flags, then HEARTLINE_… variables, then DIR/heartline.toml.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code (`heartline.exits`).

    What a user can cause ends in one line on standard error; a bug is not caught.
    """
    _open_missing_streams()
    try:
        code = cast(
            "object",
            cli.main(args=arguments, prog_name="heartline", standalone_mode=False, color=_color()),
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except HeartlineError as error:
        return _failed(str(error), exit_of(error))
    except OSError as error:
        _flush_what_can_be()
        where = f"{error.filename}: " if error.filename else ""
        return _failed(where + (error.strerror or str(error)), Exit.FAILED)
    return code if isinstance(code, int) else Exit.OK


def _failed(text: str, code: Exit) -> Exit:
    click.echo(f"heartline: {text}", err=True)
    return code


def _color() -> bool | None:
    """False: never, by https://no-color.org; None: on terminals."""
    return False if os.environ.get("NO_COLOR") else None


def _open_missing_streams() -> None:
    """A standard stream that whoever started this closed leads nowhere: nothing has to check."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def _flush_what_can_be() -> None:
    """What is still to be printed, unless that is what failed: the interpreter would try again."""
    try:
        sys.stdout.flush()
    except OSError:
        _forget_output()


def _forget_output() -> None:
    """Nobody reads the output any more: nothing is written again, not even at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
