"""Links that end at the moments at which nobody expects it: while they are begun, while something
is written, while the master ends."""

import socket
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from master import relay as r
from master.door import Established
from master.history.history import COMMIT_S
from master.opening import Peer
from master.relayed import RelayedStream
from shared import messages as m
from shared.liveness import State
from shared.messages import Parting
from shared.stream import SocketStream
from tests.eventually import eventually
from tests.master.assembled import HELLO, Assembled, assembled, beat
from tests.master.relayed_worker import relayed_worker


async def looked_at(master: Assembled, name: str) -> None:
    """A viewer has turned to the node: its agent is asked for more as soon as it links."""
    viewer = await master.viewer()
    viewer.link.post(m.FocusNode(master.node(name).node_id))
    await wait_all_tasks_blocked()


async def welcomed(master: Assembled, peer: Peer) -> tuple[Established, socket.socket]:
    """An agent with a real socket that has its welcome, and what follows."""
    near, far = socket.socketpair()
    far.send(m.encode(HELLO))
    established = await master.entry.open(SocketStream(near), peer)
    assert established is not None
    return established, far


async def test_agent_that_goes_between_its_welcome_and_the_first_request_is_lost(
    tmp_path: Path,
) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        await looked_at(master, "web")
        begin, sock = await welcomed(master, peer)
        sock.close()
        await begin()
        await eventually(lambda: not len(master.sessions.roster))
        assert master.state("web") is State.LOST
        assert master.node("web").session is None


async def test_agent_that_goes_before_its_welcome_has_never_been_there(tmp_path: Path) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        near, far = socket.socketpair()
        far.send(m.encode(HELLO))
        far.close()
        begin = await master.entry.open(SocketStream(near), peer)
        assert begin is not None
        await begin()
        await eventually(lambda: not len(master.sessions.roster))
        assert master.state("web") is State.NEVER_SEEN
        assert repr(master.context.readiness) == "<Readiness of 0 streams>"


async def test_link_that_breaks_while_something_is_written_is_lost_with_its_reason(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        session = master.node("web").session
        assert session is not None
        agent.wire.master.break_with("no route to host")
        session.ping(trio.current_time())
        assert master.state("web") is State.UP  # its writer is not the one to draw conclusions
        await wait_all_tasks_blocked()
        assert master.state("web") is State.LOST
        assert "no route to host" in master.node("web").liveness.reason
        assert len(master.sessions.roster) == 0


async def test_master_that_ends_as_a_link_breaks_ends_quietly(tmp_path: Path) -> None:
    async with assembled(tmp_path) as master:
        begin, sock = await welcomed(master, await master.enrol("web"))
        await begin()
        session = master.node("web").session
        assert session is not None
        sock.close()
        session.ping(trio.current_time())
        assert session.link.broken is not None
        session.abandon()  # before it could be learnt that the link is broken
        await wait_all_tasks_blocked()
        assert master.state("web") is State.JOINING


async def test_abandoned_link_is_closed_without_a_word(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        session = master.node("web").session
        assert session is not None
        for _ in range(2):
            session.abandon()
            await wait_all_tasks_blocked()
        received, how = await agent.rest()
        assert (received, how) == ([], "closed by the peer")
        assert master.state("web") is State.UP


async def test_goodbye_to_a_link_that_breaks_under_it_leaves_the_roster_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        agent = await master.beating("web")
        agent.wire.master.break_with("connection reset by peer")
        master.sessions.end(master.node("web"), Parting.REVOKED, "revoked")
        await trio.sleep(COMMIT_S)
        assert len(master.sessions.roster) == 0
        assert master.state("web") is State.UP


@pytest.mark.parametrize("is_live", [False, True])
async def test_flood_that_a_worker_tells_of_late_ends_its_agent_and_nobody_else(
    tmp_path: Path, is_live: bool
) -> None:
    async with assembled(tmp_path) as master, relayed_worker() as worker:
        steady = await master.beating("steady")
        stream, peer = await worker.open(), await master.enrol("web")
        await worker.say(r.DATA, 1, m.encode(HELLO))
        if is_live:
            await begun(master, stream, peer)
        await worker.say(r.FLOODED, 1, b"over 32768 bytes")
        if not is_live:
            await eventually(lambda: "over" in repr(stream))
            await begun(master, stream, peer)
        await eventually(lambda: master.state("web") is State.LOST)
        assert "over 32768 bytes" in master.node("web").liveness.reason
        assert trio.current_time() < master.node("web").shunned_until_s
        await steady.deliver(beat(2))
        assert master.state("steady") is State.UP


async def begun(master: Assembled, stream: RelayedStream, peer: Peer) -> None:
    established = await master.entry.open(stream, peer)
    assert established is not None
    await established()
