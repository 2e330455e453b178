"""End to end, with real processes: whoever is killed, every sample that was taken is in the history
exactly once."""

from collections.abc import Iterator
from itertools import groupby, pairwise
from operator import attrgetter
from pathlib import Path

import pytest
import trio

from master.history.queries import Queries
from master.history.taken import Sample
from shared.paths import StateFolder
from tests.eventually import eventually_in_processes
from tests.network.processes import DEADLINE_S, AgentProcess, MasterProcess, now_s

EVER_MS = 2**60


@pytest.fixture
def master(tmp_path: Path) -> Iterator[MasterProcess]:
    with MasterProcess(tmp_path / "master") as master:
        yield master.start()


def recorded(master: MasterProcess, name: str) -> list[Sample]:
    """All that is on disk of a node."""
    return recorded_at(master.root, master.vitals()[name].node_id)


def recorded_at(root: Path, node_id: str) -> list[Sample]:
    """The same, whether a master runs on the folder or not."""
    queries = Queries(StateFolder(root).history)
    return trio.run(queries.samples, node_id, -EVER_MS, EVER_MS, 1_000_000)


def is_whole(samples: list[Sample]) -> bool:
    """Of each run there is every number from its first on."""
    in_order = sorted(samples, key=attrgetter("boot_id", "started_mono_ms", "sequence"))
    runs = groupby(in_order, key=lambda each: (each.boot_id, each.started_mono_ms))
    return bool(samples) and all(
        [each.sequence for each in members]
        == list(range(started_ms + 1, started_ms + 1 + len(members)))
        for (_, started_ms), found in runs
        if (members := list(found))
    )


def wait(for_s: float) -> None:
    began_s = now_s()
    eventually_in_processes(lambda: now_s() - began_s >= for_s)


def until_all_came(master: MasterProcess, name: str, since_ms: int) -> list[Sample]:
    """What is on disk when nothing is missing any more, with live samples since then."""

    def is_there() -> bool:
        samples = recorded(master, name)
        return is_whole(samples) and any(
            each.at_wall_ms > since_ms and not each.is_late for each in samples
        )

    eventually_in_processes(is_there, within_s=3 * DEADLINE_S)
    return recorded(master, name)


def newest_ms(master: MasterProcess, name: str) -> int:
    return max((each.at_wall_ms for each in recorded(master, name)), default=0)


def test_samples_taken_while_the_master_is_killed_arrive_exactly_once(
    master: MasterProcess, tmp_path: Path
) -> None:
    away_s = 4
    with AgentProcess(tmp_path / "agent", "web") as agent:
        agent.join(master)
        eventually_in_processes(lambda: len(recorded(master, "web")) >= 3)
        for _ in range(2):
            before_ms = newest_ms(master, "web")
            master.kill()
            wait(away_s)
            master.start()
            until_all_came(master, "web", before_ms + 1000 * away_s)
        samples = sorted(recorded(master, "web"), key=attrgetter("sequence"))
        assert len({each.sequence for each in samples}) == len(samples)
        assert sum(each.is_late for each in samples) >= 4
        apart_ms = [after.at_wall_ms - before.at_wall_ms for before, after in pairwise(samples)]
        assert all(0 < each_ms < 1000 * away_s for each_ms in apart_ms), apart_ms


def test_samples_of_a_killed_agent_come_with_the_next_one(
    master: MasterProcess, tmp_path: Path
) -> None:
    with AgentProcess(tmp_path / "agent", "web") as agent:
        agent.join(master)
        eventually_in_processes(lambda: len(recorded(master, "web")) >= 2)
        first_run = recorded(master, "web")[0].started_mono_ms
        master.kill()
        wait(4)
        agent.kill()
        agent.start()
        wait(2)
        master.start()

        def late() -> list[Sample]:
            samples = recorded(master, "web")
            assert len({each.sequence for each in samples}) == len(samples)
            late = [each for each in samples if each.is_late] if is_whole(samples) else []
            return [each for each in late if each.started_mono_ms == first_run]

        eventually_in_processes(lambda: len(late()) >= 3, within_s=3 * DEADLINE_S)
        next_runs = [each for each in recorded(master, "web") if each.started_mono_ms > first_run]
        assert min(each.at_wall_ms for each in next_runs) > max(each.at_wall_ms for each in late())


def test_master_that_is_stopped_leaves_everything_on_disk(
    master: MasterProcess, tmp_path: Path
) -> None:
    with AgentProcess(tmp_path / "agent", "web") as agent:
        agent.join(master)
        eventually_in_processes(lambda: len(recorded(master, "web")) >= 3)
        node_id = master.vitals()["web"].node_id
        master.stop()
        before = recorded_at(master.root, node_id)
        assert is_whole(before)
        master.start()
        until_all_came(master, "web", before[-1].at_wall_ms + 2_000)
