"""A master behind a worker is the same master: to agents, to viewers, and to strangers."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from master.held import PENDING_LIMIT_BYTES
from master.identities import VIEWER
from master.relayed import WINDOW_BYTES
from shared import messages as m
from shared.connection import ENTRY_BYTES_LIMIT
from shared.errors import LinkBrokenError, Violation
from shared.frames import encode_frame
from shared.messages import Parting
from shared.settings import LinkSettings, MasterSettings
from shared.tls import client_context
from tests.eventually import eventually
from tests.network.cluster import (
    CA_REQUEST,
    HELLO,
    Cluster,
    Member,
    answer,
    ask,
    beat,
    enrolled_agent,
    running_cluster,
)

OF_TOMORROW = 250
"""A kind of message that nobody knows, and everybody skips."""

STRICT = MasterSettings(
    listen=("127.0.0.1:0",),
    period_s=1.0,
    handshake_timeout_s=0.5,
    handshakes_per_s=4.0,
    unauthenticated_connections=4,
)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with running_cluster(tmp_path / "master", through_worker=True) as cluster:
        yield cluster


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with running_cluster(tmp_path / "strict", STRICT, through_worker=True) as cluster:
        yield cluster


def held(cluster: Cluster) -> int:
    assert cluster.worker is not None
    return len(cluster.worker.links)


async def comes_back(member: Member) -> None:
    """Dials until it is let in: what it has been refused for is a matter of a second."""
    while True:
        with suppress(LinkBrokenError):
            answered = await ask(await member.dial(), HELLO)
            assert isinstance(answered, m.Welcome)
            return
        await trio.sleep(0.1)


async def test_agent_enrols_beats_and_takes_its_leave(cluster: Cluster, tmp_path: Path) -> None:
    agent = await enrolled_agent(cluster, tmp_path / "agent", "web-1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(agent.run)
        await eventually(lambda: cluster.state("web-1") == "up")
        assert cluster.node("web-1").address.startswith("127.0.0.1:")
        nursery.cancel_scope.cancel()
    await eventually(lambda: held(cluster) == 0)


async def test_agent_that_vanishes_is_lost(cluster: Cluster) -> None:
    member = await cluster.member("web-1")
    link = await member.linked()
    link.post(beat())
    await eventually(lambda: cluster.state("web-1") == "up")
    link.break_off("killed")
    await eventually(lambda: cluster.state("web-1") == "lost")
    await eventually(lambda: held(cluster) == 0)


async def test_revoked_agent_is_told_and_cut(cluster: Cluster) -> None:
    member = await cluster.member("web-1")
    link = await member.linked()
    cluster.parts.entry.sessions.end(member.node, Parting.REVOKED, "by the operator")
    goodbye = await answer(link)
    assert isinstance(goodbye, m.Goodbye)
    assert goodbye.code == Parting.REVOKED
    link.break_off("told")
    await eventually(lambda: held(cluster) == 0)


async def test_viewer_sees_every_node_whatever_worker_it_reached(cluster: Cluster) -> None:
    for name in ("web-1", "web-2"):
        (await (await cluster.member(name)).linked()).post(beat())
    viewer = await (await cluster.member("screen", VIEWER)).linked()
    viewer.post(m.Watch())
    seen: set[str] = set()
    while seen != {"web-1", "web-2"}:
        message = await answer(viewer)
        if isinstance(message, m.Snapshot):
            seen |= {info.name for info in message.infos}


async def test_viewer_that_does_not_read_is_bounded_and_ended(tmp_path: Path) -> None:
    patience = LinkSettings(write_timeout_s=1.0)
    async with running_cluster(tmp_path / "master", link=patience, through_worker=True) as cluster:
        assert cluster.worker is not None
        viewer = await (await cluster.member("screen", VIEWER)).linked()
        (session,) = cluster.parts.entry.viewers.roster
        piece = encode_frame(OF_TOMORROW, bytes(30_000))
        most_bytes = 0
        with trio.fail_after(20):
            while session.ended is None and not session.link.over:
                session.link.post_frames([piece])
                pending = [held.pending_bytes for held in cluster.worker.links.values()]
                most_bytes = max([most_bytes, *pending])
                await trio.sleep(0.01)
        assert session.ended == m.Goodbye(Parting.SLOW, "nothing was read for 1 s")
        assert 0 < most_bytes <= WINDOW_BYTES + len(piece) < PENDING_LIMIT_BYTES
        assert not viewer.over


async def test_slow_viewer_gets_everything_in_the_end(cluster: Cluster) -> None:
    viewer = await (await cluster.member("screen", VIEWER)).linked()
    (session,) = cluster.parts.entry.viewers.roster
    piece, number = encode_frame(OF_TOMORROW, bytes(20_000)), 200
    before_bytes = viewer.heard_bytes

    async def send() -> None:
        for _ in range(number):
            while not session.link.post_frames([piece]):
                await session.link.drain()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.sleep(0.5)
        with trio.fail_after(20):
            while viewer.heard_bytes - before_bytes < number * len(piece):
                list(await viewer.receive())


async def test_silent_stranger_is_cut_at_the_deadline_and_the_audit_tells(strict: Cluster) -> None:
    stream = await strict.tcp()
    with trio.fail_after(10):
        assert await stream.receive_some() == b""
    await eventually(lambda: "handshake-timeout" in strict.limits_hit())


async def test_silent_stranger_behind_tls_is_cut_at_the_same_deadline(strict: Cluster) -> None:
    link = await strict.stranger()
    with trio.fail_after(10):
        while await link.stream.receive_some():
            pass
    await eventually(lambda: "handshake-timeout" in strict.limits_hit())
    await eventually(lambda: held(strict) == 0)


async def test_strangers_flood_is_cut_at_the_budget_and_told_so(cluster: Cluster) -> None:
    stream = await cluster.tls(client_context(cluster.ca_pem))
    junk = encode_frame(OF_TOMORROW, bytes(1000))
    with trio.fail_after(10):
        for _ in range(2 * ENTRY_BYTES_LIMIT // len(junk)):
            if not stream.send_nowait(junk):
                break
    await eventually(lambda: bool(cluster.limits_hit() & {Violation.FLOOD, Violation.BAD_MESSAGE}))
    await eventually(lambda: held(cluster) == 0)


async def test_strangers_are_limited_and_members_have_a_reserve(strict: Cluster) -> None:
    member = await strict.member("web-1")
    link = await member.linked()
    for _ in range(40):
        await (await strict.tcp()).aclose()
    await eventually(lambda: bool({"handshakes-per-s", "connections"} & strict.limits_hit()))
    link.break_off("again")
    with trio.fail_after(10):
        await comes_back(member)


async def test_place_of_an_authenticated_peer_is_free_again(strict: Cluster) -> None:
    assert strict.worker is not None
    admission = strict.worker.admission
    member = await strict.member("web-1")
    await member.linked()
    await eventually(lambda: admission.waiting == 0)
    await trio.sleep(STRICT.handshake_timeout_s + 0.2)  # and its deadline does not hold any more
    assert held(strict) == 1


async def test_stranger_gets_the_ca_and_the_link_ends(cluster: Cluster) -> None:
    link = await cluster.stranger()
    assert isinstance(await ask(link, CA_REQUEST), m.Ca)
    link.break_off("seen")
    await eventually(lambda: held(cluster) == 0)
