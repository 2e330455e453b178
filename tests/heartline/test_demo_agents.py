"""Simulated agents on a real master: each fault looks to it as it would be."""

import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from agent.enrolment import Request, join_and_keep
from agent.identity import IdentityFolder
from heartline.demo import wire
from heartline.demo.agents import SimulatedAgent
from heartline.demo.hosts import fleet
from heartline.demo.plan import Fault, Kind, Plan
from heartline.demo.stage import Stage
from shared import messages as m
from shared.families import FAMILY_TYPES, decode_family
from shared.inventory import Inventory
from shared.liveness import State
from shared.metrics import FAMILIES, Core
from shared.paths import StateFolder
from shared.stream import SocketStream
from tests.eventually import eventually
from tests.network.cluster import Cluster, running_cluster

HOST = fleet(8, 1)[3]
"""A host with a file server, so that anything can happen to it."""

CUE_S = 60.0
"""Where on the demo's clock a fault begins on which a test gives the cue."""

WALL_S = 1_800_000_000.0


class CuedStage(Stage):
    """The demo's clock runs up to `CUE_S`, however long that takes, until the cue is given."""

    def __init__(self, plan: Plan, master: str) -> None:
        super().__init__(plan, trio.current_time(), WALL_S, master)
        self._ahead_s = 0.0
        self._cue = trio.Event()

    def cue(self) -> None:
        """Now it is `CUE_S`."""
        self._ahead_s = CUE_S - self.now_s()
        self._cue.set()

    def now_s(self) -> float:
        return super().now_s() + self._ahead_s

    async def until(self, at_s: float) -> None:
        if at_s >= CUE_S:
            await self._cue.wait()
        await trio.sleep(max(0.0, at_s - self.now_s()))


@asynccontextmanager
async def performance(root: Path, *faults: Fault) -> AsyncGenerator[tuple[Cluster, CuedStage]]:
    """A cluster with one simulated host, to which these faults happen."""
    folder = StateFolder(root / "agent")
    folder.ensure()
    async with running_cluster(root / "master") as cluster:
        token = await cluster.token()
        address = str(cluster.address)
        await join_and_keep(Request(str(folder.root), token.encode(), (address,), HOST.name))
        identities = IdentityFolder(folder)
        identity = identities.load()
        assert identity is not None
        stage = CuedStage(Plan(faults), address)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(SimulatedAgent(HOST, identities, identity, stage).run)
            yield cluster, stage
            stage.close()
            await stage.empty.wait()
            nursery.cancel_scope.cancel()


def fault(kind: Kind, *, at_s: float = CUE_S, lasts_s: float = 3600.0) -> Fault:
    return Fault(kind, at_s, lasts_s, (HOST.number,), 0)


async def test_host_is_up_with_labels_inventory_and_every_family(tmp_path: Path) -> None:
    async with performance(tmp_path) as (cluster, _):
        node = cluster.node(HOST.name)
        await eventually(lambda: node.liveness.state is State.UP and len(node.families) == 12)
        assert node.agent_labels == HOST.labels
        assert set(node.families) == set(FAMILIES) == set(FAMILY_TYPES)
        for name, seen in node.families.items():
            assert decode_family(name, seen.sample.data) is not None
        assert node.core is not None
        assert msgspec.msgpack.decode(node.core, type=Core).cpu_count == HOST.cpus
        assert node.inventory is not None
        assert msgspec.msgpack.decode(node.inventory, type=Inventory).hostname == HOST.name


async def test_killed_agent_is_lost_at_once_and_comes_back(tmp_path: Path) -> None:
    async with performance(tmp_path, fault(Kind.KILLED, lasts_s=0.5)) as (cluster, stage):
        await eventually(lambda: cluster.state(HOST.name) == State.UP)
        stage.cue()
        await eventually(lambda: cluster.state(HOST.name) == State.LOST)
        await eventually(lambda: cluster.state(HOST.name) == State.UP)


@pytest.mark.parametrize("kind", [Kind.STOPPED, Kind.REBOOTED], ids=lambda kind: kind.name)
async def test_stopped_agent_says_goodbye_and_comes_back(tmp_path: Path, kind: Kind) -> None:
    async with performance(tmp_path, fault(kind, lasts_s=0.5)) as (cluster, stage):
        await eventually(lambda: cluster.state(HOST.name) == State.UP)
        stage.cue()
        await eventually(lambda: cluster.state(HOST.name) == State.LEFT)
        await eventually(lambda: cluster.state(HOST.name) == State.UP)


@pytest.mark.parametrize("kind", [Kind.HUNG, Kind.CUT], ids=lambda kind: kind.name)
async def test_silent_agent_is_late_before_it_is_down(tmp_path: Path, kind: Kind) -> None:
    async with performance(tmp_path, fault(kind)) as (cluster, stage):
        await eventually(lambda: cluster.state(HOST.name) == State.UP)
        stage.cue()
        await eventually(lambda: cluster.state(HOST.name) != State.UP)
        told = [event.after for event in await cluster.events("state")]
        assert told[:2] == [State.UP, State.LATE]
        assert State.LOST not in told  # its link stands


async def test_host_that_is_not_switched_on_yet_is_never_seen(tmp_path: Path) -> None:
    absent = fault(Kind.ABSENT, at_s=-1.0, lasts_s=1.5)
    async with performance(tmp_path, absent) as (cluster, _):
        assert cluster.state(HOST.name) == State.NEVER_SEEN
        await eventually(lambda: cluster.state(HOST.name) == State.UP)


async def test_clone_takes_the_link_over(tmp_path: Path) -> None:
    async with performance(tmp_path, fault(Kind.CLONED)) as (cluster, stage):
        await eventually(lambda: cluster.state(HOST.name) == State.UP)
        stage.cue()
        await eventually(lambda: cluster.audit("session-replaced"))


async def test_stuck_file_server_is_reported_as_trouble(tmp_path: Path) -> None:
    async with performance(tmp_path, fault(Kind.STUCK, at_s=-40.0)) as (cluster, _):
        node = cluster.node(HOST.name)
        await eventually(lambda: node.troubles)
        (trouble,) = node.troubles
        assert (trouble.family, trouble.state) == ("filesystems", "stuck")
        assert trouble.age_s >= 40
        assert trouble.text == "no answer from /datasets"


async def test_all_say_goodbye_when_the_stage_closes(tmp_path: Path) -> None:
    async with performance(tmp_path) as (cluster, stage):
        await eventually(lambda: cluster.state(HOST.name) == State.UP)
        stage.close()
        with trio.fail_after(5):
            await stage.empty.wait()
        await eventually(lambda: cluster.state(HOST.name) == State.LEFT)


async def test_host_that_is_revoked_stays_away(tmp_path: Path) -> None:
    async with performance(tmp_path) as (cluster, stage):
        await eventually(lambda: cluster.state(HOST.name) == State.UP)
        session = cluster.node(HOST.name).session
        assert session is not None
        session.end(m.Parting.REVOKED, "by the operator")
        stage.is_over = True
        await eventually(stage.empty.is_set)


def connected() -> tuple[SocketStream, socket.socket]:
    """The agent's end and the master's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    theirs.settimeout(5)
    return SocketStream(ours), theirs


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux has such filters")
async def test_nothing_arrives_through_a_cut_cable_until_it_is_mended() -> None:
    stream, theirs = connected()
    with theirs:
        wire.cut(stream)
        theirs.sendall(b"are you there?")
        with trio.move_on_after(0.2):
            await stream.receive_some()
            pytest.fail("something arrived")
        assert unacknowledged(theirs)
        wire.mend(stream)
        with trio.fail_after(5):
            assert await stream.receive_some() == b"are you there?"
        stream.close()


async def test_reset_connection_ends_as_that_of_a_killed_process() -> None:
    stream, theirs = connected()
    with theirs:
        wire.reset(stream)
        with pytest.raises(ConnectionResetError):
            theirs.recv(1)


async def test_what_happens_to_a_closed_connection_happens_to_nothing() -> None:
    stream, theirs = connected()
    with theirs:
        stream.close()
        for happen in (wire.cut, wire.mend, wire.reset):
            happen(stream)


def unacknowledged(sock: socket.socket) -> int:
    """Segments that the other end's kernel has not confirmed: tcpi_unacked of tcp(7)."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    return int.from_bytes(info[24:28], sys.byteorder)


async def test_host_that_is_looked_at_beats_and_tells_its_processes_faster(tmp_path: Path) -> None:
    async with performance(tmp_path) as (cluster, _):
        node = cluster.node(HOST.name)
        await eventually(lambda: node.liveness.state is State.UP and node.session)
        assert node.families["processes"].sample.period_ms == 60_000
        session = node.session
        assert session is not None
        session.link.post(m.Attend(1_000, 2_000, 10_000))
        await eventually(lambda: node.families["processes"].sample.period_ms == 2_000)
        session.link.post(m.Attend(1_000, 2_000, 0))
