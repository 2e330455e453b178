"""Looking at one node: what the viewer is sent, and what is asked of the node's agent."""

import struct
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock

from master.attention import DETAIL_MS, LEASE_MS, PERIOD_MS, REPEAT_S
from master.viewing import BEHIND_BYTES, ViewerSession
from shared import messages as m
from shared.families import Users, UserSession
from shared.inventory import Inventory
from shared.liveness import DOWN_LEAST_PERIODS, State
from shared.outbox import BULK_LIMIT_BYTES
from shared.settings import LinkSettings
from tests.master.assembled import Assembled, Client, assembled, beat

LOOK = m.Attend(PERIOD_MS, DETAIL_MS, LEASE_MS)
LOOK_AWAY = m.Attend(PERIOD_MS, DETAIL_MS, 0)
NOBODY = m.FocusNode("")
PATIENT = LinkSettings(write_timeout_s=600, read_timeout_s=600, ping_after_s=300)
MOMENT_S = 0.01


def users(names: str = "", family: str = "users") -> m.FamilySample:
    sessions = tuple(UserSession(name, "pts/0", "", 0) for name in names)
    return m.FamilySample(family, 0, 0, 60_000, m.raw(Users(sessions)))


def inventory(hostname: str) -> m.InventoryReport:
    return m.InventoryReport(
        m.raw(Inventory(hostname, "os", "kernel", "arch", "3.11", "0.1", "boot", 0))
    )


async def soon(client: Client, seconds: float = MOMENT_S) -> list[m.FromMaster]:
    """What arrives within a while."""
    received: list[m.FromMaster] = []
    with trio.move_on_after(seconds):
        while True:
            received.append(await client.next())
    return received


async def requests_to(agent: Client, seconds: float = MOMENT_S) -> list[m.Attend]:
    return [each for each in await soon(agent, seconds) if isinstance(each, m.Attend)]


async def parts_of(viewer: Client, seconds: float = MOMENT_S) -> list[str]:
    """The names of the families that arrive; `inventory` for that."""
    names: list[str] = []
    for message in await soon(viewer, seconds):
        match message:
            case m.FocusUpdate():
                names.append(message.sample.family)
            case m.FocusInventory():
                names.append("inventory")
            case _:
                pass
    return names


async def focused(master: Assembled, name: str) -> Client:
    """A viewer that looks at a node and has been sent all that was known."""
    viewer = await master.viewer()
    viewer.link.post(m.FocusNode(master.node(name).node_id))
    await soon(viewer)
    return viewer


async def period_shown(master: Assembled, agent: Client, next_in_s: float) -> int:
    await agent.deliver(beat(next_in_s=next_in_s))
    return master.node("web").vitals().period_ms


# --- what the viewer is sent ---------------------------------------------------------------------


async def test_viewer_is_sent_all_that_is_known_and_how_old_it_is(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent, viewer = await master.beating("web"), await master.viewer()
        agent.link.post_bulk(inventory("web"))
        agent.link.post(users("ab"))
        agent.link.post(users("c", family="users-of-yesterday"))
        await trio.sleep(7)
        node_id = master.node("web").node_id
        first = await viewer.ask(m.FocusNode(node_id), m.FocusInventory)
        assert first.node_id == node_id
        assert msgspec.msgpack.decode(first.inventory, type=Inventory).hostname == "web"
        known = [await viewer.until(m.FocusUpdate) for _ in range(2)]
        assert [each.sample for each in known] == [
            users("ab"),
            users("c", family="users-of-yesterday"),
        ]
        assert {each.now_mono_ms - each.seen_mono_ms for each in known} == {7_000}
        assert await soon(viewer, 1) == []


async def test_viewer_is_sent_each_family_as_it_arrives_and_the_inventory_when_it_changes(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        viewer = await focused(master, "web")
        agent.link.post(users("a"))
        update = await viewer.until(m.FocusUpdate)
        assert (update.sample, update.now_mono_ms - update.seen_mono_ms) == (users("a"), 0)
        agent.link.post_bulk(inventory("web"))
        assert await parts_of(viewer) == ["inventory"]
        agent.link.post_bulk(inventory("web"))
        assert await parts_of(viewer) == []
        agent.link.post_bulk(inventory("www"))
        assert await parts_of(viewer) == ["inventory"]


async def test_node_of_which_nothing_is_known_is_told_apart_from_one_that_is_not_known(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        await master.enrol("web")
        viewer = await master.viewer()
        viewer.link.post(m.FocusNode("no-such-node"))
        assert await soon(viewer) == []
        silent = await viewer.ask(m.FocusNode(master.node("web").node_id), m.FocusInventory)
        assert msgspec.msgpack.decode(silent.inventory) is None


async def test_viewer_elsewhere_may_look_too(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        viewer = await master.viewer(await master.enrol("laptop", "viewer"))
        await viewer.ask(m.FocusNode(master.node("web").node_id), m.FocusInventory)
        assert await requests_to(agent) == [LOOK]


@pytest.mark.parametrize("elsewhere", ["", "no-such-node"])
async def test_viewer_that_turns_away_is_sent_no_more(
    elsewhere: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        viewer = await focused(master, "web")
        viewer.link.post(m.FocusNode(elsewhere))
        await trio.sleep(MOMENT_S)
        agent.link.post(users("a"))
        assert await soon(viewer, 1) == []
        assert (await requests_to(agent))[-1] == LOOK_AWAY


async def test_viewer_that_turns_to_another_node_is_sent_that_one_only(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        web, db = await master.beating("web"), await master.beating("db")
        viewer = await focused(master, "web")
        viewer.link.post(m.FocusNode(master.node("db").node_id))
        await soon(viewer)
        web.link.post(users("w"))
        db.link.post(users("d"))
        update = await viewer.until(m.FocusUpdate)
        assert update.sample == users("d")
        assert await soon(viewer, 1) == []
        assert await requests_to(web, 10) == [LOOK, LOOK_AWAY]
        assert await requests_to(db) == [LOOK, LOOK, LOOK]


async def test_asking_for_the_same_node_again_sends_everything_again_and_asks_nothing_anew(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        agent.link.post(users("a"))
        await trio.sleep(MOMENT_S)
        viewer = await focused(master, "web")
        viewer.link.post(m.FocusNode(master.node("web").node_id))
        assert await parts_of(viewer) == ["inventory", "users"]
        assert await requests_to(agent) == [LOOK]


async def test_what_an_agent_made_too_long_to_pass_on_is_left_out_and_the_rest_comes(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        viewer = await focused(master, "web")
        # Short floats, which are kept as long ones.
        floats = b"\xdd" + struct.pack(">I", 50_000) + 50_000 * b"\xca\x3f\x80\x00\x00"
        agent.link.post_bulk(m.FamilySample("huge", 0, 0, 0, msgspec.Raw(floats)))
        agent.link.post(users("a"))
        assert await parts_of(viewer) == ["users"]
        assert await parts_of(await master.viewer()) == []
        viewer.link.post(m.FocusNode(master.node("web").node_id))
        assert await parts_of(viewer) == ["inventory", "users"]


# --- a viewer that does not read -----------------------------------------------------------------


def much(names: str, family: str) -> m.FamilySample:
    """A family of some fifty kilobytes."""
    text = names * (500 // len(names))
    data = Users(tuple(UserSession(text[:256], "pts/0", text[:256], 0) for _ in range(100)))
    return m.FamilySample(family, 0, 0, 60_000, m.raw(data))


async def test_slow_viewer_costs_its_bound_and_then_gets_the_latest_of_each_family(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path, link=PATIENT) as master:
        agent = await master.beating("web")
        viewer = await focused(master, "web")
        session = session_of(master)
        for number in range(100):
            for family in ("a", "b", "c"):
                agent.link.post_bulk(much(f"{number:04}", family))
            await soon(agent, 1)
            assert session.link.outbox.pending_bytes < BEHIND_BYTES + BULK_LIMIT_BYTES / 2
        updates = [each for each in await soon(viewer, 5) if isinstance(each, m.FocusUpdate)]
        assert len(updates) < 20  # what was under way, and the latest of each
        latest = {each.sample.family: each.sample for each in updates}
        assert latest == {family: much("0099", family) for family in ("a", "b", "c")}
        agent.link.post_bulk(much("0100", "a"))
        assert await parts_of(viewer) == ["a"]


async def test_slow_viewer_is_sent_fleet_and_focus_in_turns(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path, link=PATIENT) as master:
        agent = await master.beating("web")
        viewer = await master.viewer(limit_bytes=16_000)
        viewer.link.post(m.Watch())
        viewer.link.post(m.FocusNode(master.node("web").node_id))
        await soon(viewer)
        kinds: list[type[m.FromMaster]] = []
        for number in range(50):
            for family in ("a", "b"):
                agent.link.post_bulk(much(f"{number:04}", family))
            await agent.deliver(beat())
            await trio.sleep(1)
            kinds.append(type(await viewer.next()))
        assert kinds.count(m.FocusUpdate) > 10
        assert kinds.count(m.Delta) > 10


async def test_viewer_that_sleeps_does_not_hold_up_the_other_nor_the_agent(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path, link=PATIENT) as master:
        agent = await master.beating("web")
        await focused(master, "web")
        awake = await focused(master, "web")
        for number in range(50):
            agent.link.post_bulk(much(f"{number:04}", "a"))
            await agent.deliver(beat())
            assert (await awake.until(m.FocusUpdate)).sample == much(f"{number:04}", "a")


def session_of(master: Assembled) -> ViewerSession:
    (session,) = master.viewers.roster
    return session


# --- what is asked of the agent ------------------------------------------------------------------


async def test_agent_is_asked_at_once_and_again_before_its_lease_ends(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        await focused(master, "web")
        assert await requests_to(agent) == [LOOK]
        began_s, asked_s = trio.current_time(), list[float]()
        for _ in range(5):
            assert await agent.until(m.Attend) == LOOK
            asked_s.append(trio.current_time() - began_s)
        assert asked_s[0] <= REPEAT_S
        assert round(asked_s[-1] - asked_s[0], 3) == 4 * REPEAT_S
        assert 2 * REPEAT_S < LEASE_MS / 1000


async def test_node_that_nobody_looks_at_is_asked_for_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        web, db = await master.beating("web"), await master.beating("db")
        await focused(master, "web")
        assert await requests_to(db, 20) == []
        assert len(await requests_to(web)) > 3


async def test_viewers_share_one_request_and_the_last_one_ends_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        first = await focused(master, "web")
        assert await requests_to(agent) == [LOOK]
        second = await focused(master, "web")
        assert await requests_to(agent, 8) == [LOOK, LOOK]
        first.link.post(NOBODY)
        assert await requests_to(agent, 4) == [LOOK]
        second.link.post(NOBODY)
        assert await requests_to(agent, 20) == [LOOK_AWAY]


async def test_viewer_that_vanishes_ends_the_request_at_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        polite, rude = await focused(master, "web"), await focused(master, "web")
        polite.link.post(m.Goodbye("done"))
        await requests_to(agent)
        rude.wire.cut()
        assert await requests_to(agent) == [LOOK_AWAY]
        agent.link.post(users("a"))
        assert await requests_to(agent, 20) == []


async def test_viewer_that_falls_silent_costs_the_agent_no_longer_than_the_read_timeout(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        viewer = await focused(master, "web")
        viewer.wire.swallow()
        assert (await requests_to(agent, master.context.link.read_timeout_s + 1))[-1] == LOOK_AWAY


async def test_agent_that_links_anew_is_asked_again_at_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        agent = await master.agent(peer)
        viewer = await focused(master, "web")
        agent.wire.cut()
        await trio.sleep(1)
        again = await master.agent(peer)
        assert (await requests_to(again))[0] == LOOK
        again.link.post(users("a"))
        assert await parts_of(viewer) == ["users"]


async def test_agent_that_links_while_somebody_waits_for_it_is_asked_at_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        await focused(master, "web")
        await trio.sleep(20)
        agent = await master.agent(peer)
        assert (await requests_to(agent))[0] == LOOK


async def test_link_that_takes_another_ones_place_is_asked(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        await master.agent(peer)
        await focused(master, "web")
        newer = await master.agent(peer)
        assert (await requests_to(newer))[0] == LOOK


# --- the node's state ----------------------------------------------------------------------------


async def test_period_shown_is_the_one_that_the_agent_keeps(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        assert await period_shown(master, agent, next_in_s=5) == 5_000
        viewer = await focused(master, "web")
        assert master.node("web").vitals().period_ms == 5_000  # it has not begun yet
        assert await period_shown(master, agent, next_in_s=1.9) == 1_000
        assert await period_shown(master, agent, next_in_s=1) == 1_000
        viewer.link.post(NOBODY)
        await trio.sleep(MOMENT_S)
        assert master.node("web").vitals().period_ms == 5_000


@pytest.mark.parametrize(("next_in_s", "shown_ms"), [(4.998, 5_000), (1.997, 2_000)])
async def test_period_of_an_agent_that_refuses_or_bounds_is_its_own(
    next_in_s: float, shown_ms: int, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        await focused(master, "web")
        assert await period_shown(master, agent, next_in_s) == shown_ms


async def test_viewers_are_told_when_the_cadence_changes(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent, viewer = await master.beating("web"), await master.viewer()
        await viewer.ask(m.Watch(), m.Snapshot)
        looking = await focused(master, "web")
        await agent.deliver(beat(next_in_s=1))
        assert (await viewer.until(m.Delta)).vitals[0].period_ms == 1_000
        looking.link.post(NOBODY)
        assert (await viewer.until(m.Delta)).vitals[0].period_ms == 5_000


async def test_watched_node_is_down_a_period_and_a_half_after_the_beat_that_is_missing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        await focused(master, "web")
        await agent.deliver(beat(next_in_s=1))
        agent.wire.swallow()
        await trio.sleep(1 + 5 * DOWN_LEAST_PERIODS - 0.1)
        assert master.state("web") is State.LATE
        await trio.sleep(0.5)
        assert master.state("web") is State.DOWN


async def test_change_of_cadence_makes_no_node_late(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        for _ in range(20):
            viewer = await focused(master, "web")
            await agent.deliver(beat(next_in_s=1))
            await trio.sleep(1)
            viewer.link.post(NOBODY)
            await agent.deliver(beat(next_in_s=5))
            await trio.sleep(5)
        assert await master.changes_of("web") == ["up"]


@pytest.mark.parametrize("order", [m.RevokeNode, m.ForgetNode])
async def test_node_that_is_revoked_or_forgotten_while_somebody_looks_falls_silent(
    order: type[m.RevokeNode | m.ForgetNode], tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        viewer = await focused(master, "web")
        await viewer.ask(order(1, "web"), m.Done)
        assert (await agent.goodbye()).code == m.Parting.REVOKED
        assert await parts_of(viewer, 20) == []
        viewer.link.post(NOBODY)
        assert await soon(viewer, 20) == []


async def test_master_that_stops_says_goodbye_to_those_who_look_and_whom_they_look_at(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        viewer = await focused(master, "web")
        goodbyes: list[str] = []

        async def read(client: Client) -> None:
            goodbyes.append((await client.goodbye()).code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, agent)
            nursery.start_soon(read, viewer)
            await master.parts.stop()
        assert goodbyes == [m.Parting.RESTARTING] * 2
