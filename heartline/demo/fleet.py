"""The process with all agents of a demo: enrols those that have not joined, and runs them.

`python -m heartline.demo.fleet --data DIR --nodes N --seed S`, beside a master on DIR; a child of
`heartline demo`. What happens is printed, a line each. Ends, with a goodbye from every agent, when
it is told to or its standard input ends.
"""

import argparse
import gc
import logging
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import trio
from msgspec import Struct

from agent.enrolment import Request, join_and_keep
from agent.identity import Identity, IdentityFolder
from heartline.control import Control
from heartline.demo.agents import SimulatedAgent
from heartline.demo.folder import AGENTS
from heartline.demo.hosts import Host, fleet
from heartline.demo.plan import Fault, Plan
from heartline.demo.stage import Stage
from heartline.exits import Exit, exit_of
from heartline.lifeline import end_with_parent
from heartline.logs import LogFormat, configure
from heartline.running import running_master
from shared import messages as m
from shared.clock import wall_ms
from shared.errors import HeartlineError, IdentityError, UserError
from shared.paths import StateFolder

TOKEN_LIFE_S: Final = 600
JOIN_AT_ONCE: Final = 12
"""Fewer than a master lets knock from one address."""

FAREWELL_S: Final = 3.0
NAMED_HOSTS: Final = 4


class Member(Struct, frozen=True):
    """A host and who it is to the master."""

    host: Host
    folder: IdentityFolder
    identity: Identity


async def perform(
    members: Sequence[Member], plan: Plan, master: str, say: Callable[[str], None]
) -> None:
    """Runs the agents of `members` until SIGTERM or SIGINT, then says goodbye for each."""
    stage = Stage(plan, trio.current_time(), wall_ms() / 1000, master)
    gc.freeze()
    say(f"{len(members)} hosts begin to beat")
    with _one_error(), trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_announce, members, stage, say)
            for member in members:
                agent = SimulatedAgent(member.host, member.folder, member.identity, stage)
                nursery.start_soon(agent.run)
            async for _ in signals:
                break
            stage.close()
            with trio.move_on_after(FAREWELL_S):
                await stage.empty.wait()
            nursery.cancel_scope.cancel()


async def enrolled(
    root: StateFolder, hosts: Sequence[Host], master: str, say: Callable[[str], None]
) -> list[Member]:
    """The hosts with their identities; those that have none join now.

    Raises:
        HeartlineError: the master does not let one in, or cannot be reached.
    """
    folders = {host.number: IdentityFolder(_folder(root, host)) for host in hosts}
    newcomers = [host for host in hosts if folders[host.number].load() is None]
    if newcomers:
        began_s = trio.current_time()
        token = _token(root, len(newcomers))
        limiter = trio.CapacityLimiter(JOIN_AT_ONCE)
        with _one_error():
            async with trio.open_nursery() as nursery:
                for host in newcomers:
                    nursery.start_soon(_join, _folder(root, host), host, token, master, limiter)
        say(f"{len(newcomers)} hosts joined in {trio.current_time() - began_s:.1f} s")
    return [Member(host, folders[host.number], _identity(folders[host.number])) for host in hosts]


async def _join(
    folder: StateFolder, host: Host, token: str, master: str, limiter: trio.CapacityLimiter
) -> None:
    async with limiter:
        folder.ensure()
        await join_and_keep(Request(str(folder.root), token, (master,), host.name))


async def _announce(members: Sequence[Member], stage: Stage, say: Callable[[str], None]) -> None:
    """Says what goes wrong when it does."""
    hosts = [member.host for member in members]
    for fault in stage.plan.faults:
        if fault.ends_s > stage.now_s():
            await stage.until(fault.at_s)
            say(announcement(fault, hosts))


def announcement(fault: Fault, hosts: Sequence[Host]) -> str:
    """One fault in words."""
    names = [hosts[number].name for number in fault.hosts]
    named = ", ".join(names[:NAMED_HOSTS])
    if len(names) > NAMED_HOSTS:
        named += f" and {len(names) - NAMED_HOSTS} more"
    what = f"{named} {fault.kind}"
    if len(names) > 1:
        what = f"the switch of {hosts[fault.hosts[0]].rack} fails: {named} are cut off"
    return f"{max(0.0, fault.at_s):7.0f} s  {what} ({fault.lasts_s:.0f} s)"


@contextmanager
def _one_error() -> Generator[None]:
    """What goes wrong with one host goes wrong with all: the first speaks for them."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _first(error: BaseException) -> BaseException:
    if isinstance(error, BaseExceptionGroup):
        return _first(cast("BaseExceptionGroup[BaseException]", error).exceptions[0])
    return error


def _folder(root: StateFolder, host: Host) -> StateFolder:
    return StateFolder(root.root / AGENTS / host.name)


def _identity(folder: IdentityFolder) -> Identity:
    identity = folder.load()
    if identity is None:
        raise IdentityError(f"joining left no identity in {folder.path}")
    return identity


def _master(root: StateFolder) -> str:
    running = running_master(root)
    if running is None:
        raise UserError(f"no master runs on {root.root}")
    return running.listen[0]


def _token(root: StateFolder, uses: int) -> str:
    with Control.open(root) as control:
        created = control.ask(
            lambda request: m.CreateToken(request, "agent", TOKEN_LIFE_S, uses), m.TokenCreated
        )
    return created.token


def main(arguments: Sequence[str]) -> int:
    """Runs a fleet; the exit code."""
    parser = argparse.ArgumentParser(prog="heartline demo")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args(arguments)
    configure(logging.ERROR, LogFormat.TEXT)
    end_with_parent()
    root, hosts = StateFolder(given.data), fleet(given.nodes, given.seed)
    try:
        master = _master(root)
        members = trio.run(enrolled, root, hosts, master, _print)
        trio.run(perform, members, Plan.drawn(hosts, given.seed), master, _print)
    except HeartlineError as error:
        _print(f"heartline: {error}")
        return exit_of(error)
    return Exit.OK


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
