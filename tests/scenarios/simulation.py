"""A cluster in one event loop and in virtual time: the real master and the real agents' links, over
a network in memory that can be cut, unplugged and asked what happened.
"""

import random
import ssl
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import trio

from agent.attention import Attention
from agent.clocks import Instant
from agent.heart import Heart
from agent.identity import Identity, IdentityFolder
from agent.lastwords import Run
from agent.linker import Linker
from agent.spool_records import RunKey
from agent.spooler import Spooler
from master.opening import Peer
from master.store import Store
from shared import messages as m
from shared.addresses import Address
from shared.errors import DeniedError, HeartlineError, NobodyThereError
from shared.metrics import Core, Family
from shared.paths import StateFolder
from shared.settings import AgentSettings, LinkSettings, MasterSettings
from tests.master.assembled import Assembled, assembled, memory_store, virtual_wall_ms
from tests.memory_link import MemoryStream, Wire

PERIOD_S: Final = 5.0
SETTINGS: Final = MasterSettings(period_s=PERIOD_S)
_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Change(NamedTuple):
    """A node's change of state, as the event log has it."""

    at_s: float
    name: str
    after: str
    text: str


class Host:
    """One host with its agent's process. `beats_s` are the instants at which it beat."""

    def __init__(self, simulation: "Simulation", peer: Peer, name: str, seed: int) -> None:
        self.name: Final = name
        self.peer: Final = peer
        self.beats_s: list[float] = []
        self.dials_s: list[float] = []
        self.refusal: DeniedError | None = None
        self._simulation = simulation
        self._seed = seed
        self._is_unplugged = False
        self._wires: list[Wire] = []
        self._process = trio.CancelScope()
        self._linker: Linker | None = None

    def start(self) -> None:
        """Starts the agent."""
        self._process = trio.CancelScope()
        self._seed += 1
        self._simulation.nursery.start_soon(self._run)

    def kill(self) -> None:
        """As by SIGKILL: the process is gone, and its kernel says so."""
        self._process.cancel()
        self.cut()

    def stop(self) -> None:
        """As by SIGTERM."""
        assert self._linker is not None
        self._linker.leave("SIGTERM")

    def cut(self) -> None:
        """The links are reset; the agent and its network live on."""
        for wire in self._wires:
            wire.cut()
        self._wires.clear()

    def lose_link(self) -> None:
        """A device on the way has forgotten the link: nobody is told, new ones work."""
        for wire in self._wires:
            wire.swallow()
        self._wires.clear()

    def unplug(self) -> None:
        """The host's cable is out: nothing arrives, nobody is told."""
        self._is_unplugged = True
        self.lose_link()

    def plug_in(self) -> None:
        self._is_unplugged = False

    # What follows is called by the agent's own code.

    async def dial(self, address: Address, tls: ssl.SSLContext, name: str) -> MemoryStream:
        """The network, as this host has it."""
        self.dials_s.append(trio.current_time())
        if self._is_unplugged:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        wire = self._simulation.connect(self.peer)
        self._wires.append(wire)
        return wire.client

    def core(self) -> Core:
        self.beats_s.append(trio.current_time())
        return Core(cpu_count=2, cpu_busy_bp=100)

    def troubles(self) -> tuple[m.Trouble, ...]:
        return ()

    def align(self, next_beat_s: float, period_s: float) -> None:
        """Nothing is measured."""

    def hasten(self, periods_s: Mapping[Family, float]) -> None:
        """Nothing is measured."""

    async def _run(self) -> None:
        simulation, rng = self._simulation, random.Random(self._seed)
        heart, settings = Heart(self, PERIOD_S, rng, virtual_clocks), AgentSettings()
        began = virtual_clocks()
        spooler = Spooler(RunKey(self.name, began.boot_ms), rng, virtual_clocks)
        self._linker = Linker(
            NoDisk(StateFolder(simulation.root)),
            simulation.identity_of(self),
            settings,
            simulation.link,
            heart=heart,
            spooler=spooler,
            attention=Attention(settings, heart, self),
            witness=NoMemory(self.name, began),
            everything=lambda: (),
            rng=rng,
            dial=self.dial,
        )
        with self._process:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(heart.run, spooler.key, spooler.take)
                try:
                    await self._linker.run()
                except DeniedError as error:
                    self.refusal = error
                nursery.cancel_scope.cancel()


def virtual_clocks() -> Instant:
    """A host that has been up for as long as virtual time has gone by, and is never suspended."""
    now_ms = round(trio.current_time() * 1000)
    return Instant(virtual_wall_ms(), now_ms, now_ms)


class NoDisk(IdentityFolder):
    """An identity whose keys the network does not ask for."""

    def context(self, slot: str) -> ssl.SSLContext:
        return _TLS

    def settle(self, identity: Identity, slot: str) -> Identity:
        return identity


class NoMemory:
    """A witness that has seen nothing."""

    def __init__(self, boot_id: str, began: Instant | None = None) -> None:
        began = began or Instant(0, 0, 0)
        self.this_run: Run = Run(boot_id, 1, began.boot_ms, began)

    def dialling(self) -> None: ...

    def failed(self, error: HeartlineError) -> None: ...

    def linked(self, sequence: int) -> m.Returned:
        return m.Returned("", 0, 1, 0, 0, None, 0, 0, 0, 0)

    def acknowledged(self, acked: int, sequence: int) -> m.Returned | None:
        return None

    def link_ended(self, code: str, error: str, silence_s: float) -> None: ...


class Simulation:
    """Hosts, and a master that can go away and come back on the same database."""

    def __init__(self, root: Path, nursery: trio.Nursery, link: LinkSettings) -> None:
        self.root: Final = root
        self.nursery: Final = nursery
        self.link: Final = link
        self.master: Assembled | None = None
        self.is_frozen = False
        self.hosts: list[Host] = []
        self.changes: list[Change] = []
        self.store: Final[Store] = memory_store()
        self._down = trio.Event()
        self._ended = trio.Event()

    async def start_master(self) -> Assembled:
        """Starts a master on what the last one has left."""
        self._down, self._ended = trio.Event(), trio.Event()
        master: Assembled = await self.nursery.start(self._serve)
        return master

    async def stop_master(self) -> None:
        """As by SIGTERM."""
        assert self.master is not None
        await self.master.parts.stop()
        await self._end()

    async def kill_master(self) -> None:
        """As by SIGKILL: the kernel closes every link, and what was not stored is lost."""
        await self._end()
        self.store._later.clear()

    async def add_hosts(self, count: int) -> list[Host]:
        """Hosts that have joined, whose agents have been started."""
        assert self.master is not None
        for number in range(len(self.hosts), len(self.hosts) + count):
            name = f"host-{number:03}"
            peer = await self.master.enrol(name)
            self.hosts.append(Host(self, peer, name, seed=1_000 * number))
            self.hosts[-1].start()
        return self.hosts[-count:]

    def connect(self, peer: Peer) -> Wire:
        """A connection to the master's port."""
        if self.master is None:
            raise NobodyThereError("connection refused")
        return Wire() if self.is_frozen else self.master.connect(peer)

    def identity_of(self, host: Host) -> Identity:
        certificate = host.peer.certificate
        assert certificate is not None
        subject = certificate.subject
        return Identity(
            cluster=subject.cluster,
            server_name="",
            node_id=subject.identity,
            name=host.name,
            masters=("192.0.2.1:7700",),
        )

    def states(self) -> set[str]:
        """The states that there are, of all nodes."""
        assert self.master is not None
        return {str(node.liveness.state) for node in self.master.registry}

    def state(self, host: Host) -> str:
        assert self.master is not None
        return str(self.master.state(host.name))

    def changes_of(self, host: Host, since_s: float = 0.0) -> list[Change]:
        return [each for each in self.changes if each.name == host.name and each.at_s >= since_s]

    async def _serve(self, task_status: trio.TaskStatus[Assembled]) -> None:
        async with assembled(self.root, SETTINGS, self.link, self.store) as master:
            master.context.events.follow(self._note)
            self.master = master
            task_status.started(master)
            await self._down.wait()
            self.master = None
        self._ended.set()

    async def _end(self) -> None:
        self._down.set()
        await self._ended.wait()

    def _note(self, event: m.Event) -> None:
        if event.event == "state":
            self.changes.append(Change(trio.current_time(), event.name, event.after, event.text))


@asynccontextmanager
async def simulated(
    root: Path, hosts: int, link: LinkSettings | None = None
) -> AsyncGenerator[Simulation]:
    """A master and so many agents, all of them up."""
    async with trio.open_nursery() as nursery:
        simulation = Simulation(root, nursery, link or LinkSettings())
        await simulation.start_master()
        await simulation.add_hosts(hosts)
        await trio.sleep(1)
        assert simulation.states() == {"up"}
        simulation.changes.clear()
        yield simulation
        nursery.cancel_scope.cancel()
    simulation.store.close()


def after(changes: Iterable[Change]) -> list[str]:
    """The states that changes led to."""
    return [change.after for change in changes]
