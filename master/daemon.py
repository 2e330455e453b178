"""The master as a process: what it is made of, who starts what, and how it stops.

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
├ Registry     "last seen", every half minute
├ Outages      what is to be stored of them; the master's own stalls
├ Audit        the limits' summary, every minute
├ Canary       whether what is sent gets through to this process at all
├ heap         gives back what handshakes have used
├ stalls       tells of the time in which this process was not there
└ signals      SIGTERM and SIGINT stop, SIGHUP reloads
"""

import datetime as dt
import json
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import trio
from msgspec.structs import replace

from master.admission import Admission, admission_limits
from master.attention import Attention
from master.audit import Audit
from master.authority import new_leaf, open_authority, port_context, rotate_leaf
from master.backup import back_up
from master.canary import Canary
from master.collector import calm_collector
from master.context import Context
from master.descriptors import raise_ceiling
from master.enrolment import Enrolment, load_identities
from master.entry import Entry
from master.events import EventLog
from master.feed import Feed
from master.heap import trim_after_bursts
from master.history.history import History
from master.history.patient_clock import PatientClock, last_written_ms
from master.history.queries import Queries
from master.history.steady_clock import SteadyClock
from master.identities import AGENT
from master.joining import join_command
from master.listener import (
    accept_local,
    accept_tls,
    bind,
    bind_local,
    bind_shared,
    bound_address,
)
from master.past_requests import PastRequests
from master.readiness import Readiness
from master.recording import Recording
from master.registry import Registry
from master.relay import Leaf
from master.requests import Requests
from master.sessions import Sessions
from master.store import RETRY_S, RunSync, Store, StoreError
from master.sweeper import Sweeper
from master.viewing import Viewers
from master.workers import Command, Workers
from shared import service_manager
from shared.addresses import parse_address
from shared.attentive import AttentiveClock, tell_of_stalls
from shared.causes import lasting
from shared.certificates import CertificateAuthority
from shared.clock import monotonic_ms, wall_ms
from shared.errors import UserError
from shared.messages import Parting
from shared.only_one import only_one
from shared.paths import StateFolder
from shared.private_files import write_private
from shared.settings import HistorySettings, LinkSettings, MasterSettings, Settings, changes
from shared.tls import load_leaf

FIRST_TOKEN_LIFE_S: Final = 3600
FIRST_TOKEN_USES: Final = 100
"""The token of the first start: an hour to bring a hundred hosts in, without a second thought."""

STOP_S: Final = 3.0
"""How long links get to read their goodbye when the master stops."""

CONFIRM_S: Final = 1.0
"""How long a stopping master waits for the disk, to confirm to agents what it has of them. What is
not confirmed they send to the next one, which has it already."""

PRIVATE_UMASK: Final = 0o077
"""What the master writes is its user's alone, also what SQLite puts beside the database."""

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
                master.serve,
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


class Master:
    """Everything a master is made of, put together but not started."""

    def __init__(
        self,
        folder: StateFolder,
        settings: MasterSettings,
        link: LinkSettings,
        *,
        authority: CertificateAuthority,
        store: Store,
        history: History,
        audit: Audit,
        now_wall_ms: Callable[[], int] = wall_ms,
        now_mono_ms: Callable[[], int] = monotonic_ms,
        run_sync: RunSync | None = None,
    ) -> None:
        self.folder: Final = folder
        self.settings = settings
        self.link = link
        self.authority: Final = authority
        self.store: Final = store
        self.history: Final = history
        self.audit: Final = audit
        self._now_wall_ms: Final = now_wall_ms
        self._now_mono_ms: Final = now_mono_ms
        self._run_sync: Final = run_sync
        self.clock: Final = AttentiveClock()
        """What to run `serve` under."""

    async def serve(
        self,
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
                    parts = self.assemble(nursery)
                    if self.settings.workers:
                        self._employ(nursery, worker_command, shares, parts)
                    self._describe(nursery, listeners)
                    await self._announce(listeners, parts, is_first_start, print_line)
                    stopping = trio.Event()
                    nursery.start_soon(self._heed, signals, stopping, parts, reload)
                    async with trio.open_nursery() as door:
                        self._open_door(door, nursery, listeners, local, parts)
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

    def assemble(self, nursery: trio.Nursery) -> "Parts":
        """Loads what is known and starts the background tasks in `nursery`."""
        now_s = trio.current_time()
        sweeper, feed, readiness = Sweeper(), Feed(), Readiness(nursery.start_soon)
        events = EventLog(self.store, self._now_wall_ms, self.settings.events_kept)
        context = Context(
            self.settings,
            self.link,
            self.store,
            events,
            self.audit,
            sweeper,
            readiness,
            nursery.start_soon,
            self._now_wall_ms,
            lambda: self.clock.missed_s,
        )
        canary = Canary()
        registry = Registry(context, feed, lambda now_s: not canary.is_late(now_s))
        registry.load(now_s)
        enrolment = Enrolment(context, self.authority, load_identities(self.store), registry)
        attention = Attention(registry)
        steady = SteadyClock(self._now_wall_ms, self._now_mono_ms, partial(_on_clock_set, events))
        recording = Recording(self.history, steady)
        sessions = Sessions(context, registry, enrolment, attention, recording)
        requests = Requests(context, registry, enrolment, sessions.end, recording.forget)
        past = PastRequests(
            context,
            registry,
            Queries(self.history.path, self._run_sync),
            partial(back_up, self.folder, self.store, self.history, run_sync=self._run_sync),
        )
        viewers = Viewers(context, feed, requests, past, attention)
        admission = Admission(admission_limits(self.settings), now_s)
        for node in registry:
            identity = enrolment.identities.get(node.node_id)
            if identity is not None:
                node.certificate_expires_wall_ms = identity.expires_wall_ms
            if node.address:
                admission.remember(node.node_id, parse_address(node.address).host)
        nursery.start_soon(tell_of_stalls, partial(_on_stall, events), self.clock)
        for task in (sweeper.run, feed.run, attention.run, self.store.run, registry.run):
            nursery.start_soon(task)
        nursery.start_soon(self.history.run)
        nursery.start_soon(registry.outages.run)
        nursery.start_soon(self.audit.run)
        nursery.start_soon(canary.run)
        nursery.start_soon(readiness.run)
        nursery.start_soon(trim_after_bursts, lambda: admission.released)
        nursery.start_soon(sessions.run)
        return Parts(Entry(context, admission, registry, enrolment, sessions, viewers))

    def _employ(
        self,
        nursery: trio.Nursery,
        command: Command,
        shares: list[list[socket.socket]],
        parts: "Parts",
    ) -> None:
        leaf = new_leaf(self.authority, dt.datetime.now(dt.UTC))
        parts.workers = Workers(
            command, shares, parts.entry, Leaf(self.authority.clients_certificate_pem(), *leaf)
        )
        nursery.start_soon(parts.workers.run)

    def _describe(self, nursery: trio.Nursery, listeners: list[socket.socket]) -> None:
        """Writes where this master listens: as soon as the disk takes it, for to watch comes
        first."""
        addresses = [bound_address(sock) for sock in listeners]
        description = json.dumps({"listen": addresses, "pid": os.getpid()}).encode()
        path = self.folder.master_json
        try:
            write_private(path, description)
        except OSError as error:
            _log.error(
                "it cannot be written where this master listens; it goes on trying",
                extra={"file": str(path), "error": error.strerror or str(error)},
            )
            nursery.start_soon(_write_in_time, path, description)

    async def _announce(
        self,
        listeners: list[socket.socket],
        parts: "Parts",
        is_first_start: bool,
        print_line: Callable[[str], None],
    ) -> None:
        addresses = [bound_address(sock) for sock in listeners]
        away_s = parts.entry.registry.outages.life.away_s
        text = "" if away_s is None else f"; it was away for {lasting(away_s)} at most"
        parts.context.events.record("master-started", text=", ".join(addresses) + text)
        print_line(f"listening on {', '.join(addresses)}")
        if is_first_start:
            await _print_join_command(parts.enrolment, addresses, print_line)

    def _open_door(
        self,
        door: trio.Nursery,
        nursery: trio.Nursery,
        listeners: list[socket.socket],
        local: socket.socket,
        parts: "Parts",
    ) -> None:
        # Connections live in `nursery`: when the door closes, they stay to be told.
        ceiling = raise_ceiling()
        if parts.workers is None:
            tls = port_context(self.authority, dt.datetime.now(dt.UTC))
            for sock in listeners:
                door.start_soon(accept_tls, sock, tls, parts.entry, nursery, ceiling)
            door.start_soon(rotate_leaf, self.authority, partial(load_leaf, tls))
        else:
            door.start_soon(rotate_leaf, self.authority, parts.workers.renew_leaf)
        door.start_soon(accept_local, local, parts.entry, nursery)
        nursery.start_soon(service_manager.keep_alive)
        calm_collector()

    async def _heed(
        self,
        signals: AsyncIterator[int],
        stopping: trio.Event,
        parts: "Parts",
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
                self._reload(parts, reload)
                service_manager.notify(service_manager.READY)

    def _reload(self, parts: "Parts", reload: Reload) -> None:
        try:
            new = reload()
        except UserError as error:
            _log.error("not reloaded, the old settings stay", extra={"error": str(error)})
            return
        old = {"master": self.settings, "link": self.link, "history": self.history.settings}
        changed = {name: changes(old[name], getattr(new, name), f"{name}.") for name in old}
        applied = [key for keys, _ in changed.values() for key in keys]
        waiting = [key for _, keys in changed.values() for key in keys]
        self.settings = _with(self.settings, new.master, changed["master"][0])
        self.link = _with(self.link, new.link, changed["link"][0])
        self.history.settings = _with(self.history.settings, new.history, changed["history"][0])
        parts.change(self.settings, self.link, period_changed="master.period_s" in applied)
        _log.info(
            "reloaded",
            extra={
                "applied": ", ".join(applied) or "-",
                "needs_restart": ", ".join(waiting) or "-",
            },
        )


class Parts:
    """What the running master is asked to change or to stop."""

    def __init__(self, entry: Entry) -> None:
        self.entry: Final = entry
        self.enrolment: Final = entry.enrolment
        self.context: Final = entry.context
        self.workers: Workers | None = None
        """Those who hold the links; None: this process does."""

    def change(self, settings: MasterSettings, link: LinkSettings, *, period_changed: bool) -> None:
        """Other settings from now on, as far as they can be changed at run time."""
        self.context.settings, self.context.link = settings, link
        self.context.events.kept = settings.events_kept
        self.entry.admission.change(admission_limits(settings))
        if self.workers is not None:
            self.workers.change(settings, link)
        self.entry.sessions.roster.reschedule()
        self.entry.viewers.roster.reschedule()
        if period_changed:
            self.entry.sessions.change_period(round(settings.period_s * 1000))

    async def stop(self) -> None:
        """Confirms what is on disk, says goodbye to every link, gives them `STOP_S` to read it,
        and saves."""
        if self.workers is not None:
            self.workers.shut_door()
        self.entry.registry.outages.stopping()
        await self._confirm()
        rosters = (self.entry.sessions.roster, self.entry.viewers.roster)
        for roster in rosters:
            roster.end_all(Parting.RESTARTING, "the master is stopping")
        with trio.move_on_after(STOP_S):
            for roster in rosters:
                await roster.wait_empty()
        if self.workers is not None:
            await self.workers.stop()
        await self.entry.registry.save()
        await self.entry.registry.outages.stop()
        self.context.events.record("master-stopped")
        await self.context.store.flush()

    async def _confirm(self) -> None:
        # In a task of its own: a disk that hangs keeps nobody from being told goodbye.
        sessions, is_done = self.entry.sessions, trio.Event()

        async def store_and_tell() -> None:
            await sessions.recording.history.flush()
            sessions.confirm()
            is_done.set()

        self.context.spawn(store_and_tell)
        with trio.move_on_after(CONFIRM_S):
            await is_done.wait()


def _bind(settings: MasterSettings) -> list[list[socket.socket]]:
    if settings.workers:
        return bind_shared(settings.listen, settings.backlog, settings.workers)
    return [bind(settings.listen, settings.backlog)]


def _on_clock_set(events: EventLog, by_ms: int) -> None:
    by_s = abs(by_ms) / 1000
    how = "forward, or its host was suspended" if by_ms > 0 else "back"
    _log.warning("the master's clock was set", extra={"by_s": round(by_ms / 1000, 2)})
    events.record("clock-set", text=f"the master's clock was set by {by_s:.1f} s {how}")


def _on_stall(events: EventLog, missed_s: float) -> None:
    _log.warning("the master was stalled", extra={"missed_s": round(missed_s, 2)})
    events.record("master-stalled", text=f"for {missed_s:.1f} s; no node is judged by them")


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


def _heeded_signals() -> list[signal.Signals]:
    return [*_STOP_SIGNALS, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


def _with(old: AnySettings, new: AnySettings, keys: list[str]) -> AnySettings:
    # `keys` carry their section's name. The rest stays in force until the next start.
    names = [key.rpartition(".")[2] for key in keys]
    return replace(old, **{name: getattr(new, name) for name in names})


def _running_already(folder: StateFolder) -> str:
    return f"another master runs on {folder.root}; stop it, or name another folder with --data"
