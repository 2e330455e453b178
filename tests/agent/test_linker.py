"""An agent keeps its link, in virtual time: what counts as a failure, and when a master is deaf."""

import random
import ssl
from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from agent import renewal
from agent.attention import Attention
from agent.heart import Heart
from agent.identity import Identity, IdentityFolder
from agent.keys import NewKey
from agent.linker import Linker
from agent.spool_records import RunKey
from agent.spooler import Spooler
from shared import messages as m
from shared.addresses import Address
from shared.connection import MasterConnection
from shared.errors import LinkBrokenError
from shared.link import Link
from shared.metrics import Core, Family
from shared.paths import StateFolder
from shared.settings import AgentSettings, LinkSettings
from tests.memory_link import MemoryStream, Wire
from tests.scenarios.simulation import NoMemory, virtual_clocks

MASTERS = ("192.0.2.1:7700", "192.0.2.2:7700")
KERNEL_BYTES = 4096
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

MasterEnd = Link[m.FromMaster, m.FromClient]
Behaviour = Callable[["Masters", MasterEnd], Awaitable[None]]


class Vitals:
    """Nothing is measured."""

    def core(self) -> Core:
        return Core()

    def troubles(self) -> tuple[m.Trouble, ...]:
        return ()

    def align(self, next_beat_s: float, period_s: float) -> None: ...

    def hasten(self, periods_s: Mapping[Family, float]) -> None: ...


class Masters:
    """Both masters, which behave as the test says, and every dial that reached them."""

    def __init__(self, nursery: trio.Nursery, behave: Behaviour, life_s: int) -> None:
        self.dials: list[tuple[float, str]] = []
        self.life_s = life_s
        self._nursery = nursery
        self._behave = behave

    async def dial(self, address: Address, tls: ssl.SSLContext, name: str) -> MemoryStream:
        await trio.lowlevel.checkpoint()
        self.dials.append((trio.current_time(), str(address)))
        wire = Wire(KERNEL_BYTES)
        self._nursery.start_soon(self._serve, wire.master)
        return wire.client

    def welcome(self) -> m.Welcome:
        return m.Welcome(1, "id", "web", 5000, self.life_s, self.life_s, "0.1.0")

    def gaps_s(self) -> list[float]:
        """Between one dial and the next."""
        return [after - before for (before, _), (after, _) in pairwise(self.dials)]

    async def _serve(self, stream: MemoryStream) -> None:
        link: MasterEnd = Link(stream, MasterConnection(), lambda: None)
        try:
            await self._behave(self, link)
            await link.finish()
        except LinkBrokenError:
            return
        finally:
            link.break_off("closed on this side")


class Folder(IdentityFolder):
    """Keys that no network asks for and no disk keeps."""

    def context(self, slot: str) -> ssl.SSLContext:
        return TLS

    def save_pending_key(self, slot: str, key_pem: bytes) -> None: ...

    def fill(self, slot: str, certificate_pem: bytes) -> None: ...

    def save(self, identity: Identity) -> None: ...


@pytest.fixture(autouse=True)
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    async def make_key() -> NewKey:
        await trio.lowlevel.checkpoint()
        return NewKey(b"key", b"request")

    monkeypatch.setattr(renewal, "make_key", make_key)


async def during(
    seconds: float, root: Path, behave: Behaviour, link: LinkSettings | None = None, life_s: int = 0
) -> Masters:
    """What the masters saw of one agent in so many seconds."""
    rng, settings, vitals = random.Random(1), AgentSettings(), Vitals()
    heart = Heart(vitals, 5.0, rng, virtual_clocks)
    spooler = Spooler(RunKey("boot", 0), rng, virtual_clocks)
    identity = Identity(
        cluster="c", server_name="", node_id="id", name="web", masters=MASTERS, slot="a"
    )
    async with trio.open_nursery() as nursery:
        masters = Masters(nursery, behave, life_s)
        linker = Linker(
            Folder(StateFolder(root)),
            identity,
            settings,
            link or LinkSettings(),
            heart=heart,
            spooler=spooler,
            attention=Attention(settings, heart, vitals),
            witness=NoMemory("boot"),
            everything=lambda: (),
            rng=rng,
            dial=masters.dial,
        )
        nursery.start_soon(heart.run, spooler.key, spooler.take)
        nursery.start_soon(linker.run)
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()
    return masters


async def renew_when_asked(masters: Masters, link: MasterEnd) -> None:
    """A good master, as far as keys go."""
    while True:
        for message in await link.receive():
            match message:
                case m.AgentHello():
                    link.post(masters.welcome())
                case m.Beat(sequence):
                    link.post(m.Ack(sequence))
                case m.Renew():
                    link.post(m.Renewed(b"certificate"))
                case m.Goodbye():
                    return
                case _:
                    pass


async def test_renewal_is_no_failure_however_often_it_comes(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    masters = await during(60.0, tmp_path, renew_when_asked, life_s=4)
    assert {address for _, address in masters.dials} == {MASTERS[0]}
    # Each link lasts until the renewal, at 50-80 % of the life, and the next begins at once.
    gaps_s = masters.gaps_s()
    assert len(gaps_s) >= 60 / (0.8 * 4) - 1
    assert all(0.5 * 4 <= gap_s <= 0.8 * 4 + 0.01 for gap_s in gaps_s)


async def test_failures_before_a_renewal_are_forgotten(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async def fail_then_renew_then_fail(masters: Masters, link: MasterEnd) -> None:
        if len(masters.dials) == 6:
            await renew_when_asked(masters, link)

    masters = await during(120.0, tmp_path, fail_then_renew_then_fail, life_s=4)
    assert len(masters.dials) > 8
    at_once_s, first_wait_s = masters.gaps_s()[5:7]
    assert 0.5 * 4 <= at_once_s <= 0.8 * 4 + 0.01
    assert first_wait_s <= 0.5  # as after any good link


async def test_master_that_wants_one_renewal_after_another_makes_the_agent_wait(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    masters = await during(600.0, tmp_path, renew_when_asked, life_s=0)
    # Two links, at once, for every wait; and the waits have grown to their cap, 30 s.
    assert len(masters.dials) < 150
    assert max(masters.gaps_s()) > 15


async def test_deaf_master_is_given_up_in_time_though_the_next_ping_is_far_off(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async def fill_up(masters: Masters, link: MasterEnd) -> None:
        for _ in await link.receive():
            link.post(masters.welcome())
        # More questions than two kernels hold answers to, which nobody reads.
        for token in range(500):
            link.post(m.Ping(token))
            await wait_all_tasks_blocked()
        await trio.sleep_forever()

    patience = LinkSettings(ping_after_s=100, read_timeout_s=200, write_timeout_s=5)
    masters = await during(30.0, tmp_path, fill_up, patience, life_s=30 * 86_400)
    assert 5 <= masters.gaps_s()[0] <= 5 + 0.5  # the first wait is half a second at most
