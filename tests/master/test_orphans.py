"""A worker that ends says nothing of the nodes whose links it held: they are awaited."""

from pathlib import Path

import trio
from msgspec.structs import replace
from trio.testing import MockClock

from master.outages import SAVE_EVERY_S
from shared.causes import Cause
from shared.liveness import AWAITED_S, State
from tests.master.assembled import Assembled, assembled
from tests.master.test_outages import Host, told_as_events


async def joined(master: Assembled) -> Host:
    host = await Host(master).join()
    await host.beats(times=2)
    return host


def orphan(host: Host) -> None:
    """As the relay does when its worker is gone."""
    session = host.master.node(host.name).session
    assert session is not None
    session.orphaned("a worker of the master ended")


async def finds_master(host: Host, away_s: float) -> None:
    """Dials again; tells that it has been without a link for so long, and beats."""
    await host.link()
    seen_s = host.master.node(host.name).seen_mono_s
    assert seen_s is not None
    silent_ms = round((trio.current_time() - seen_s) * 1000)
    away_ms = round(away_s * 1000)
    host.tells(away_ms=away_ms, silent_ms=silent_ms, samples=1, link_error="reset")
    await host.beats()
    await trio.sleep(SAVE_EVERY_S)


async def test_orphaned_node_is_awaited_and_up_again_without_a_word(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await joined(master)
        told = await master.changes_of("web")
        orphan(host)
        assert master.state("web") is State.AWAITED
        assert len(master.sessions.roster) == 0
        await trio.sleep(1)
        await finds_master(host, 1)
        assert master.state("web") is State.UP
        assert await master.changes_of("web") == told
        assert await host.outages() == ()
        assert await told_as_events(master) == []


async def test_orphaned_node_that_stays_away_is_down_when_every_agent_would_be_back(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await joined(master)
        orphan(host)
        await trio.sleep(AWAITED_S - 1)
        assert master.state("web") is State.AWAITED
        await trio.sleep(2)
        assert master.state("web") is State.DOWN
        assert "a worker of the master ended" in master.node("web").liveness.reason
        await finds_master(host, AWAITED_S + 1)
        assert (await host.outage()).cause == Cause.NETWORK_CUT


async def test_node_that_was_never_seen_before_its_link_was_cut_off_was_not_away(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = Host(master)
        host.peer = await master.enrol(host.name)
        await host.link()
        orphan(host)
        assert master.state("web") is State.AWAITED
        await trio.sleep(8)
        await host.link()
        await host.beats(times=12)
        await trio.sleep(SAVE_EVERY_S)
        assert master.state("web") is State.UP
        assert await host.outages() == ()
        assert await told_as_events(master) == []


async def test_absence_that_a_stuck_worker_made_is_the_masters(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await joined(master)
        await trio.sleep(20)  # in which the worker stood still, and the node was not judged
        orphan(host)
        await trio.sleep(1)
        await finds_master(host, 1)
        outage = await host.outage()
        assert outage.cause == Cause.MASTER_AWAY
        assert len(await told_as_events(master)) == 1


async def test_agent_that_was_restarted_meanwhile_is_found_out(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await joined(master)
        orphan(host)
        run = host.restarts()
        await trio.sleep(30)
        await host.link()
        host.tells(silent_ms=None, away_ms=100, runs=(replace(run, gone_ms=34_000),))
        await host.beats()
        await trio.sleep(SAVE_EVERY_S)
        assert (await host.outage()).cause in {Cause.AGENT_RESTARTED, Cause.AGENT_KILLED}


async def test_orphaned_twice_is_ended_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with assembled(tmp_path) as master:
        host = await joined(master)
        session = master.node("web").session
        assert session is not None
        session.orphaned("a worker of the master ended")
        session.orphaned("a worker of the master ended")
        assert master.state("web") is State.AWAITED
        await finds_master(host, 1)
        assert master.state("web") is State.UP


async def test_orphan_that_dialled_anew_already_stays_up(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        host = await joined(master)
        old = master.node("web").session
        assert old is not None
        await host.link()
        await host.beats()
        old.orphaned("a worker of the master ended")  # it is being told that another took its place
        assert master.state("web") is State.UP
