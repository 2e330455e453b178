"""The agent's spool with real processes, a real disk and a real master: what was sampled while the
master was away is in its history afterwards, whatever became of the agent meanwhile."""

import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agent.spool_records import Sample, parse
from agent.spool_ring import segment_files
from shared import messages as m
from tests.eventually import eventually_in_processes
from tests.network.processes import DEADLINE_S, AgentProcess, MasterProcess

AGENT_WITH_HANGING_SPOOL = "tests.network.agent_with_hanging_spool"
FAR_MS = 2**50


@pytest.fixture
def master(tmp_path: Path) -> Iterator[MasterProcess]:
    with MasterProcess(tmp_path / "master") as master:
        yield master.start()


def spool_of(agent: AgentProcess) -> Path:
    return agent.root / "agent" / "spool"


def spooled(agent: AgentProcess) -> dict[tuple[str, int], Sample]:
    """What is on the agent's disk now."""
    content = b"".join([path.read_bytes() for path in segment_files(spool_of(agent))])
    samples = [each for each in parse(content) if isinstance(each, Sample)]
    return {(each.boot_id, each.sequence): each for each in samples}


def samples_from(master: MasterProcess, name: str, from_ms: int) -> m.Samples:
    answer = master.ask(
        lambda number: m.GetSamples(number, name, from_ms, FAR_MS, 10_000), m.Samples
    )
    assert isinstance(answer, m.Samples)
    return answer


def stored(master: MasterProcess, name: str) -> dict[tuple[str, int], m.StoredSample]:
    """What is in the master's history; each once."""
    found: dict[tuple[str, int], m.StoredSample] = {}
    from_ms = 0
    while True:
        answer = samples_from(master, name, from_ms)
        for each in answer.samples:
            assert (each.boot_id, each.sequence) not in found
            found[each.boot_id, each.sequence] = each
        if not answer.more:
            return found
        from_ms = answer.samples[-1].at_wall_ms + 1


def until_taken(agent: AgentProcess, before: set[tuple[str, int]], wanted: int) -> None:
    """Until so many samples are on the agent's disk that were not there before."""
    eventually_in_processes(
        lambda: len(set(spooled(agent)) - before) >= wanted, within_s=DEADLINE_S
    )


def troubles(master: MasterProcess, name: str) -> list[str]:
    return [each.text for each in master.vitals()[name].troubles if each.family == "spool"]


def assert_comes_back(
    master: MasterProcess, name: str, expected: dict[tuple[str, int], Sample]
) -> None:
    assert expected
    eventually_in_processes(lambda: set(expected) <= set(stored(master, name)), within_s=DEADLINE_S)
    found = stored(master, name)
    for key, sample in expected.items():
        assert bytes(found[key].core) == sample.core
    # Evenly, though the samples came in one message.
    times_ms = [found[key].at_wall_ms for key in sorted(expected)]
    taken_ms = [expected[key].boot_ms for key in sorted(expected)]
    for at_ms, boot_ms in zip(times_ms, taken_ms, strict=True):
        assert abs((at_ms - times_ms[0]) - (boot_ms - taken_ms[0])) < 1_000


def test_samples_of_a_killed_agent_are_replayed_by_the_next_one(
    master: MasterProcess, tmp_path: Path
) -> None:
    with AgentProcess(tmp_path / "agent", "web") as agent:
        agent.join(master)
        master.kill()
        before = set(spooled(agent))
        for wanted in (4, 5):  # the second run has no master that asks for more than its default
            until_taken(agent, before, wanted)
            agent.kill()
            agent.start()
        agent.kill()
        left = spooled(agent)
        runs: dict[int, list[int]] = {}
        for each in left.values():
            runs.setdefault(each.started_mono_ms, []).append(each.sequence)
        assert len(runs) >= 2
        for sequences in runs.values():
            assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
        agent.start()
        master.start()
        assert_comes_back(master, "web", left)
        assert agent.stop() == 0


def fill(ballast: Path) -> None:
    """Makes it as large as the disk lets it be."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))


@contextmanager
def tiny_disk(folder: Path) -> Generator[Path]:
    """A disk of sixteen kilobytes; a file on it that takes all of them."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount here")
    ballast = folder / "ballast"
    try:
        fill(ballast)
        yield ballast
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk_is_said_and_costs_no_sample(master: MasterProcess, tmp_path: Path) -> None:
    with AgentProcess(tmp_path / "agent", "web") as agent:
        agent.join(master)
        agent.stop()
        for path in segment_files(spool_of(agent)):
            path.unlink()
        spool_of(agent).rmdir()
        with tiny_disk(spool_of(agent)) as ballast:
            agent.start()
            master.until("web", "up")
            eventually_in_processes(lambda: troubles(master, "web"), within_s=DEADLINE_S)
            assert "No space left on device" in troubles(master, "web")[0]
            master.kill()
            eventually_in_processes(lambda: "link ended" in agent.said)
            ballast.unlink()
            # Now that there is room, what was in memory is written.
            eventually_in_processes(lambda: len(spooled(agent)) >= 4, within_s=2 * DEADLINE_S)
            agent.kill()
            left = spooled(agent)
            agent.start()
            master.start()
            assert_comes_back(master, "web", left)
            eventually_in_processes(lambda: not troubles(master, "web"))
            assert agent.said.count("the spool cannot use its disk") == 1
            agent.kill()


def test_disk_that_hangs_delays_no_beat(master: MasterProcess, tmp_path: Path) -> None:
    with AgentProcess(tmp_path / "agent", "web") as agent:
        agent.join(master)
        agent.stop()
        with (agent.root.with_name("hanging.stderr")).open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", AGENT_WITH_HANGING_SPOOL, "agent", "--data", agent.root],
                stdin=subprocess.DEVNULL,
                stderr=err,
                env=os.environ,
            )
        try:
            master.until("web", "up")
            known = len(stored(master, "web"))
            eventually_in_processes(
                lambda: len(stored(master, "web")) >= known + 8, within_s=DEADLINE_S
            )
            assert not {"late", "down", "lost"} & set(master.states_told("web")[-1:])
        finally:
            process.terminate()
            assert process.wait(DEADLINE_S) == 0
