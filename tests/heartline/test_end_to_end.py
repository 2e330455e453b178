"""The command line with real processes: a master, agents, and what people do with them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from heartline.control import Control
from heartline.exits import Exit
from shared.liveness import State
from shared.paths import StateFolder

DEADLINE_S = 20.0
START_S = 3.0
"""What the command promises, from nothing to the first beat."""

LOOPBACK = ("--listen", "127.0.0.1:0")


def program(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "heartline", *map(str, arguments)]


def run(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        program(*arguments),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def output_of(*arguments: str | Path) -> Any:
    done = run(*arguments, "--json")
    assert done.returncode == Exit.OK, done.stderr
    return json.loads(done.stdout)


def wait_until(condition: Callable[[], bool]) -> None:
    """Looks again and again; only the deadline is a matter of time."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "did not happen in time"
        time.sleep(0.02)


def states(root: Path) -> dict[str, str]:
    """The nodes' states by name."""
    with Control.open(StateFolder(root)) as control:
        pieces = control.snapshot()
    names = {info.node_id: info.name for piece in pieces for info in piece.infos}
    return {names[each.node_id]: each.state for piece in pieces for each in piece.vitals}


@contextmanager
def started(*arguments: str | Path) -> Generator[subprocess.Popen[str]]:
    """A program that runs until the end of the block, and is killed if it does not stop then."""
    with subprocess.Popen(
        program(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(DEADLINE_S)
                except subprocess.TimeoutExpired:
                    process.kill()


@contextmanager
def up(root: Path) -> Generator[subprocess.Popen[str]]:
    """`heartline up --headless`, once it has said that the node is up."""
    with started("up", "--headless", "--data", root, *LOOPBACK) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "node is up" in line:
                break
        yield process


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes: Sequence[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=DEADLINE_S)[1]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("state")
    with up(folder):
        yield folder


def test_a_new_installation_beats_within_three_seconds_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    began_s = time.monotonic()
    with up(tmp_path) as process:
        took_s = time.monotonic() - began_s
        assert list(states(tmp_path).values()) == [State.UP]
        left = children(process)
        assert len(left) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == Exit.OK
    assert gone(left)
    assert not StateFolder(tmp_path).master_json.exists()
    assert took_s < START_S


def test_a_second_start_needs_no_enrolment(tmp_path: Path) -> None:
    for _ in range(2):
        with up(tmp_path):
            assert list(states(tmp_path).values()) == [State.UP]


def test_what_runs_already_is_used_and_left_alone(root: Path) -> None:
    with started("up", "--headless", "--data", root) as second:
        assert second.stdout is not None
        said = [next(second.stdout) for _ in range(2)]
        assert "a master runs on" in said[0]
        assert "agent runs already" in said[1]
        assert not children(second)
        second.send_signal(signal.SIGTERM)
        assert second.wait(DEADLINE_S) == Exit.OK
    assert list(states(root).values()) == [State.UP]


def test_killed_outright_it_takes_its_children_along(tmp_path: Path) -> None:
    with up(tmp_path) as process:
        left = children(process)
        process.kill()
    assert gone(left)


def test_a_killed_master_is_started_again_and_its_node_comes_back(tmp_path: Path) -> None:
    with up(tmp_path) as process:
        running = StateFolder(tmp_path).master_json
        first = json.loads(running.read_bytes())["pid"]
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: json.loads(running.read_bytes())["pid"] != first)
        wait_until(lambda: list(states(tmp_path).values()) == [State.UP])
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=DEADLINE_S)
    assert "master ended: killed by SIGKILL; starting it again" in said


def test_another_host_joins_is_labelled_revoked_and_forgotten(root: Path, tmp_path: Path) -> None:
    created = output_of("token", "create", "--data", root)
    listen = json.loads((root / "master.json").read_bytes())["listen"]
    token_file = tmp_path / "token"
    token_file.write_text(created["token"] + "\n")
    joining = ("--join-file", token_file, "--master", listen[0], "--name", "second")
    with started("agent", "--data", tmp_path / "state", *joining) as agent:
        wait_until(lambda: states(root).get("second") == State.UP)
        assert run("node", "label", "sec", "rack=b7", "--data", root).returncode == Exit.OK
        shown = output_of("node", "show", "second", "--data", root)
        assert shown["labels"] == {"rack": "b7"}
        assert shown["inventory"]["hostname"] == socket.gethostname()
        revoked = run("node", "revoke", "second", "--yes", "--data", root)
        assert revoked.returncode == Exit.OK, revoked.stderr
        assert agent.wait(DEADLINE_S) == Exit.REFUSED
        assert agent.stderr is not None
        last_line = agent.stderr.read().splitlines()[-1]
    assert last_line.startswith("heartline: ")
    assert "revoked" in last_line
    assert states(root)["second"] == State.REVOKED
    assert run("node", "forget", "second", "--yes", "--data", root).returncode == Exit.OK
    assert "second" not in states(root)


def test_nodes_hold_the_fields_that_scripts_are_promised(root: Path) -> None:
    (node,) = output_of("nodes", "--data", root)
    promised = {"id", "name", "state", "since", "reason", "address", "labels", "last_seen_s"}
    assert promised <= node.keys()
    assert node["state"] == State.UP
    assert 0 <= node["last_seen_s"] < 60


def test_events_are_followed_while_they_happen(root: Path) -> None:
    with started("events", "--follow", "--json", "--limit", "1", "--data", root) as follower:
        assert follower.stdout is not None
        latest = json.loads(next(follower.stdout))
        output_of("token", "create", "--data", root)
        created = json.loads(next(follower.stdout))
    assert created["event"] == "token-created"
    assert created["number"] == latest["number"] + 1


def test_a_used_up_token_is_refused_for_good(root: Path, tmp_path: Path) -> None:
    token = output_of("token", "create", "--data", root)
    assert run("token", "revoke", token["token_id"], "--data", root).returncode == Exit.OK
    listen = json.loads((root / "master.json").read_bytes())["listen"]
    arguments = ("agent", "--data", tmp_path / "state", "--join", "-", "--master", listen[0])
    refused = run(*arguments, stdin=token["token"])
    assert refused.returncode == Exit.REFUSED
    assert len(refused.stderr.splitlines()) == 1


def test_a_healthy_installation_passes_the_doctor(root: Path) -> None:
    done = run("doctor", "--json", "--data", root)
    findings = json.loads(done.stdout)
    assert [each for each in findings if each["verdict"] == "problem"] == []
    assert done.returncode == Exit.OK
    assert {"master", "identity", "reachability", "clock"} <= {each["check"] for each in findings}


def test_two_masters_on_one_folder_are_refused_in_one_line(root: Path) -> None:
    refused = run("master", "--data", root, *LOOPBACK)
    assert refused.returncode == Exit.FAILED
    assert refused.stderr.count("\n") == 1
    assert str(root) in refused.stderr


def test_a_taken_port_is_refused_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = run("up", "--headless", "--data", tmp_path, "--listen", address)
    assert refused.returncode == Exit.FAILED
    assert address in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_an_agent_that_has_not_joined_says_how_to(tmp_path: Path) -> None:
    refused = run("agent", "--data", tmp_path)
    assert refused.returncode != Exit.OK
    assert "--join" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_setting_that_cannot_be_used_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "heartline.toml").write_text("[master]\nperiod = 5\n")
    refused = run("master", "--data", tmp_path, *LOOPBACK)
    assert refused.returncode == Exit.USAGE
    assert refused.stderr.count("\n") == 1
    assert "did you mean master.period_s?" in refused.stderr
