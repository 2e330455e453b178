"""The master as a process: who starts what, how it reloads, and how it stops. Its parts are put
together in `master.assembly`, which starts all that needs no socket.

serve
├ door: what lets connections in; the first to stop
│ ├ accept_tls (one per address)  → Entry → AgentSession | ViewerSession   a task for each that is
│ │                                                                         not an agent's yet
│ ├ accept_local                  → Entry → ViewerSession
│ └ rotate_leaf  the master's own certificate, every thirty days
├ Workers      with `master.workers`, who accept instead: each a process and its relay
├ Readiness    every established agent's link, where this process has the socket
├ Sweeper      every deadline of links and nodes
├ Feed         changes to viewers, four times a second
├ Attention    what agents are asked for while somebody looks
├ Store        what may be written later
├ History      samples, twice a second; chunks, roll-ups, and what is too old
├ Sessions     beats that the disk is late with; at the end, every agent's link
├ Registry     "last seen", every half minute
├ Outages      what is to be stored of them; the master's own stalls
├ Audit        the limits' summary, every minute
├ Canary       whether what is sent gets through to this process at all
├ heap         gives memory back
├ stalls       tells of the time in which this process was not there
├ service manager   that all is well, as often as it wants to hear it
└ signals      SIGTERM and SIGINT stop, SIGHUP reloads
"""

import datetime as dt
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from functools import partial
from typing import Final, TypeAlias, TypeVar

import trio
from msgspec.structs import replace

from master.announcement import announce, describe
from master.assembly import Master
from master.audit import Audit
from master.authority import new_leaf, open_authority, port_context, rotate_leaf
from master.collector import calm_collector
from master.descriptors import raise_ceiling
from master.heap import keep_large_blocks_apart
from master.history.history import History
from master.history.patient_clock import PatientClock, last_written_ms
from master.listener import accept_local, accept_tls, bind, bind_local, bind_shared
from master.parts import Parts
from master.relay import Leaf
from master.store import Store
from master.workers import Command, Workers
from shared import service_manager
from shared.certificates import CertificateAuthority
from shared.clock import monotonic_ms, wall_ms
from shared.errors import UserError
from shared.only_one import only_one
from shared.paths import StateFolder
from shared.settings import HistorySettings, LinkSettings, MasterSettings, Settings, changes
from shared.tls import load_leaf

PRIVATE_UMASK: Final = 0o077
"""What the master writes is its user's alone, also what SQLite puts beside the database."""

SWITCH_S: Final = 0.0005
"""How long a thread that wants the interpreter waits for the one that has it. The history's threads
let go of it dozens of times in a commit, and each time a busy event loop would keep them waiting
for Python's usual 5 ms: a commit takes 50 ms of work, and took seconds."""

NO_COMMAND: Final = Command((), {})

AnySettings = TypeVar("AnySettings", MasterSettings, LinkSettings, HistorySettings)

Reload: TypeAlias = Callable[[], Settings]
"""Reads the configuration anew; raises UserError when it is no good."""

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_log: Final = logging.getLogger(__name__)


def _print_at_once(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what it was started for; somebody may wait on a pipe


def run(
    folder: StateFolder,
    settings: Settings,
    *,
    reload: Reload | None = None,
    print_line: Callable[[str], None] = _print_at_once,
    worker_command: Command = NO_COMMAND,
) -> int:
    """Runs a master on `folder` until SIGTERM or SIGINT; returns the exit code, 0.
    `worker_command` starts a worker, when the settings ask for some.

    Raises:
        UserError: it cannot start: another master runs on the folder, an address is taken, …
    """
    os.umask(PRIVATE_UMASK)
    keep_large_blocks_apart()
    sys.setswitchinterval(SWITCH_S)
    with ExitStack() as stack:
        folder.ensure()
        stack.enter_context(only_one(folder.lock, _running_already(folder)))
        authority, is_new = open_authority(folder.ca_dir, dt.datetime.now(dt.UTC))
        store = Store.open(folder.database)
        stack.callback(store.close)
        patient = PatientClock(wall_ms, monotonic_ms, last_written_ms(folder.history))
        history = History.open(folder.history, settings.history, now_wall_ms=patient.now_wall_ms)
        stack.callback(history.close)
        audit = Audit(folder.audit, wall_ms)
        stack.callback(audit.close)
        shares = _bind(settings.master)
        for sock in (sock for share in shares for sock in share):
            stack.callback(sock.close)
        stack.callback(folder.master_json.unlink, missing_ok=True)
        local = bind_local(folder.socket)
        stack.callback(folder.socket.unlink, missing_ok=True)
        stack.callback(local.close)
        master = Master(
            folder,
            settings.master,
            settings.link,
            authority=authority,
            store=store,
            history=history,
            audit=audit,
        )
        trio.run(
            partial(
                serve,
                master,
                shares,
                local,
                is_first_start=is_new,
                reload=reload,
                print_line=print_line,
                worker_command=worker_command,
            ),
            clock=master.clock,
        )
    return 0


async def serve(
    master: Master,
    shares: list[list[socket.socket]],
    local: socket.socket,
    *,
    is_first_start: bool,
    reload: Reload | None,
    print_line: Callable[[str], None],
    worker_command: Command = NO_COMMAND,
) -> None:
    """Serves until a signal says stop; then tells every link, and waits for what is unsaved.

    `shares` are the listening sockets: one share, or one for each of the workers that are set.

    Signals are heeded from the first moment on: one that comes too early waits its turn.

    Raises:
        UserError: the database is damaged.
    """
    listeners = shares[0]
    try:
        with trio.open_signal_receiver(*_heeded_signals()) as signals:
            async with trio.open_nursery() as nursery:
                parts = master.assemble(nursery)
                if master.settings.workers:
                    _employ(master, nursery, worker_command, shares, parts)
                describe(nursery, master.folder.master_json, listeners)
                await announce(listeners, parts, is_first_start, print_line)
                stopping = trio.Event()
                nursery.start_soon(_heed, signals, stopping, master, parts, reload)
                async with trio.open_nursery() as door:
                    _open_door(master.authority, door, nursery, listeners, parts)
                    door.start_soon(accept_local, local, parts.entry, nursery)
                    nursery.start_soon(service_manager.keep_alive)
                    calm_collector()
                    service_manager.notify(service_manager.READY)
                    await stopping.wait()
                    door.cancel_scope.cancel()
                for sock in (*(sock for share in shares for sock in share), local):
                    sock.close()
                await parts.stop()
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # One task's failure is the program's; a group of one says no more than it.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


def _employ(
    master: Master,
    nursery: trio.Nursery,
    command: Command,
    shares: list[list[socket.socket]],
    parts: Parts,
) -> None:
    leaf = new_leaf(master.authority, dt.datetime.now(dt.UTC))
    parts.workers = Workers(
        command, shares, parts.entry, Leaf(master.authority.clients_certificate_pem(), *leaf)
    )
    nursery.start_soon(parts.workers.run)


def _open_door(
    authority: CertificateAuthority,
    door: trio.Nursery,
    nursery: trio.Nursery,
    listeners: list[socket.socket],
    parts: Parts,
) -> None:
    # Connections live in `nursery`: when the door closes, they stay to be told.
    ceiling = raise_ceiling()
    if parts.workers is None:
        tls = port_context(authority, dt.datetime.now(dt.UTC))
        for sock in listeners:
            door.start_soon(accept_tls, sock, tls, parts.entry, nursery, ceiling)
        door.start_soon(rotate_leaf, authority, partial(load_leaf, tls))
    else:
        door.start_soon(rotate_leaf, authority, parts.workers.renew_leaf)


async def _heed(
    signals: AsyncIterator[int],
    stopping: trio.Event,
    master: Master,
    parts: Parts,
    reload: Reload | None,
) -> None:
    async for number in signals:
        if stopping.is_set():
            continue  # heeded all the same: left alone, it would end the process half-way
        if number in _STOP_SIGNALS:
            _log.info("stopping", extra={"signal": signal.Signals(number).name})
            service_manager.notify(service_manager.STOPPING)
            stopping.set()
        elif reload is not None:
            service_manager.notify(service_manager.RELOADING)
            _reload(master, parts, reload)
            service_manager.notify(service_manager.READY)


def _reload(master: Master, parts: Parts, reload: Reload) -> None:
    try:
        new = reload()
    except UserError as error:
        _log.error("not reloaded, the old settings stay", extra={"error": str(error)})
        return
    old = {"master": master.settings, "link": master.link, "history": master.history.settings}
    changed = {name: changes(old[name], getattr(new, name), f"{name}.") for name in old}
    applied = [key for keys, _ in changed.values() for key in keys]
    waiting = [key for _, keys in changed.values() for key in keys]
    master.settings = _with(master.settings, new.master, changed["master"][0])
    master.link = _with(master.link, new.link, changed["link"][0])
    master.history.settings = _with(master.history.settings, new.history, changed["history"][0])
    parts.change(master.settings, master.link, period_changed="master.period_s" in applied)
    _log.info(
        "reloaded",
        extra={
            "applied": ", ".join(applied) or "-",
            "needs_restart": ", ".join(waiting) or "-",
        },
    )


def _bind(settings: MasterSettings) -> list[list[socket.socket]]:
    if settings.workers:
        return bind_shared(settings.listen, settings.backlog, settings.workers)
    return [bind(settings.listen, settings.backlog)]


def _heeded_signals() -> list[signal.Signals]:
    return [*_STOP_SIGNALS, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


def _with(old: AnySettings, new: AnySettings, keys: list[str]) -> AnySettings:
    # `keys` carry their section's name. The rest stays in force until the next start.
    names = [key.rpartition(".")[2] for key in keys]
    return replace(old, **{name: getattr(new, name) for name in names})


def _running_already(folder: StateFolder) -> str:
    return f"another master runs on {folder.root}; stop it, or name another folder with --data"
