"""A master's real parts in the test's own loop: no sockets, no threads, and so in virtual time.

Links are wires in memory, the database is SQLite in memory, certificates are real.
"""

import datetime as dt
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import trio

from master.assembly import Master
from master.audit import Audit
from master.history.history import History
from master.identities import AGENT
from master.node import Node
from master.opening import Peer
from master.parts import Parts
from master.store import IN_MEMORY, Store
from shared import messages as m
from shared.certificates import CertificateAuthority, new_key_and_request, read_peer
from shared.connection import ClientConnection
from shared.errors import LinkBrokenError
from shared.link import Link
from shared.liveness import State
from shared.metrics import Core
from shared.paths import StateFolder
from shared.settings import HistorySettings, LinkSettings, MasterSettings
from tests.memory_link import KERNEL_BYTES, Wire

Result = TypeVar("Result")
Kind = TypeVar("Kind", bound=m.Message)

BEGINNING: Final = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
HELLO: Final = m.AgentHello(1, 1, "0.1.0", "boot", 0)
VIEWER_HELLO: Final = m.ViewerHello(1, 1, "0.1.0")
OPERATOR: Final = Peer("local", "local", is_operator=True)
NO_CORE: Final = m.raw(Core())
PATIENCE_S: Final = 1000.0
"""No test waits for so long: where time is virtual, what never comes would be awaited for ever."""


def virtual_wall_ms() -> int:
    """A wall clock that follows trio's."""
    return round(BEGINNING.timestamp() * 1000 + trio.current_time() * 1000)


async def inline(work: Callable[[], Result]) -> Result:
    """What would run in a thread, here: a virtual clock does not wait for threads."""
    await trio.lowlevel.checkpoint()
    return work()


def virtual_mono_ms() -> int:
    """A clock that nobody sets, and that is trio's."""
    return round(trio.current_time() * 1000)


def memory_store() -> Store:
    return Store.open(IN_MEMORY, inline)


def temporary_history(root: Path, settings: HistorySettings | None = None) -> History:
    """One on `root`, which need not outlive the test."""
    settings = settings or HistorySettings()
    path = StateFolder(root).history
    history = History.open(path, settings, run_sync=inline, now_wall_ms=virtual_wall_ms)
    history._files._writer.execute("PRAGMA synchronous = OFF")  # virtual time waits for no disk
    return history


@cache
def authority() -> CertificateAuthority:
    """One for all tests: making keys takes time."""
    return CertificateAuthority.create(BEGINNING)


class Assembled:
    """A running master, seen from inside, and the way to link to it."""

    def __init__(self, master: Master, parts: Parts, nursery: trio.Nursery) -> None:
        self.parts = parts
        self.nursery = nursery
        self.audit_path = master.audit.path
        self.store = master.store
        self.history = master.history
        self.context = parts.context
        self.entry = parts.entry
        self.registry = parts.entry.registry
        self.sessions = parts.entry.sessions
        self.viewers = parts.entry.viewers
        self.identities = parts.enrolment.identities

    def node(self, name: str) -> Node:
        return self.registry.find(name)

    def state(self, name: str) -> State:
        return self.node(name).liveness.state

    async def events(self, kind: str = "state") -> list[m.Event]:
        return [each for each in await self.context.events.latest(100_000) if each.event == kind]

    async def changes_of(self, name: str) -> list[str]:
        """The states that the event log has of a node, in order."""
        return [event.after for event in await self.events() if event.name == name]

    async def enrol(self, name: str, role: str = AGENT) -> Peer:
        """Somebody with a certificate, who has never linked."""
        token, _ = await self.parts.enrolment.create_token(role, 3600, 1)
        _, csr_der = new_key_and_request()
        request = m.Enrol(1, 1, token.token_id, token.secret, csr_der, name, "0.1.0")
        answer = await self.parts.enrolment.enrol(request, "192.0.2.1", trio.current_time())
        assert isinstance(answer, m.Enrolled), answer
        return Peer("192.0.2.1", "192.0.2.1:50000", read_peer(answer.certificate_der))

    def connect(self, peer: Peer, limit_bytes: int = KERNEL_BYTES) -> Wire:
        """A connection that the master serves to its end."""
        wire = Wire(limit_bytes)
        self.nursery.start_soon(self._serve, wire, peer)
        return wire

    async def _serve(self, wire: Wire, peer: Peer) -> None:
        established = await self.entry.open(wire.master, peer)
        if established is not None:
            await established()

    def client(self, peer: Peer, limit_bytes: int = KERNEL_BYTES) -> "Client":
        return Client(self.connect(peer, limit_bytes), self.nursery)

    async def agent(self, peer: Peer, limit_bytes: int = KERNEL_BYTES) -> "Client":
        """An agent that has been welcomed and has not beaten yet."""
        client = self.client(peer, limit_bytes)
        await client.ask(HELLO, m.Welcome)
        return client

    async def beating(self, name: str) -> "Client":
        """A new node's agent, up."""
        client = await self.agent(await self.enrol(name))
        await client.deliver(beat())
        return client

    async def viewer(self, peer: Peer = OPERATOR, limit_bytes: int = KERNEL_BYTES) -> "Client":
        """A viewer that has been welcomed."""
        client = self.client(peer, limit_bytes)
        await client.ask(VIEWER_HELLO, m.ViewerWelcome)
        return client


class Client:
    """The other end of a wire, which speaks the protocol by hand. Pings are answered in
    passing."""

    def __init__(self, wire: Wire, nursery: trio.Nursery) -> None:
        self.wire = wire
        self.link: Link[m.FromClient, m.FromMaster] = Link(
            wire.client, ClientConnection(), lambda: nursery.start_soon(self.link.drain)
        )
        self._received = deque[m.FromMaster]()
        self._tokens = count(1)

    async def next(self) -> m.FromMaster:
        """The next message. Raises LinkBrokenError at the end of the link."""
        while not self._received:
            for message in await self.link.receive():
                if isinstance(message, m.Ping):
                    self.link.post(m.Pong(message.token))
                else:
                    self._received.append(message)
        return self._received.popleft()

    async def until(self, kind: type[Kind]) -> Kind:
        """The next message of this kind; what comes before it is dropped."""
        with trio.fail_after(PATIENCE_S):
            while not isinstance(message := await self.next(), kind):
                pass
        return message

    async def ask(self, message: m.FromClient, kind: type[Kind]) -> Kind:
        """Sends a message; the answer is the next message of this kind."""
        self.link.post(message)
        return await self.until(kind)

    async def deliver(self, message: m.FromClient) -> None:
        """Sends a message; returns when the master has taken it, whatever it waits for before it
        answers. What comes before that is dropped."""
        self.link.post(message)
        pong = m.Pong(next(self._tokens))
        self.link.post(m.Ping(pong.token))
        while await self.next() != pong:
            pass

    async def listen(self, for_s: float) -> list[m.FromMaster]:
        """What comes within so many seconds."""
        received: list[m.FromMaster] = []
        with trio.move_on_after(for_s):
            while True:
                received.append(await self.next())
        return received

    async def rest(self) -> tuple[list[m.FromMaster], str]:
        """Everything until the end, and how it ended."""
        received: list[m.FromMaster] = []
        while True:
            try:
                received.append(await self.next())
            except LinkBrokenError as error:
                self.link.break_off("closed, as the peer did")
                return received, str(error)

    async def goodbye(self) -> m.Goodbye:
        """The master's last word, after which it closes."""
        received, how = await self.rest()
        assert how == "closed by the peer", how
        last = received[-1]
        assert isinstance(last, m.Goodbye), last
        return last


def beat(sequence: int = 1, next_in_s: float = 5.0, core: msgspec.Raw = NO_CORE) -> m.Beat:
    mono_ms = round(trio.current_time() * 1000)
    return m.Beat(sequence, mono_ms, 0, math.ceil(next_in_s * 1000), core)


@asynccontextmanager
async def assembled(
    root: Path,
    settings: MasterSettings | None = None,
    link: LinkSettings | None = None,
    store: Store | None = None,
    *,
    history: History | None = None,
    now_wall_ms: Callable[[], int] = virtual_wall_ms,
) -> AsyncGenerator[Assembled]:
    """A master on `root`, which holds its audit log and its history; ends, without a goodbye, with
    the block.

    A store or history that is given outlives it, so that another master can be started on it.
    """
    settings, link = settings or MasterSettings(), link or LinkSettings()
    folder = StateFolder(root)
    kept = store or memory_store()
    audit = Audit(folder.audit, now_wall_ms)
    written = history or temporary_history(root)
    try:
        async with trio.open_nursery() as nursery:
            master = Master(
                folder,
                settings,
                link,
                authority=authority(),
                store=kept,
                history=written,
                audit=audit,
                now_wall_ms=now_wall_ms,
                now_mono_ms=virtual_mono_ms,
                run_sync=inline,
            )
            yield Assembled(master, master.assemble(nursery), nursery)
            nursery.cancel_scope.cancel()
    finally:
        audit.close()
        if history is None:
            written.close()
        if store is None:
            kept.close()
