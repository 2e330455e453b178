"""Viewers: everything they are sent is current, and none of them costs more than its bound."""

import socket
from collections.abc import Iterable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from master import viewing
from master.node import Node
from master.session import MESSAGES_PER_WINDOW
from master.viewing import BEHIND_BYTES, ViewerSession
from shared import messages as m
from shared.errors import Violation
from shared.frames import encode_frame
from shared.liveness import BeatArrived, Liveness, State
from shared.outbox import BULK_LIMIT_BYTES
from shared.settings import LinkSettings, MasterSettings
from tests.master.assembled import (
    OPERATOR,
    VIEWER_HELLO,
    Assembled,
    Client,
    assembled,
    beat,
)

PATIENT = LinkSettings(write_timeout_s=600, read_timeout_s=600, ping_after_s=300)


def add_nodes(master: Assembled, count: int, first: int = 0) -> list[Node]:
    """Nodes that were enrolled and have never linked."""
    nodes = [
        Node(f"{number:016x}", f"n{number:05}", Liveness(State.NEVER_SEEN, 0.0), 0)
        for number in range(first, first + count)
    ]
    for node in nodes:
        master.registry.add(node)
    return nodes


def beat_all(master: Assembled, nodes: Iterable[Node]) -> None:
    now_s = trio.current_time()
    for node in nodes:
        master.registry.apply(node, BeatArrived(now_s, 60, 60), now_s)
        master.registry.seen(node, now_s)


def session_of(master: Assembled) -> ViewerSession:
    (session,) = master.viewers.roster
    return session


async def snapshot(client: Client) -> list[m.Snapshot]:
    pieces = [await client.until(m.Snapshot)]
    while not pieces[-1].last:
        pieces.append(await client.until(m.Snapshot))
    return pieces


class Fleet:
    """What a viewer knows, from everything that it was sent."""

    def __init__(self) -> None:
        self.infos = dict[str, m.NodeInfo]()
        self.vitals = dict[str, m.NodeVitals]()

    def apply(self, message: m.FromMaster) -> None:
        assert isinstance(message, m.Snapshot | m.Delta)
        self.infos |= {info.node_id: info for info in message.infos}
        self.vitals |= {vitals.node_id: vitals for vitals in message.vitals}
        if isinstance(message, m.Delta):
            for node_id in message.gone:
                self.infos.pop(node_id, None)
                self.vitals.pop(node_id, None)

    def is_current(self, master: Assembled) -> bool:
        return self.infos == {
            node.node_id: node.info() for node in master.registry
        } and self.vitals == {node.node_id: node.vitals() for node in master.registry}


async def read_all(client: Client, fleet: Fleet, quiet_s: float = 1.0) -> list[m.FromMaster]:
    """Applies everything that comes until nothing has come for a while."""
    received: list[m.FromMaster] = []
    while True:
        with trio.move_on_after(quiet_s) as scope:
            received.append(await client.next())
            fleet.apply(received[-1])
        if scope.cancelled_caught:
            return received


# --- the feed ------------------------------------------------------------------------------------


async def test_viewer_gets_the_fleet_and_then_every_change(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        nodes, fleet = add_nodes(master, 3), Fleet()
        client = await master.viewer()
        client.link.post(m.Watch())
        for piece in await snapshot(client):
            fleet.apply(piece)
        assert fleet.is_current(master)
        beat_all(master, nodes[:2])
        nodes[2].note = "new"
        master.registry.info_changed(nodes[2])
        fleet.apply(await client.until(m.Delta))
        assert fleet.is_current(master)
        await master.store.write(*master.registry.forget(nodes[0]))
        fleet.apply(await client.until(m.Delta))
        assert len(fleet.infos) == 2
        assert fleet.is_current(master)


async def test_viewer_that_does_not_watch_is_sent_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await master.viewer()
        beat_all(master, add_nodes(master, 3))
        await trio.sleep(5)
        assert client.wire.client.unread_bytes == 0


async def test_ten_thousand_nodes_stream_through_a_bounded_outbox(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        add_nodes(master, 10_000)
        client = await master.viewer(limit_bytes=16_000)
        client.link.post(m.Watch())
        fleet, most_bytes = Fleet(), 0
        while True:
            piece = await client.until(m.Snapshot)
            most_bytes = max(most_bytes, session_of(master).link.outbox.pending_bytes)
            fleet.apply(piece)
            if piece.last:
                break
        assert fleet.is_current(master)
        assert 0 < most_bytes < BULK_LIMIT_BYTES / 2


async def test_slow_viewer_of_a_busy_fleet_costs_its_bound_and_catches_up_with_current_values(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path, link=PATIENT) as master:
        nodes, fleet = add_nodes(master, 1_000), Fleet()
        client = await master.viewer()
        client.link.post(m.Watch())
        await read_all(client, fleet)
        for _ in range(60):
            beat_all(master, nodes)
            await trio.sleep(1)
            assert session_of(master).link.outbox.pending_bytes < 2 * BEHIND_BYTES
        deltas = [each for each in await read_all(client, fleet) if isinstance(each, m.Delta)]
        assert fleet.is_current(master)
        sent = sum(len(delta.vitals) for delta in deltas)
        assert sent < 10 * len(nodes)  # what was under way, and the latest of each; not all sixty
        behind_s = max(delta.behind_ms for delta in deltas) / 1000
        assert 50 < behind_s <= 61
        assert deltas[0].behind_ms == 0
        beat_all(master, nodes[:1])
        assert (await client.until(m.Delta)).behind_ms == 0


async def test_snapshot_ends_although_everything_changes_faster_than_it_is_read(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path, link=PATIENT) as master:
        nodes, fleet = add_nodes(master, 2_000), Fleet()
        client = await master.viewer(limit_bytes=16_000)
        client.link.post(m.Watch())
        pieces = 0
        while True:
            beat_all(master, nodes)
            await trio.sleep(0.3)
            piece = await client.next()
            assert isinstance(piece, m.Snapshot), "changes wait for its end"
            fleet.apply(piece)
            pieces += 1
            if piece.last:
                break
        assert pieces <= 2_000 / 200 + 1
        await read_all(client, fleet)
        assert fleet.is_current(master)


async def test_node_forgotten_while_the_snapshot_is_under_way_is_gone_in_the_end(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        nodes, fleet = add_nodes(master, 2_000), Fleet()
        client = await master.viewer(limit_bytes=16_000)
        client.link.post(m.Watch())
        fleet.apply(await client.until(m.Snapshot))
        for node in nodes[:500]:
            master.registry.forget(node)
        add_nodes(master, 10, first=50_000)
        await read_all(client, fleet)
        assert len(fleet.infos) == 1_510
        assert fleet.is_current(master)


async def test_watching_again_starts_with_a_whole_snapshot(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        add_nodes(master, 2_000)
        client = await master.viewer(limit_bytes=16_000)
        client.link.post(m.Watch())
        await client.until(m.Snapshot)
        client.link.post(m.Watch())
        pieces = await snapshot(client)
        assert len({info.node_id for piece in pieces for info in piece.infos}) == 2_000


async def test_two_viewers_are_sent_the_same_and_one_that_sleeps_does_not_hold_up_the_other(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path, link=PATIENT) as master:
        nodes, fleet = add_nodes(master, 1_000), Fleet()
        awake, asleep = await master.viewer(), await master.viewer()
        for client in (awake, asleep):
            client.link.post(m.Watch())
        await read_all(awake, fleet)
        for _ in range(20):
            beat_all(master, nodes)
            deltas = await read_all(awake, fleet, quiet_s=0.5)
            assert fleet.is_current(master)
            assert all(isinstance(each, m.Delta) and not each.behind_ms for each in deltas)
        late = Fleet()
        await read_all(asleep, late)
        assert late.is_current(master)


# --- its link ------------------------------------------------------------------------------------


async def test_viewer_that_takes_nothing_is_told_so_and_cut_at_the_write_timeout(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        add_nodes(master, 1_000)
        client = await master.viewer()
        client.link.post(m.Watch())
        await trio.sleep(14.9)
        assert len(master.viewers.roster) == 1
        await trio.sleep(2)
        assert len(master.viewers.roster) == 0
        assert client.wire.master.is_closed


async def test_silent_viewer_is_pinged_and_given_up_at_the_read_timeout(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await master.viewer()
        began_s, heard = trio.current_time(), list[tuple[int, m.FromMaster]]()
        while not client.link.over:
            for message in await client.link.receive():
                heard.append((int(trio.current_time() - began_s), message))
        assert [(at_s, type(message)) for at_s, message in heard] == [
            (10, m.Ping), (20, m.Ping), (30, m.Ping), (40, m.Ping), (50, m.Ping), (60, m.Goodbye)
        ]  # fmt: skip
        assert heard[-1][1] == m.Goodbye(m.Parting.SILENT, "nothing was heard for 60 s")


async def test_viewer_that_answers_pings_stays_for_ever(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await master.viewer()
        with trio.move_on_after(1_000) as scope:
            await client.next()
        assert scope.cancelled_caught
        assert len(master.viewers.roster) == 1


async def test_viewer_leaves_with_a_goodbye_or_without(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        polite, rude = await master.viewer(), await master.viewer()
        for client in (polite, rude):
            client.link.post(m.Watch())
        polite.link.post(m.Goodbye("done"))
        rude.wire.cut()
        await trio.sleep(2)
        assert len(master.viewers.roster) == 0
        beat_all(master, add_nodes(master, 3))
        await trio.sleep(1)
        assert "0 viewers" in repr(master.registry._feed)


async def test_viewer_that_floods_is_told_so_and_cut(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await master.viewer()
        for number in range(MESSAGES_PER_WINDOW + 1):
            client.link.post(m.Ping(number))
            if number % 100 == 0:
                await wait_all_tasks_blocked()
        received, _ = await client.rest()
        goodbye = received[-1]
        assert isinstance(goodbye, m.Goodbye)
        assert goodbye.code == Violation.FLOOD


async def test_viewer_that_floods_with_what_nobody_knows_is_cut_too(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await master.viewer()
        client.wire.client.send_nowait(encode_frame(250, b"") * (MESSAGES_PER_WINDOW + 1))
        assert (await client.goodbye()).code == Violation.FLOOD


async def test_message_that_no_viewer_may_send_ends_the_link_and_not_the_master(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        client = await master.viewer()
        client.wire.client.send_nowait(m.encode(beat()))
        assert (await client.goodbye()).code == Violation.BAD_MESSAGE
        await trio.sleep(2)
        assert len(master.viewers.roster) == 0


async def test_viewers_are_bounded_and_the_next_one_is_told(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewing, "VIEWERS_LIMIT", 2)
    async with assembled(tmp_path) as master:
        first, _ = await master.viewer(), await master.viewer()
        third = master.client(OPERATOR)
        assert (await third.ask(VIEWER_HELLO, m.Deny)).code == m.Refusal.BUSY
        first.link.break_off("done")
        await trio.sleep(2)
        await master.viewer()


async def test_remote_viewer_stays_as_long_as_its_certificate(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        life_s = master.context.settings.viewer_certificate_life_s
        client = await master.viewer(await master.enrol("laptop", "viewer"))
        await trio.sleep(1)
        session = session_of(master)
        assert life_s - 2 <= session.valid_until_s - trio.current_time() <= life_s
        session.valid_until_s = trio.current_time() + 5
        master.context.sweeper.schedule(session)
        assert (await client.goodbye()).code == m.Parting.EXPIRED


async def test_stop_tells_every_viewer_and_waits_until_they_have_read_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        watching, idle = await master.viewer(), await master.viewer()
        add_nodes(master, 1_000)
        watching.link.post(m.Watch())
        await trio.sleep(0.1)
        goodbyes: list[m.Goodbye] = []

        async def read(client: Client) -> None:
            goodbyes.append(await client.goodbye())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, watching)
            nursery.start_soon(read, idle)
            await master.parts.stop()
        assert [goodbye.code for goodbye in goodbyes] == [m.Parting.RESTARTING] * 2
        assert len(master.viewers.roster) == 0


async def test_viewer_that_comes_while_the_master_stops_is_told_too(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        await master.parts.stop()
        client = master.client(OPERATOR)
        client.link.post(VIEWER_HELLO)
        assert (await client.goodbye()).code == m.Parting.RESTARTING


@pytest.mark.parametrize(("name", "called"), [("", "vault-7"), ("berlin", "berlin")])
async def test_cluster_is_called_as_it_was_named_or_else_as_its_masters_host(
    tmp_path: Path,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    called: str,
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "vault-7")
    async with assembled(tmp_path, MasterSettings(name=name)) as master:
        welcome = await master.client(OPERATOR).ask(VIEWER_HELLO, m.ViewerWelcome)
        assert isinstance(welcome, m.ViewerWelcome)
        assert welcome.cluster == called
