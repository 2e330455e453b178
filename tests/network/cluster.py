"""A master in the test's own loop: real listener, real TLS, real database; and who talks to it."""

import datetime as dt
import json
import random
import socket
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from pathlib import Path
from typing import Any, Final, Self

import trio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.attention import Attention
from agent.clocks import ReadClocks, read_clocks
from agent.daemon import LAST_WORDS
from agent.enrolment import Request, join_and_keep
from agent.heart import Heart
from agent.identity import Identity as AgentIdentity
from agent.identity import IdentityFolder
from agent.linker import Linker
from agent.spool_records import RunKey
from agent.spool_ring import SPOOL, Ring
from agent.spooler import Spooler
from agent.witness import Witness
from master.assembly import Master
from master.audit import Audit
from master.authority import new_leaf, open_authority, port_context
from master.entry import Entry
from master.history.history import History
from master.identities import AGENT
from master.listener import accept_tls, bind, bound_address
from master.node import Node
from master.parts import Parts
from master.relay import Leaf
from master.relay_pipe import RelayPipe
from master.store import Store
from master.worker import Worker
from master.workers import Command, Workers
from shared import messages as m
from shared.addresses import parse_address
from shared.certificates import CertificateAuthority, Subject, new_key_and_request
from shared.clock import wall_ms
from shared.connection import ClientConnection
from shared.dialling import connect
from shared.joining import Joined, join
from shared.link import Link
from shared.metrics import Core, Family
from shared.paths import StateFolder
from shared.settings import AgentSettings, HistorySettings, LinkSettings, MasterSettings
from shared.stream import SocketStream
from shared.tls import client_context, load_leaf
from shared.tokens import Token

ClientLink = Link[m.FromClient, m.FromMaster]

HELLO: Final = m.AgentHello(m.PROTOCOL_MIN, m.PROTOCOL_MAX, "0.1.0", "boot", 0)
VIEWER_HELLO: Final = m.ViewerHello(m.PROTOCOL_MIN, m.PROTOCOL_MAX, "0.1.0")
CA_REQUEST: Final = m.CaRequest(m.PROTOCOL_MIN, m.PROTOCOL_MAX)
DAY: Final = dt.timedelta(days=1)
ANSWER_S: Final = 10.0


class Cluster:
    """One running master, seen from inside and outside."""

    def __init__(
        self,
        master: Master,
        parts: Parts,
        addresses: list[str],
        worker: Worker | None = None,
    ) -> None:
        self.master = master
        self.worker = worker
        """In front of the master; None: the master does without."""
        self.parts = parts
        self.authority = master.authority
        self.addresses = addresses
        self.address = parse_address(addresses[0])
        self.ca_pem = master.authority.certificate_pem()
        self.server_name = master.authority.server_name
        self._dialled: list[SocketStream] = []
        self._bare: list[trio.SocketStream] = []

    async def token(self, role: str = AGENT, *, uses: int = 1, life_s: int = 3600) -> Token:
        token, _ = await self.parts.enrolment.create_token(role, life_s, uses)
        return token

    async def member(self, name: str, role: str = AGENT) -> "Member":
        """Somebody enrolled, whose key and certificate the test holds."""
        key_pem, csr_der = new_key_and_request()
        token = await self.token(role)
        joined = await join(self.address, token, csr_der, name, "0.1.0", role=role)
        return Member(self, key_pem, joined, role)

    def node(self, name: str) -> Node:
        return self.parts.entry.registry.find(name)

    def state(self, name: str) -> str:
        return self.node(name).liveness.state

    async def events(self, kind: str) -> list[m.Event]:
        events = await self.parts.context.events.latest(1000)
        return [event for event in events if event.event == kind]

    def audit(self, action: str) -> list[dict[str, Any]]:
        """The audit's lines of one action, the minute's summary included."""
        self.master.audit.write_summary()
        lines = self.master.audit.path.read_text("utf-8").splitlines()
        return [line for line in map(json.loads, lines) if line["action"] == action]

    def limits_hit(self) -> set[str]:
        return {line["code"] for line in self.audit("limit")}

    async def tls(self, context: ssl.SSLContext) -> SocketStream:
        with trio.fail_after(ANSWER_S):
            stream = await connect(self.address, context, self.server_name)
        self._dialled.append(stream)
        return stream

    async def stranger(self) -> ClientLink:
        """A link of somebody without a certificate."""
        return as_link(await self.tls(client_context(self.ca_pem)))

    def hang_up(self) -> None:
        """Closes whatever the test has dialled and left open."""
        for stream in self._dialled:
            stream.close()
        for bare in self._bare:
            bare.socket.close()

    async def tcp(self, source: str | None = None) -> trio.SocketStream:
        """A bare connection, from any address of this host or from this one."""
        host, port = self.address.host, self.address.port
        stream = await trio.open_tcp_stream(host, port, local_address=source)
        self._bare.append(stream)
        return stream


class Member:
    """The holder of a node's or viewer's key, who speaks the protocol by hand."""

    def __init__(self, cluster: Cluster, key_pem: bytes, joined: Joined, role: str) -> None:
        self.cluster = cluster
        self.key_pem = key_pem
        self.identity = joined.identity
        self.name = joined.name
        self.role = role
        self.certificate_pem = joined.certificate_pem

    @classmethod
    def copy_of(cls, owner: Self) -> Self:
        """Somebody with a copy of everything that the owner has now."""
        return copy(owner)

    @property
    def key(self) -> ec.EllipticCurvePublicKey:
        key = serialization.load_pem_private_key(self.key_pem, None).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return key

    @property
    def node(self) -> Node:
        return self.cluster.node(self.name)

    def dated(self, issued: dt.datetime, life: dt.timedelta) -> None:
        """Gives this member a certificate of other dates, for the same key."""
        subject = Subject(self.cluster.authority.cluster, self.role, self.identity, 1)
        der = self.cluster.authority.issue_client(self.key, subject, issued, life)
        self.certificate_pem = ssl.DER_cert_to_PEM_cert(der).encode()

    def expired(self, ago: dt.timedelta) -> None:
        """Gives this member a certificate that ended so long ago."""
        self.dated(dt.datetime.now(dt.UTC) - ago - DAY, DAY)

    def holds(self, key_pem: bytes, certificate_der: bytes) -> None:
        """From now on this member uses another key and its certificate."""
        self.key_pem = key_pem
        self.certificate_pem = ssl.DER_cert_to_PEM_cert(certificate_der).encode()

    def context(self) -> ssl.SSLContext:
        return context_with(self.cluster.ca_pem, self.key_pem, self.certificate_pem)

    async def dial(self) -> ClientLink:
        return as_link(await self.cluster.tls(self.context()))

    async def greet(self) -> tuple[ClientLink, m.FromMaster]:
        """A link on which hello was said, and the master's first answer."""
        link = await self.dial()
        return link, await ask(link, HELLO if self.role == AGENT else VIEWER_HELLO)

    async def linked(self) -> ClientLink:
        link, answer = await self.greet()
        assert isinstance(answer, m.Welcome | m.ViewerWelcome), answer
        return link


def context_with(ca_pem: bytes, key_pem: bytes, certificate_pem: bytes) -> ssl.SSLContext:
    """A client's TLS context with a key that is on no disk."""
    context = client_context(ca_pem)
    load_leaf(context, key_pem, certificate_pem)
    return context


def as_link(stream: SocketStream) -> ClientLink:
    return Link(stream, ClientConnection(), lambda: None)


async def ask(link: ClientLink, message: m.FromClient) -> m.FromMaster:
    """Sends a message and returns the next one from the master that is no ping."""
    link.post(message)
    while isinstance(answered := await answer(link), m.Ping):
        pass
    return answered


async def answer(link: ClientLink) -> m.FromMaster:
    """The next message from the master. Raises LinkBrokenError, and TooSlowError after a while."""
    with trio.fail_after(ANSWER_S):
        while True:
            for message in await link.receive():
                return message


def beat(sequence: int = 1, core: Core | None = None) -> m.Beat:
    return m.Beat(sequence, 1000 * sequence, wall_ms(), 1000, m.raw(core or Core()))


class SteadyVitals:
    """What an agent reports where the test is not about measuring."""

    def core(self) -> Core:
        return Core(cpu_busy_bp=100, cpu_count=2)

    def troubles(self) -> tuple[m.Trouble, ...]:
        return ()

    def align(self, next_beat_s: float, period_s: float) -> None:
        """Nothing is read."""

    def hasten(self, periods_s: Mapping[Family, float]) -> None:
        """Nothing is read any faster."""


class Agent:
    """The agent's own link-keeping code, in the test's loop; `run` it."""

    def __init__(
        self,
        folder: StateFolder,
        identity: AgentIdentity,
        settings: AgentSettings | None = None,
        link: LinkSettings | None = None,
        *,
        boot_id: str = "boot",
        clocks: ReadClocks = read_clocks,
    ) -> None:
        rng = random.Random(1)
        settings = settings or AgentSettings()
        link = link or LinkSettings()
        heart = Heart(SteadyVitals(), 1.0, rng, clocks)
        self.folder = IdentityFolder(folder)
        self.witness = Witness(
            self.folder.path / LAST_WORDS,
            boot_id,
            period_s=lambda: heart.period_s,
            quiet_s=2 * link.ping_after_s,
            sampled=lambda: True,
            clocks=clocks,
        )
        run = self.witness.this_run
        self.heart = heart
        self.spooler = Spooler(
            RunKey(run.boot_id, run.started_mono_ms),
            rng,
            clocks,
            ring=Ring(self.folder.path / SPOOL, settings.spool_bytes, settings.spool_hours),
        )
        self.linker = Linker(
            self.folder,
            identity,
            settings,
            link,
            heart=heart,
            spooler=self.spooler,
            attention=Attention(settings, heart, SteadyVitals()),
            witness=self.witness,
            everything=lambda: (),
            rng=rng,
        )

    async def run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.witness.run)
                nursery.start_soon(self.spooler.run)
                nursery.start_soon(self.heart.run, self.spooler.key, self.spooler.take)
                await self.linker.run()
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None


async def enrolled_agent(
    cluster: Cluster, root: Path, name: str, *, link: LinkSettings | None = None
) -> Agent:
    """An agent that has joined, with its identity on disk as a real one has it."""
    folder = StateFolder(root)
    folder.ensure()
    token = await cluster.token()
    await join_and_keep(Request(str(root), token.encode(), (str(cluster.address),), name))
    identity = IdentityFolder(folder).load()
    assert identity is not None
    return Agent(folder, identity, link=link)


def start_worker(
    nursery: trio.Nursery,
    listeners: Sequence[socket.socket],
    entry: Entry,
    authority: CertificateAuthority,
) -> tuple[Worker, tuple[RelayPipe, RelayPipe]]:
    """A worker of this master that holds these sockets, and the two ends of its relay."""
    near, far = map(RelayPipe, socket.socketpair())
    leaf = Leaf(authority.clients_certificate_pem(), *new_leaf(authority, dt.datetime.now(dt.UTC)))
    workers = Workers(Command((), {}), [[]], entry, leaf)
    relay = workers.employ(0, near)
    worker = Worker(far, listeners, nursery)
    for task in (near.write_out, relay.run, worker.serve):
        nursery.start_soon(task)
    return worker, (near, far)


@asynccontextmanager
async def running_cluster(
    root: Path,
    settings: MasterSettings | None = None,
    link: LinkSettings | None = None,
    *,
    ceiling: int | None = None,
    through_worker: bool = False,
) -> AsyncGenerator[Cluster]:
    """A master on `root`, listening on loopback, or one behind a worker, which is in the same loop
    here; ends with the block."""
    folder = StateFolder(root)
    folder.ensure()
    settings = settings or MasterSettings(listen=("127.0.0.1:0",), period_s=1.0)
    now = dt.datetime.now(dt.UTC)
    authority, _ = open_authority(folder.ca_dir, now)
    store = Store.open(folder.database)
    history = History.open(folder.history, HistorySettings())
    audit = Audit(folder.audit, wall_ms)
    listeners = bind(settings.listen, settings.backlog)
    try:
        async with trio.open_nursery() as nursery:
            master = Master(
                folder,
                settings,
                link or LinkSettings(),
                authority=authority,
                store=store,
                history=history,
                audit=audit,
            )
            parts = master.assemble(nursery)
            worker: Worker | None = None
            pipes: tuple[RelayPipe, ...] = ()
            if through_worker:
                worker, pipes = start_worker(nursery, listeners, parts.entry, authority)
            else:
                context = port_context(authority, now)
                for sock in listeners:
                    nursery.start_soon(accept_tls, sock, context, parts.entry, nursery, ceiling)
            addresses = [bound_address(sock) for sock in listeners]
            cluster = Cluster(master, parts, addresses, worker)
            try:
                yield cluster
            finally:
                cluster.hang_up()
                for pipe in pipes:
                    pipe.close()
            nursery.cancel_scope.cancel()
    finally:
        for sock in listeners:
            sock.close()
        audit.close()
        history.close()
        store.close()
