"""A master with workers, as real processes: they come and go, and no node is wrongly said to."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psutil
import pytest

from heartline.control import Control
from shared import messages as m
from shared.paths import StateFolder
from tests.eventually import eventually_in_processes
from tests.network.processes import DEADLINE_S, AgentProcess, MasterProcess

AGENTS: Final = 4


class Site:
    """A master with two workers, and agents that are up."""

    def __init__(self, root: Path, stack: ExitStack, period_s: float) -> None:
        self.master = stack.enter_context(
            MasterProcess(root / "master", workers=2, period_s=period_s)
        )
        self.master.start()
        self.agents = [
            stack.enter_context(AgentProcess(root / f"agent-{number}", f"node-{number}"))
            for number in range(AGENTS)
        ]
        for agent in self.agents:
            agent.join(self.master)

    @property
    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.master.process.pid).children()

    def holding(self) -> list[psutil.Process]:
        """The workers that hold a link."""
        return [each for each in self.workers if _established(each)]

    def events(self, kind: str) -> list[m.Event]:
        answer = self.master.ask(lambda number: m.ListEvents(number, 500), m.Events)
        return [event for event in answer.events if event.event == kind]

    def all_up(self) -> bool:
        return set(self.master.states().values()) == {"up"}

    def wait_all_up(self) -> None:
        eventually_in_processes(self.all_up, within_s=DEADLINE_S)

    def false_states(self) -> set[str]:
        """What was said of nodes whose agents have lived throughout."""
        return {event.after for event in self.events("state")} - {"up"}


def _established(process: psutil.Process) -> int:
    return sum(each.status == psutil.CONN_ESTABLISHED for each in process.net_connections("tcp"))


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """Its agents beat every second, or as often as the test asks for."""
    with ExitStack() as stack:
        yield Site(tmp_path, stack, getattr(request, "param", 1.0))


def test_agents_join_and_live_through_workers_and_the_operator_sees_them(site: Site) -> None:
    assert len(site.workers) == 2
    assert site.holding()
    assert _established(psutil.Process(site.master.process.pid)) <= 2  # the canary's own
    assert set(site.master.states()) == {f"node-{number}" for number in range(AGENTS)}
    assert site.all_up()


@pytest.mark.parametrize("site", [10.0], indirect=True)  # a busy machine may take some seconds
def test_killed_worker_is_replaced_and_its_nodes_are_back_without_a_false_word(site: Site) -> None:
    victims = site.workers
    for victim in victims:
        victim.kill()
    eventually_in_processes(lambda: len(site.events("worker-ended")) == 2, within_s=DEADLINE_S)
    site.wait_all_up()
    assert site.false_states() == set()
    assert not site.events("outage")
    told = [event.text for event in site.events("worker-ended")]
    assert all("SIGKILL" in text for text in told)
    assert not {each.pid for each in site.workers} & {each.pid for each in victims}


def test_stopped_worker_is_killed_and_nothing_is_held_against_its_nodes(site: Site) -> None:
    stopped = site.holding()
    for each in stopped:
        each.send_signal(signal.SIGSTOP)
    began_s = time.monotonic()
    eventually_in_processes(
        lambda: len(site.events("worker-ended")) == len(stopped), within_s=2 * DEADLINE_S
    )
    assert time.monotonic() - began_s > 5  # long enough for a node to be late and hung and down
    site.wait_all_up()
    assert site.false_states() == set()
    eventually_in_processes(lambda: site.events("outage"), within_s=2 * DEADLINE_S)  # when judged
    # Of more than a few nodes in one event: "… were away while the master was".
    told = [event.text for event in site.events("outage")]
    assert all("the master was away" in text or "while the master was" in text for text in told)


def test_master_stops_in_order_and_leaves_no_worker_behind(site: Site) -> None:
    workers = site.workers
    assert site.master.stop() == 0
    assert not any(each.is_running() for each in workers)
    eventually_in_processes(
        lambda: all("the master is stopping" in agent.said for agent in site.agents)
    )


def test_killed_master_leaves_no_worker_behind_and_its_agents_find_the_next(site: Site) -> None:
    workers = site.workers
    site.master.kill()
    _, alive = psutil.wait_procs(workers, timeout=DEADLINE_S)
    assert not alive
    site.master.start()
    site.wait_all_up()


def test_workers_leave_the_terminals_signals_to_the_master(site: Site) -> None:
    workers = site.workers
    for each in workers:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            each.send_signal(number)
    site.master.ask(lambda number: m.ListEvents(number, 1), m.Events)
    assert [each.pid for each in site.workers] == [each.pid for each in workers]
    assert site.all_up()
    assert not site.events("worker-ended")


def test_killed_agent_is_lost_at_once_through_a_worker_too(site: Site) -> None:
    site.agents[0].kill()
    site.master.until("node-0", "lost", "down")
    assert site.master.states_told("node-0")[:2] == ["up", "lost"]


def test_stopped_agent_is_hung_by_what_its_worker_sees(site: Site) -> None:
    site.agents[0].signal(signal.SIGSTOP)
    site.master.until("node-0", "hung")
    os.kill(site.agents[0].process.pid, signal.SIGCONT)
    site.master.until("node-0", "up")


def test_port_that_another_master_shares_is_taken(site: Site, tmp_path: Path) -> None:
    other = MasterProcess(tmp_path / "other", workers=2)
    other.listen = site.master.listen
    with other, pytest.raises(AssertionError, match="already in use"):
        other.start()
    assert len(site.workers) == 2


def test_operators_socket_is_answered_by_the_master_itself(site: Site) -> None:
    workers = site.workers
    for each in workers:
        each.suspend()
    try:
        with Control.open(StateFolder(site.master.root)) as control:
            pieces = control.snapshot()
    finally:
        for each in workers:
            each.resume()  # or nothing tells them that their master has ended
    assert sum(len(piece.infos) for piece in pieces) == AGENTS
