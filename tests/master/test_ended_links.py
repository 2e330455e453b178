"""What has ended is gone without a collector of cycles: a master's hardly ever runs, so whatever
waits for it is there for as long as the master."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from master.agent_session import AgentSession
from master.viewing import ViewerSession
from shared import messages as m
from tests.master.assembled import Assembled, assembled, beat

SWEPT_S = 120.0
"""The sweeper lets go of what has ended when its deadline would have come."""


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No cycle of objects is found while a test lasts."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive(kind: type[object]) -> int:
    return sum(type(each) is kind for each in gc.get_objects())


@pytest.mark.usefixtures("uncollected")
async def test_session_of_an_agent_is_gone_with_its_link(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        peer = await master.enrol("web")
        before = alive(AgentSession)
        for _ in range(3):
            agent = await master.agent(peer)
            await agent.ask(beat(), m.Ack)
            assert alive(AgentSession) == before + 1
            agent.link.break_off("killed")
            await trio.sleep(SWEPT_S)
            assert alive(AgentSession) == before


@pytest.mark.usefixtures("uncollected")
async def test_session_of_an_orphan_is_gone_with_its_worker(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        await master.beating("web")
        before = alive(AgentSession)
        orphan(master, "web")
        await trio.sleep(SWEPT_S)
        assert alive(AgentSession) == before - 1


def orphan(master: Assembled, name: str) -> None:
    """As the relay does when its worker is gone."""
    session = master.node(name).session
    assert session is not None
    session.orphaned("a worker of the master ended")


@pytest.mark.usefixtures("uncollected")
async def test_session_of_a_viewer_is_gone_with_its_link(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with assembled(tmp_path) as master:
        before = alive(ViewerSession)
        for _ in range(3):
            viewer = await master.viewer()
            viewer.link.post(m.Watch())
            await viewer.until(m.Snapshot)
            await viewer.ask(m.ListEvents(1, follow=True), m.Events)
            assert alive(ViewerSession) == before + 1
            viewer.link.break_off("closed")
            await trio.sleep(SWEPT_S)
            assert alive(ViewerSession) == before
