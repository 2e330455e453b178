"""Outages: when one begins and ends, what is made of what the agent tells, and what is stored of it
however the master, its disk and its clock behave."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock

from master.outages import EVENTS_AT_ONCE, EVIDENCE_S, SAVE_EVERY_S
from master.store import RETRY_S, Store
from shared import messages as m
from shared.causes import Cause
from shared.liveness import AWAITED_S, State
from shared.text import clean
from tests.master import assembled as assembled_module
from tests.master.assembled import Assembled, Client, assembled, beat, memory_store, virtual_wall_ms
from tests.master.disks import Disk

PERIOD_S = 5.0


@pytest.fixture
def store() -> Iterator[Store]:
    store = memory_store()
    yield store
    store.close()


class Host:
    """A node whose agent a test drives by hand: it beats in the background while it is linked."""

    def __init__(self, master: Assembled, name: str = "web") -> None:
        self.master = master
        self.name = name
        self.boot_id = "boot-1"
        self.pid = 4_100
        self.client: Client | None = None
        self._beating = trio.CancelScope()
        self._sequence = 0

    async def join(self) -> "Host":
        self.peer = await self.master.enrol(self.name)
        await self.link()
        await self.beats()
        return self

    @property
    def hello(self) -> m.AgentHello:
        return m.AgentHello(1, 1, "0.1.0", self.boot_id, self.pid * 1_000)

    async def link(self) -> None:
        self.client = self.master.client(self.peer)
        await self.client.ask(self.hello, m.Welcome)

    async def beats(self, times: int = 1) -> None:
        """One beat a period."""
        assert self.client is not None
        for _ in range(times):
            self._sequence += 1
            await self.client.deliver(beat(self._sequence, PERIOD_S))
            if times > 1:
                await trio.sleep(PERIOD_S)

    def loses_link(self) -> None:
        assert self.client is not None
        self.client.wire.cut()

    def leaves(self, reason: str = "SIGTERM") -> None:
        assert self.client is not None
        self.client.link.post_farewell(m.Parting.STOPPED, reason)

    def tells(self, **told: object) -> None:
        """What an agent says that is the same process as before, and noticed it all."""
        assert self.client is not None
        now_ms = round(trio.current_time() * 1000)
        returned = m.Returned(
            self.boot_id, 900_000 + now_ms, self.pid, self.pid * 1_000, 0, 0, 0, 0, 0, 0
        )
        self.client.link.post(replace(returned, **told))

    def restarts(self) -> m.EndedRun:
        """Another process from now on; what the one before has left."""
        ended = m.EndedRun(
            self.boot_id, self.pid * 1_000, self.pid, "", 0, 60_000, 0, 0, 0, 0, gone_ms=4_000
        )
        self.pid += 1
        return ended

    async def outages(self) -> tuple[m.Outage, ...]:
        """The oldest first."""
        log = self.master.registry.outages.log
        node_id = self.master.node(self.name).node_id
        return await log.latest(100, lambda _: self.name, node_id)

    async def outage(self) -> m.Outage:
        """The only one that there is."""
        (outage,) = await self.outages()
        return outage


async def returns(host: Host, *, away_s: float = 20.0) -> None:
    """Loses its link, and is back after so long: it tells, and beats."""
    host.loses_link()
    await trio.sleep(away_s)
    await host.link()
    away_ms = round(away_s * 1000)
    host.tells(away_ms=away_ms, silent_ms=away_ms, samples=4, link_error="reset")
    await host.beats()
    await trio.sleep(SAVE_EVERY_S)


async def told_as_events(master: Assembled) -> list[str]:
    return [event.text for event in await master.events("outage")]


# --- beginning and end ----------------------------------------------------------------------------


async def test_outage_lasts_from_the_last_sign_of_life_to_the_first_beat(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await Host(master).join()
        seen_wall_ms = virtual_wall_ms()
        await trio.sleep(3)
        host.loses_link()
        await trio.sleep(1)
        begun = await host.outage()
        assert (begun.from_wall_ms, begun.to_wall_ms, begun.cause) == (seen_wall_ms, None, "")
        assert seen_wall_ms + 3_000 <= begun.noticed_wall_ms <= seen_wall_ms + 4_000
        await trio.sleep(6)
        await host.link()
        host.tells(away_ms=7_000, silent_ms=10_000, samples=1)
        assert (await host.outage()).to_wall_ms is None
        returned_wall_ms = virtual_wall_ms()
        await host.beats()
        ended = await host.outage()
        assert (ended.number, ended.to_wall_ms) == (begun.number, returned_wall_ms)
        assert ended.cause == Cause.NETWORK_CUT


async def test_cause_is_told_as_an_event_with_what_speaks_for_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await Host(master).join()
        await returns(host, away_s=20)
        (text,) = await told_as_events(master)
        assert text.startswith("web was away 20 s: network cut; the same process throughout")
        assert "the link ended 0.0 s after it was last heard on: reset" in text
        (event,) = await master.events("outage")
        assert (event.node_id, event.name) == (master.node("web").node_id, "web")


async def test_agent_that_tells_after_its_beat_is_heard_all_the_same(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await Host(master).join()
        host.loses_link()
        await trio.sleep(20)
        await host.link()
        await host.beats()
        assert (await host.outage()).cause == ""
        host.tells(away_ms=20_000, silent_ms=20_000, samples=4)
        await trio.sleep(0.1)
        assert (await host.outage()).cause == Cause.NETWORK_CUT


async def test_agent_that_tells_nothing_is_waited_for_and_judged_by_sight(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await Host(master).join()
        host.loses_link()
        await trio.sleep(20)
        host.restarts()
        await host.link()
        back_s = trio.current_time()
        await host.beats(times=2)
        while (await host.outage()).cause == "":
            await host.beats(times=2)
        assert EVIDENCE_S <= trio.current_time() - back_s <= EVIDENCE_S + 3 * PERIOD_S
        outage = await host.outage()
        assert outage.cause == Cause.UNKNOWN
        assert "this agent tells nothing of its absence" in outage.evidence


async def test_one_beat_that_was_on_its_way_for_long_is_no_return_to_be_judged(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await Host(master).join()
        host.loses_link()
        await trio.sleep(20)
        await host.link()
        await host.beats()
        await trio.sleep(3 * EVIDENCE_S)
        assert (await host.outage()).cause == ""


async def test_return_that_does_not_last_is_no_end_of_the_outage(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await Host(master).join()
        begun_wall_ms = virtual_wall_ms()
        host.loses_link()
        await trio.sleep(20)
        await host.link()
        await host.beats()
        await trio.sleep(2)
        host.loses_link()
        await trio.sleep(20)
        still = await host.outage()
        assert (still.from_wall_ms, still.to_wall_ms, still.cause) == (begun_wall_ms, None, "")
        await host.link()
        host.tells(away_ms=42_000, silent_ms=42_000, samples=8)
        await host.beats()
        assert (await host.outage()).cause == Cause.NETWORK_CUT


async def test_goodbye_is_an_outage_that_was_planned(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await Host(master).join()
        await trio.sleep(3)
        left_wall_ms = virtual_wall_ms()
        host.leaves("SIGTERM")
        await trio.sleep(60)
        outage = await host.outage()
        assert master.state("web") is State.LEFT
        assert outage.planned
        assert outage.from_wall_ms == left_wall_ms  # it was there until it said so
        assert outage.evidence
        host.restarts()
        await host.link()
        host.tells(silent_ms=None, away_ms=10)
        await host.beats()
        assert (await host.outage()).cause == Cause.AGENT_RESTARTED


async def test_goodbye_after_a_return_ends_one_outage_and_begins_another(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await Host(master).join()
        host.loses_link()
        await trio.sleep(20)
        await host.link()
        await host.beats()
        host.leaves()
        await trio.sleep(1)
        broken, planned = await host.outages()
        assert broken.to_wall_ms is not None
        assert broken.cause
        assert planned.planned
        assert planned.to_wall_ms is None


async def test_restart_too_quick_to_be_noticed_is_told_by_the_next_run(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await Host(master).join()
        old = host.client
        ended = host.restarts()
        await host.link()  # which replaces the link of the run before
        assert old is not None
        host.tells(silent_ms=None, away_ms=10, runs=(replace(ended, gone_ms=900),))
        returned_wall_ms = virtual_wall_ms()
        await host.beats(times=4)
        outage = await host.outage()
        assert outage.cause == Cause.AGENT_KILLED
        assert outage.to_wall_ms == returned_wall_ms
        assert master.state("web") is State.UP


async def test_agent_that_a_copy_displaced_was_not_killed(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await Host(master).join()
        pid = host.pid
        ended = host.restarts()  # so says the copy, with the last words that it was copied with
        await host.link()
        host.tells(silent_ms=None, away_ms=10, runs=(replace(ended, gone_ms=900),))
        await host.beats()
        await trio.sleep(3)
        assert not master.node("web").conflict
        host.pid = pid
        await host.link()
        host.tells(away_ms=3_000, silent_ms=3_000, link_code=m.Parting.REPLACED)
        await host.beats(times=6)
        assert master.node("web").conflict
        assert await host.outages() == ()


async def test_what_is_told_of_an_absence_that_nobody_noticed_is_no_outage(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await Host(master).join()
        host.tells(away_ms=4_000, silent_ms=4_000, samples=1)
        stranger = m.EndedRun("elsewhere", 7, 7, "", 0, 0, 0, 0, 0, 0, None)
        host.tells(silent_ms=None, runs=(stranger,))
        await host.beats(times=4)
        assert await host.outages() == ()


async def test_words_of_a_liar_are_stored_and_shown_as_plain_text(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await Host(master).join()
        host.loses_link()
        await trio.sleep(20)
        await host.link()
        evil = "\x1b[2J\nforged: line\u202e" * 20
        run = m.EndedRun("boot-1", 4_100_000, 1, evil[:250], 0, 0, 0, 0, 0, 0, 9, evil, evil[:250])
        host.tells(silent_ms=None, link_error=evil, attempt_error=evil, attempts=3, runs=(run,))
        await host.beats()
        await trio.sleep(1)
        outage = await host.outage()
        assert outage.evidence
        assert all(line == clean(line, len(line)) for line in outage.evidence)
        await trio.sleep(2 * SAVE_EVERY_S)
        assert (await host.outage()).evidence == outage.evidence  # read back from the store


async def test_node_that_was_never_up_has_no_outages(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        await master.enrol("web")
        node = master.node("web")
        assert await master.registry.outages.of_node(node) == ((), None)


async def test_availability_counts_what_nobody_planned(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await Host(master).join()
        await host.beats(times=8)
        await returns(host, away_s=100)
        shares, last = await master.registry.outages.of_node(master.node("web"))
        assert last == await host.outage()
        assert shares[0].down_s >= 100
        assert (shares[0].planned_s, shares[0].unobserved_s) == (0, 0)


# --- revoked, forgotten ---------------------------------------------------------------------------


async def test_outage_of_a_node_that_is_revoked_is_over_without_a_cause(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await Host(master).join()
        host.loses_link()
        await trio.sleep(20)
        operator = await master.viewer()
        await operator.ask(m.RevokeNode(1, "web"), m.Done)
        outage = await host.outage()
        assert outage.to_wall_ms is not None
        assert outage.cause == Cause.UNKNOWN
        assert outage.evidence == ("the operator revoked the node before it came back",)


@pytest.mark.parametrize("wait_s", [0.0, 2.0], ids=["unsaved", "saved"])
async def test_outages_of_a_node_that_is_forgotten_are_gone(
    tmp_path: Path, autojump_clock: MockClock, store: Store, wait_s: float
) -> None:
    async with assembled(tmp_path, store=store) as master:
        host = await Host(master).join()
        host.loses_link()
        await trio.sleep(20)
        await host.link()
        await host.beats()
        host.loses_link()
        await trio.sleep(wait_s)
        operator = await master.viewer()
        await operator.ask(m.ForgetNode(1, "web"), m.Done)
        await trio.sleep(60)
        assert await master.registry.outages.log.latest(100, lambda _: "") == ()
        assert await told_as_events(master) == []
    assert store.load("SELECT * FROM outages") == []
    assert store.load("SELECT * FROM runs") == []


# --- lives of the master --------------------------------------------------------------------------


async def test_absence_of_the_master_is_nobody_elses(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        host = await Host(master).join()
        await host.beats(times=3)
        await master.parts.stop()
        peer = host.peer
    await trio.sleep(60)
    async with assembled(tmp_path, store=store) as master:
        host.master = master
        host.peer = peer
        await host.link()
        host.tells(away_ms=60_000, silent_ms=65_000, samples=12, link_code="stopped")
        await host.beats()
        await trio.sleep(1)
        outage = await host.outage()
        assert outage.cause == Cause.MASTER_AWAY
        shares, _ = await master.registry.outages.of_node(master.node("web"))
        assert shares[0].unobserved_s >= 60
        assert shares[0].down_s == 0


@pytest.mark.parametrize(
    ("nodes", "events"), [(EVENTS_AT_ONCE, EVENTS_AT_ONCE), (EVENTS_AT_ONCE + 1, 1)]
)
async def test_restart_of_the_master_is_not_told_once_for_each_node_of_a_fleet(
    tmp_path: Path, autojump_clock: MockClock, store: Store, nodes: int, events: int
) -> None:
    async with assembled(tmp_path, store=store) as master:
        hosts = [await Host(master, f"web-{number}").join() for number in range(nodes)]
        await master.parts.stop()
    await trio.sleep(30)
    async with assembled(tmp_path, store=store) as master:
        for host in hosts:
            host.master = master
            await host.link()
            host.tells(away_ms=30_000, silent_ms=30_000, samples=6, link_code="stopped")
            await host.beats()
        await trio.sleep(2 * SAVE_EVERY_S)
        told = await told_as_events(master)
        assert len(told) == events
        assert ("nodes were away while the master was" in told[0]) == (events == 1)


async def test_outage_that_a_crash_of_the_master_left_open_goes_on(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        host = await Host(master).join()
        host.loses_link()
        await trio.sleep(20)
        begun = await host.outage()
    store._later.clear()  # as killed: what was not on disk is lost
    await trio.sleep(60)
    async with assembled(tmp_path, store=store) as master:
        host.master = master
        assert await host.outage() == begun
        await trio.sleep(2 * AWAITED_S)
        assert master.state("web") is State.DOWN
        await host.link()
        away_ms = round(trio.current_time() * 1000)
        host.tells(away_ms=away_ms, silent_ms=away_ms, samples=40, link_error="reset")
        await host.beats()
        await trio.sleep(1)
        ended = await host.outage()
        assert (ended.number, ended.from_wall_ms) == (begun.number, begun.from_wall_ms)
        assert ended.cause == Cause.NETWORK_CUT


async def test_return_that_a_crash_of_the_master_kept_from_being_judged_is_over(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        host = await Host(master).join()
        host.loses_link()
        await trio.sleep(20)
        await host.link()
        await host.beats()
        back_wall_ms = virtual_wall_ms()
        await trio.sleep(2 * SAVE_EVERY_S)
    async with assembled(tmp_path, store=store) as master:
        host.master = master
        (outage, *_) = await host.outages()
        assert outage.to_wall_ms == back_wall_ms
        assert outage.cause == Cause.UNKNOWN
        assert outage.evidence == ("the master ended before the cause was judged",)


async def test_master_that_stops_judges_what_has_returned(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        host = await Host(master).join()
        host.loses_link()
        await trio.sleep(20)
        await host.link()
        await host.beats()
        with suppress(trio.Cancelled):
            await master.registry.outages.stop()
        assert (await host.outage()).cause
    (row,) = store.load("SELECT cause FROM outages")
    assert row["cause"]


# --- clocks and disks that misbehave --------------------------------------------------------------


@pytest.mark.parametrize("jump_s", [-10 * 365 * 86_400, -3_600, 3_600])
async def test_wall_clock_of_the_master_that_is_set_meanwhile_changes_no_verdict(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, jump_s: int
) -> None:
    off_ms = 0

    def jumping_wall_ms() -> int:
        return virtual_wall_ms() + off_ms

    monkeypatch.setattr(assembled_module, "virtual_wall_ms", jumping_wall_ms)
    async with assembled(tmp_path) as master:
        host = await Host(master).join()
        host.loses_link()
        await trio.sleep(10)
        off_ms = jump_s * 1000
        await trio.sleep(10)
        await host.link()
        host.tells(away_ms=20_000, silent_ms=20_000, samples=4, link_error="reset")
        await host.beats()
        await trio.sleep(1)
        assert (await host.outage()).cause == Cause.NETWORK_CUT
        shares, _ = await master.registry.outages.of_node(master.node("web"))
        assert all(share.down_s >= 0 and share.known_s >= 0 for share in shares)


async def test_disk_that_refuses_loses_no_outage(tmp_path: Path, autojump_clock: MockClock) -> None:
    disk = Disk()
    store = Store.open(Path(":memory:"), disk.run)
    async with assembled(tmp_path, store=store) as master:
        host = await Host(master).join()
        await trio.sleep(1)
        disk.refuse()
        await returns(host, away_s=20)
        await returns(host, away_s=20)
        disk.recover()
        assert [each.cause for each in await host.outages()] == [Cause.NETWORK_CUT] * 2
        await trio.sleep(2 * RETRY_S + SAVE_EVERY_S)
        rows = store.load("SELECT number, cause FROM outages ORDER BY number")
        assert [tuple(row) for row in rows] == [(1, "network-cut"), (2, "network-cut")]
    store.close()


@pytest.mark.parametrize(("away_s", "outages"), [(3, 0), (20, 1)])
async def test_quick_restart_of_the_master_is_no_outage_of_its_nodes(
    tmp_path: Path, autojump_clock: MockClock, store: Store, away_s: int, outages: int
) -> None:
    async with assembled(tmp_path, store=store) as master:
        host = await Host(master).join()
        await host.beats(times=3)
        await master.parts.stop()
    await trio.sleep(away_s)
    async with assembled(tmp_path, store=store) as master:
        host.master = master
        await host.link()
        away_ms = away_s * 1_000
        host.tells(away_ms=away_ms, silent_ms=away_ms, link_code=m.Parting.RESTARTING)
        await host.beats()
        await trio.sleep(2 * SAVE_EVERY_S)
        assert len(await host.outages()) == outages
        assert len(await told_as_events(master)) == outages
        assert master.state("web") is State.UP


async def test_node_that_fell_while_the_master_restarted_has_an_outage(
    tmp_path: Path, autojump_clock: MockClock, store: Store
) -> None:
    async with assembled(tmp_path, store=store) as master:
        host = await Host(master).join()
        await host.beats(times=3)
        await master.parts.stop()
    await trio.sleep(5)
    ended = host.restarts()
    async with assembled(tmp_path, store=store) as master:
        host.master = master
        await host.link()
        host.tells(silent_ms=None, away_ms=10, runs=(replace(ended, gone_ms=5_000),))
        await host.beats()
        await trio.sleep(1)
        assert (await host.outage()).cause == Cause.AGENT_KILLED


async def test_what_a_full_disk_kept_from_the_master_is_no_verdict(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    disk = Disk()
    store = Store.open(tmp_path / "master.db", disk.run)
    async with assembled(tmp_path, store=store) as master:
        host = await Host(master).join()
        await host.beats(times=2)
        before = Path(tmp_path / "kept.db")
        await store.flush()
        with closing(sqlite3.connect(before)) as copy, closing(sqlite3.connect(store.path)) as db:
            db.backup(copy)
        disk.refuse()
        host.loses_link()
        host.restarts()
        await trio.sleep(1)
        await host.link()
        await host.beats(times=20)
        await master.parts.stop()
    store.close()
    await trio.sleep(3)
    store = Store.open(before, Disk().run)
    async with assembled(tmp_path, store=store) as master:
        host.master = master
        await host.link()
        host.tells(away_ms=3_000, silent_ms=20_000, link_code=m.Parting.RESTARTING)
        await host.beats()
        await trio.sleep(1)
        outage = await host.outage()
        assert outage.cause == Cause.MASTER_AWAY
        assert outage.to_wall_ms is not None
        assert outage.to_wall_ms - outage.from_wall_ms == 20_000
    store.close()
