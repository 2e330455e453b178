"""Hosts to which things happen, and the truth about it.

Each runs an agent that can be killed, stopped, suspended and cut off at any instant, which the real
one's tasks cannot; what it remembers and what it leaves on disk is the real agent's own
(`agent.recollection`, `agent.lastwords`), and it links to a real master. A cable that is out
delays, as TCP does: what is sent meanwhile arrives when it is in again, if both ends still wait.
"""

import itertools
import random
from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

import trio

from agent.clocks import Instant
from agent.lastwords import SLOT_BYTES, LastWord, Run, pack, parse
from agent.linker import DIAL_S
from agent.recollection import Recollection
from agent.witness import SYNC_EVERY_S
from master.opening import Peer
from shared import messages as m
from shared.backoff import delays_s
from shared.connection import ClientConnection
from shared.errors import LinkBrokenError
from shared.settings import LinkSettings
from tests.master.assembled import NO_CORE, virtual_wall_ms
from tests.memory_link import Wire
from tests.scenarios.simulation import PERIOD_S, Simulation

LINK: Final = LinkSettings()
READ_TIMEOUT_MS: Final = round(LINK.read_timeout_s * 1000)
PING_AFTER_MS: Final = round(LINK.ping_after_s * 1000)
PERIOD_MS: Final = round(PERIOD_S * 1000)
SYNC_EVERY_MS: Final = round(SYNC_EVERY_S * 1000)


class Trouble(Enum):
    """What keeps a node away."""

    OFF = "off"
    """No agent runs, or none that will ever turn again."""
    ASLEEP = "asleep"
    PAUSED = "paused"
    """A virtual machine whose clocks stand still."""
    STOPPED = "stopped"
    """The agent's process is."""
    CUT = "cut"


class Spell(NamedTuple):
    """A trouble from one instant to another."""

    trouble: Trouble
    began_s: float
    ended_s: float


class Disk:
    """Where last words are kept: what was not synced is lost with the power."""

    def __init__(self, *, is_writable: bool) -> None:
        self.is_writable = is_writable
        self._slots = [b"", b""]
        self._synced = [b"", b""]
        self._sequence = 0

    def write(self, word: LastWord, *, sync: bool) -> None:
        if not self.is_writable:
            return
        self._sequence += 1
        self._slots[self._sequence % 2] = pack(word, self._sequence)
        if sync:
            self._synced = list(self._slots)

    def read(self) -> LastWord | None:
        parsed = [found for slot in self._slots if (found := parse(slot.ljust(SLOT_BYTES)))]
        if not parsed:
            return None
        self._sequence, word = max(parsed, key=lambda found: found[0])
        return word

    def lose_power(self) -> None:
        self._slots = list(self._synced)


class Host:
    """One host. `start` it; then let things happen to it."""

    def __init__(
        self, simulation: Simulation, peer: Peer, name: str, rng: random.Random, *, tells: bool
    ) -> None:
        self.name: Final = name
        self.peer: Final = peer
        self.rng: Final = rng
        self.tells: Final = tells
        """False: an agent of an older version, which tells nothing."""
        self.disk: Final = Disk(is_writable=rng.random() < 0.95)
        self.spells: Final[list[Spell]] = []
        self.reboots_s: Final[list[float]] = []
        self.power_lost_s: Final[list[float]] = []
        self.waits: Final[list[tuple[float, float]]] = []
        """From when nobody had listened to when it tried again."""
        self.refused_s: float | None = None
        self._simulation = simulation
        self._since: dict[Trouble, float] = {Trouble.OFF: trio.current_time()}
        self._changed = trio.Event()
        self._boots = itertools.count(1)
        self._boot_id = self._new_boot_id()
        self._booted_s = trio.current_time() - rng.uniform(1_000, 100_000)
        self._lost = {Trouble.ASLEEP: 0.0, Trouble.PAUSED: 0.0}
        self._pids = itertools.count(1_000)
        self._process: trio.CancelScope | None = None
        self._agent: Agent | None = None

    # --- what happens ----------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the agent's process."""
        self._end(Trouble.OFF)
        self._process = trio.CancelScope()
        self._simulation.nursery.start_soon(self._run, self._process)

    def kill(self) -> None:
        """SIGKILL: its kernel closes what it held."""
        self._end_process(closes=True)

    def stop(self) -> None:
        """SIGTERM, to a process that turns."""
        if self._agent is not None:
            self._agent.leave("SIGTERM")
        self._end_process(closes=True)

    def go_down(self, *, is_clean: bool) -> None:
        """The host is shut down, or loses its power."""
        if is_clean and self.turns:
            self.stop()
        self._end_process(closes=False)
        if not is_clean:
            self.disk.lose_power()
            self.power_lost_s.append(trio.current_time())
        for trouble in (Trouble.ASLEEP, Trouble.PAUSED):
            self._end(trouble)

    def boot(self) -> None:
        self._boot_id = self._new_boot_id()
        self._booted_s = trio.current_time()
        self._lost = dict.fromkeys(self._lost, 0.0)
        self.reboots_s.append(trio.current_time())

    def begin(self, trouble: Trouble) -> None:
        """It is in this trouble until `end`."""
        self._since.setdefault(trouble, trio.current_time())
        self._change()

    def end(self, trouble: Trouble) -> None:
        self._end(trouble)
        self._change()

    # --- what is so ------------------------------------------------------------------------------

    @property
    def runs(self) -> bool:
        return self._process is not None

    @property
    def troubles(self) -> set[Trouble]:
        return set(self._since)

    @property
    def tells_all(self) -> bool:
        """Whether its agent remembers everything, and says so."""
        return self.tells and self.disk.is_writable

    @property
    def turns(self) -> bool:
        """Whether the agent's process gets anywhere."""
        still = {Trouble.ASLEEP, Trouble.PAUSED, Trouble.STOPPED}
        return self.runs and not still & self._since.keys()

    @property
    def is_reachable(self) -> bool:
        return not {Trouble.ASLEEP, Trouble.PAUSED, Trouble.CUT} & self._since.keys()

    def clocks(self) -> Instant:
        """The host's clocks, in milliseconds."""
        now_s = trio.current_time()
        lost = {
            trouble: lost_s + now_s - self._since.get(trouble, now_s)
            for trouble, lost_s in self._lost.items()
        }
        boot_s = now_s - self._booted_s - lost[Trouble.PAUSED]
        awake_s = boot_s - lost[Trouble.ASLEEP]
        return Instant(virtual_wall_ms(), round(boot_s * 1000), round(awake_s * 1000))

    async def until(self, awake_ms: int, event: trio.Event) -> None:
        """Until the host's clock shows this, or the event is set; and the process turns."""
        while True:
            while not self.turns:
                await self._changed.wait()
            left_ms = awake_ms - self.clocks().awake_ms
            if left_ms <= 0 or event.is_set():
                return
            changed = self._changed
            with trio.move_on_after(left_ms / 1000):
                await _either(event, changed)

    async def reachable(self) -> None:
        while not self.is_reachable:
            await self._changed.wait()

    def connect(self) -> Wire:
        return self._simulation.connect(self.peer)

    def dialled(self) -> None:
        """Its agent tries to link."""
        if self.refused_s is not None:
            self.waits.append((self.refused_s, trio.current_time()))
            self.refused_s = None

    # --- how -------------------------------------------------------------------------------------

    def _new_boot_id(self) -> str:
        return f"{self.name}-boot-{next(self._boots)}"

    def _end(self, trouble: Trouble) -> None:
        began_s = self._since.pop(trouble, None)
        if began_s is None:
            return
        now_s = trio.current_time()
        self.spells.append(Spell(trouble, began_s, now_s))
        if trouble in self._lost:
            self._lost[trouble] += now_s - began_s

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _end_process(self, *, closes: bool) -> None:
        if self._process is None:
            return
        process, agent = self._process, self._agent
        self._process = self._agent = None
        process.cancel()
        if agent is not None:
            agent.close(says_so=closes)
        # What had stopped it and never let it turn again was its end.
        began_s = trio.current_time()
        for trouble in (Trouble.STOPPED, Trouble.ASLEEP, Trouble.PAUSED):
            began_s = min(began_s, self._since.get(trouble, began_s))
        self._end(Trouble.STOPPED)
        self._since.setdefault(Trouble.OFF, began_s)
        self._change()

    async def _run(self, process: trio.CancelScope) -> None:
        with process:
            async with trio.open_nursery() as nursery:
                pid = next(self._pids)
                run = Run(self._boot_id, pid, round(self.rng.random() * 2**40), self.clocks())
                self._agent = Agent(self, run, nursery)
                await self._agent.live()


class Agent:
    """One run of an agent."""

    def __init__(self, host: Host, run: Run, nursery: trio.Nursery) -> None:
        self._host = host
        self._nursery = nursery
        self._run = run
        self._memory = Recollection(run, PERIOD_MS, 2 * PING_AFTER_MS, previous=host.disk.read())
        self._sequence = 0
        self._link: TcpLink | None = None
        self._synced_ms = -SYNC_EVERY_MS
        self._tick_ms = self._beat_ms = 0

    async def live(self) -> None:
        delays = delays_s(self._host.rng)
        self._tick()
        while True:
            began_ms = self._now_ms()
            await self._one_link()
            if self._now_ms() - began_ms >= 10_000:
                delays = delays_s(self._host.rng)
            await self._until(self._now_ms() + round(next(delays) * 1000), trio.Event())

    def leave(self, reason: str) -> None:
        self._host.disk.write(self._memory.word(self._host.clocks(), reason), sync=True)
        if self._link is not None:
            self._link.post(m.Goodbye(m.Parting.STOPPED, reason))

    def close(self, *, says_so: bool) -> None:
        if self._link is not None:
            self._link.close(says_so=says_so)

    async def _one_link(self) -> None:
        self._memory.dialling(self._host.clocks())
        self._host.dialled()
        try:
            link = TcpLink(self._host)
        except LinkBrokenError as error:
            self._memory.failed(self._host.clocks(), error)
            self._host.refused_s = trio.current_time()
            return
        hello = m.AgentHello(1, 1, "0.1.0", self._run.boot_id, self._run.started_mono_ms)
        link.post(hello)
        give_up_ms = self._now_ms() + round(DIAL_S * 1000)
        while not any(isinstance(message, m.Welcome) for message in link.take()):
            if link.is_over or self._now_ms() >= give_up_ms:
                link.close(says_so=True)
                in_vain = LinkBrokenError(link.error or "no answer within 10 s")
                self._memory.failed(self._host.clocks(), in_vain)
                return
            await self._until(give_up_ms, link.arrived)
        self._link = link
        told = self._memory.linked(self._host.clocks(), self._sequence)
        if self._host.tells:
            link.post(told)
        await self._serve(link)
        self._link = None
        link.close(says_so=True)

    async def _serve(self, link: "TcpLink") -> None:
        heard_ms = pinged_ms = self._beat_ms = self._now_ms()
        while True:
            now_ms = self._now_ms()
            if now_ms >= self._beat_ms:
                self._beat(link)
            for message in link.take():
                heard_ms = now_ms
                match message:
                    case m.Ack(acked):
                        self._acknowledged(link, acked)
                    case m.Ping(token):
                        link.post(m.Pong(token))
                    case m.Goodbye(code, text):
                        self._lost(code, text or code, now_ms - heard_ms)
                        return
                    case _:
                        pass
            if link.is_over:
                self._lost("", link.error, now_ms - heard_ms)
                return
            given_up_ms = heard_ms + READ_TIMEOUT_MS
            ping_ms = max(heard_ms, pinged_ms) + PING_AFTER_MS
            if now_ms >= given_up_ms:
                self._lost(
                    "", f"nothing was heard for {LINK.read_timeout_s:g} s", now_ms - heard_ms
                )
                return
            if now_ms >= ping_ms:
                pinged_ms = now_ms
                link.post(m.Ping(1))
                ping_ms = now_ms + PING_AFTER_MS
            await self._until(min(self._beat_ms, given_up_ms, ping_ms), link.arrived)

    def _acknowledged(self, link: "TcpLink", acked: int) -> None:
        was_away = self._memory.is_away
        told = self._memory.acknowledged(self._host.clocks(), acked, self._sequence)
        if told is not None and self._host.tells:
            link.post(told)
        if was_away and not self._memory.is_away:
            self._host.disk.write(self._memory.word(self._host.clocks()), sync=True)

    def _lost(self, code: str, error: str, silence_ms: int) -> None:
        self._memory.link_ended(self._host.clocks(), code, error, silence_ms)

    def _beat(self, link: "TcpLink") -> None:
        self._sequence += 1
        now_ms = self._now_ms()
        while self._beat_ms <= now_ms:
            self._beat_ms += PERIOD_MS
        link.post(m.Beat(self._sequence, now_ms, 0, max(100, self._beat_ms - now_ms), NO_CORE))

    async def _until(self, awake_ms: int, event: trio.Event) -> None:
        """The loop goes on ticking meanwhile."""
        while True:
            await self._host.until(min(awake_ms, self._tick_ms), event)
            if self._now_ms() >= self._tick_ms:
                self._tick()
            if event.is_set() or self._now_ms() >= awake_ms:
                return

    def _tick(self) -> None:
        now = self._host.clocks()
        self._memory.tick(now, PERIOD_MS, sampled=True)
        self._tick_ms = now.awake_ms + PERIOD_MS
        is_due = now.awake_ms - self._synced_ms >= SYNC_EVERY_MS
        if is_due:
            self._synced_ms = now.awake_ms
        self._host.disk.write(self._memory.word(now), sync=is_due)

    def _now_ms(self) -> int:
        return self._host.clocks().awake_ms


class TcpLink:
    """A connection as a host's kernel keeps it: it goes on while the process stands still."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._connection = ClientConnection()
        self._received = deque[m.FromMaster]()
        self._outgoing = deque[bytes]()
        self._posted = trio.Event()
        self.arrived = trio.Event()
        self.error = ""
        self._wire: Wire | None = None
        self._is_closed = False
        if host.is_reachable:
            self._wire = host.connect()
            self._wire.is_reachable = lambda: host.is_reachable
            host._simulation.nursery.start_soon(self._receive, self._wire)
            host._simulation.nursery.start_soon(self._send, self._wire)

    @property
    def is_over(self) -> bool:
        return bool(self.error)

    def post(self, message: m.FromClient) -> None:
        if not self.is_over:
            self._outgoing.append(self._connection.send(message))
            self._posted.set()

    def take(self) -> Iterator[m.FromMaster]:
        """What has arrived."""
        self.arrived = trio.Event()
        while self._received:
            yield self._received.popleft()

    def close(self, *, says_so: bool) -> None:
        self.error = self.error or "closed on this side"
        if self._wire is None:
            return
        if says_so:
            self._is_closed = True
            self._posted.set()
        else:
            self._wire.swallow()
            self._outgoing.clear()

    async def _receive(self, wire: Wire) -> None:
        try:
            while data := await wire.client.receive_some():
                await self._host.reachable()
                self._received.extend(self._connection.receive(data))
                self.arrived.set()
            await self._host.reachable()
            self._end("closed by the peer")
        except LinkBrokenError as error:
            await self._host.reachable()
            self._end(str(error))

    def _end(self, error: str) -> None:
        self.error = self.error or error
        self.arrived.set()

    async def _send(self, wire: Wire) -> None:
        while True:
            await self._posted.wait()
            self._posted = trio.Event()
            await self._host.reachable()
            try:
                while self._outgoing:
                    wire.client.send_nowait(self._outgoing.popleft())
            except LinkBrokenError:
                return
            if self._is_closed:
                await self._host.reachable()
                wire.client.close()
                return


async def _either(first: trio.Event, second: trio.Event) -> None:
    async with trio.open_nursery() as nursery:

        async def wait(event: trio.Event) -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(wait, first)
        nursery.start_soon(wait, second)
