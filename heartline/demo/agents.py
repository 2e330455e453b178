"""One simulated host's agent: the real link with simulated values, and what happens to it.

What an agent is made of is the real one's: its identity on disk, its linker, its heart, what it
remembers. Only the sampler is replaced, by the functions of this package. A fault of the plan ends
such an agent as it would end a real one, and another is started when the fault is over.
"""

import logging
import random
import ssl
from typing import Final

import trio

from agent.attention import Attention
from agent.clocks import Instant
from agent.daemon import DEFAULT_PERIOD_S
from agent.heart import Heart
from agent.identity import Identity, IdentityFolder
from agent.lastwords import LastWord, Run
from agent.linker import Linker
from agent.spool_records import RunKey
from agent.spooler import Spooler
from heartline.demo import hardware, wire
from heartline.demo.hosts import Host
from heartline.demo.memory import SimulatedWitness
from heartline.demo.noise import scramble
from heartline.demo.plan import SILENT, Fault, Kind
from heartline.demo.reports import FamilySender, Reports
from heartline.demo.stage import Stage
from shared.addresses import Address
from shared.dialling import connect
from shared.errors import DeniedError, LinkBrokenError
from shared.settings import LinkSettings
from shared.stream import LinkStream, SocketStream

OLD_LINK_S: Final = 3.0
"""How long the end of a link that was cut is kept after its successor has begun."""

GIVEN_UP_S: Final = 15.0
"""An agent whose network was cut gives its link up after this, and dials in vain from then on."""

_PIDS: Final = 30_000

_LAST_WORDS: Final = {
    Kind.STOPPED: "SIGTERM",
    Kind.REBOOTED: "SIGTERM",
    Kind.HUNG: "watchdog",
    Kind.KILLED: "",
}
"""What an agent that is ended so leaves behind; one whose network is cut is not ended."""

_log: Final = logging.getLogger(__name__)


class AgentProcess:
    """One run of a host's agent, over one link after the other."""

    def __init__(
        self,
        host: Host,
        folder: IdentityFolder,
        identity: Identity,
        stage: Stage,
        previous: LastWord | None = None,
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._stage = stage
        self._reports = Reports(host, stage)
        self._rng = random.Random(scramble(host.key, round(stage.now_s())))  # noqa: S311 - no secret
        self._families = FamilySender(host, stage, self._reports)
        self._heart = Heart(self._reports, DEFAULT_PERIOD_S, self._rng, self._clocks)
        self._booted_s = self._reports.booted_s()
        boot_id = hardware.boot_id(host, self._booted_s)
        began = self._clocks()
        pid = 600 + scramble(host.key, began.boot_ms) % _PIDS
        run = Run(boot_id, pid, began.boot_ms, began)
        self._spooler = Spooler(RunKey(boot_id, began.boot_ms), self._rng, self._clocks)
        self.witness: Final = SimulatedWitness(
            run, self._clocks, lambda: self._heart.period_s, previous
        )
        self._line: wire.Line | None = None
        self._linker: Linker | None = None
        self._scope = trio.CancelScope()

    async def live(self) -> None:
        """Keeps linked until it is told to leave, or deserts."""
        if self._stage.is_over:
            return
        self._linker, self._scope = self._new_linker(), trio.CancelScope()
        self._stage.enter(self._leave_on_signal)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._families.run, self._linker.post_bulk)
                    nursery.start_soon(self._heart.run, self._spooler.key, self._spooler.take)
                    await self._linker.run()
                    nursery.cancel_scope.cancel()
        finally:
            self._stage.exit(self._leave_on_signal)

    def leave(self, reason: str) -> None:
        """Says goodbye, and ends."""
        if self._linker is not None:
            self._linker.leave(reason)

    def desert(self) -> SocketStream | None:
        """Ends at once, without a word. The connection, if there is one, stays open: it is the
        caller's."""
        stream = None if self._line is None else self._line.take()
        self._scope.cancel()
        return stream

    async def live_on(self, until_s: float) -> None:
        """Measures and dials in vain, without a network."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._heart.run, self._spooler.key, self._spooler.take)
            await self._dial_in_vain(until_s)
            nursery.cancel_scope.cancel()

    async def _dial_in_vain(self, until_s: float) -> None:
        began_s = self._stage.now_s()
        is_given_up = False
        while (now_s := self._stage.now_s()) < until_s:
            self.witness.tick()
            if now_s - began_s >= GIVEN_UP_S:
                if not is_given_up:
                    is_given_up = True
                    self.witness.link_ended("", "connection timed out", now_s - began_s)
                self.witness.dialling()
                self.witness.failed(LinkBrokenError("no route to host"))
            await self._stage.until(min(now_s + self._heart.period_s, until_s))

    def _new_linker(self) -> Linker:
        settings = self._stage.settings
        return Linker(
            self._folder,
            self._identity,
            settings,
            LinkSettings(),
            heart=self._heart,
            spooler=self._spooler,
            attention=Attention(settings, self._heart, self._families),
            witness=self.witness,
            everything=self._reports.everything,
            rng=self._rng,
            dial=self._dial,
        )

    async def _dial(self, address: Address, context: ssl.SSLContext, name: str) -> LinkStream:
        self._line = wire.Line(await connect(address, context, name))
        return self._line

    def _leave_on_signal(self) -> None:
        self.leave("SIGTERM")

    def _clocks(self) -> Instant:
        now_s = self._stage.now_s()
        up_ms = round((now_s - self._booted_s) * 1000)
        return Instant(round((self._stage.began_wall_s + now_s) * 1000), up_ms, up_ms)


class SimulatedAgent:
    """The agent of one host, through everything that the plan has in store for it."""

    def __init__(
        self, host: Host, folder: IdentityFolder, identity: Identity, stage: Stage
    ) -> None:
        self._host = host
        self._folder = folder
        self._identity = identity
        self._stage = stage
        self._process: AgentProcess | None = None
        self._last_word: LastWord | None = None

    def __repr__(self) -> str:
        return f"<SimulatedAgent of {self._host.name}>"

    async def run(self) -> None:
        """Until the stage closes, or the master wants this host no more."""
        faults = self._stage.plan.of(self._host)
        try:
            async with trio.open_nursery() as nursery:
                for fault in faults:
                    if fault.kind is Kind.CLONED:
                        nursery.start_soon(self._play_clone, fault)
                for fault in faults:
                    if fault.kind in SILENT and fault.ends_s > self._stage.now_s():
                        await self._live_until(fault, nursery)
                await self._running().live()
                nursery.cancel_scope.cancel()
        except* DeniedError as group:
            reason = str(group.exceptions[0])
            _log.warning("does not come back", extra={"host": self._host.name, "reason": reason})

    async def _live_until(self, fault: Fault, nursery: trio.Nursery) -> None:
        """One link of the agent, its end, and the silence that follows."""
        if fault.at_s <= self._stage.now_s():
            await self._stage.until(fault.ends_s)
            return
        process = self._running()
        async with trio.open_nursery() as life:
            life.start_soon(process.live)
            await self._stage.until(fault.at_s)
            held = _strike(fault, process)
        try:
            if fault.kind is Kind.CUT:
                await process.live_on(fault.ends_s)
            else:
                self._last_word = process.witness.last_word(_LAST_WORDS[fault.kind])
                self._process = None
                await self._stage.until(fault.ends_s)
        finally:
            if held is not None:
                nursery.start_soon(_let_go, fault, held)

    def _running(self) -> AgentProcess:
        """The agent that runs already, or a new one."""
        if self._process is None:
            self._process = self._new_process(self._last_word)
        return self._process

    def _new_process(self, previous: LastWord | None = None) -> AgentProcess:
        return AgentProcess(self._host, self._folder, self._identity, self._stage, previous)

    async def _play_clone(self, fault: Fault) -> None:
        """A second agent with the same identity, until somebody stops it."""
        if fault.ends_s <= self._stage.now_s():
            return
        await self._stage.until(fault.at_s)
        clone = self._new_process()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clone.live)
            await self._stage.until(fault.ends_s)
            clone.leave("SIGTERM")


def _strike(fault: Fault, process: AgentProcess) -> SocketStream | None:
    """Ends an agent as the fault does; the connection that it leaves behind, if any."""
    match fault.kind:
        case Kind.STOPPED:
            process.leave("SIGTERM")
            return None
        case Kind.REBOOTED:
            process.leave("the host is shutting down")
            return None
        case _:
            stream = process.desert()
    if stream is not None and fault.kind is Kind.KILLED:
        wire.reset(stream)
        return None
    if stream is not None and fault.kind is Kind.CUT:
        wire.cut(stream)
    return stream


async def _let_go(fault: Fault, stream: SocketStream) -> None:
    """Ends what was left of a connection when its agent is back."""
    try:
        if fault.kind is Kind.CUT:
            await trio.sleep(OLD_LINK_S)
            wire.mend(stream)
    finally:
        wire.reset(stream)
