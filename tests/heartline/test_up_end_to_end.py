"""`heartline up` with real processes: what it starts, and what it leaves behind."""

import json
import os
import select
import signal
import socket
import subprocess
import termios
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heartline.exits import Exit
from shared.liveness import State
from shared.paths import StateFolder
from tests.heartline.processes import (
    DEADLINE_S,
    LOOPBACK,
    children,
    gone,
    nodes_with_a_past,
    program,
    run,
    started,
    states,
    up,
    wait_until,
)


def test_a_new_installation_beats_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with up(tmp_path) as process:
        assert list(states(tmp_path).values()) == [State.UP]
        left = children(process)
        assert len(left) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == Exit.OK
    assert gone(left)
    assert not StateFolder(tmp_path).master_json.exists()
    assert nodes_with_a_past(tmp_path) == 1


def test_a_second_start_needs_no_enrolment(tmp_path: Path) -> None:
    for _ in range(2):
        with up(tmp_path):
            assert list(states(tmp_path).values()) == [State.UP]


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


@pytest.mark.parametrize("how", [b"q", signal.SIGTERM])
def test_leaving_the_dashboard_stops_what_was_started(
    tmp_path: Path, how: bytes | signal.Signals
) -> None:
    ours, theirs = os.openpty()
    before = termios.tcgetattr(theirs)
    with subprocess.Popen(
        program("up", "--data", tmp_path, *LOOPBACK),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
    ) as process:
        try:
            read_until(ours, socket.gethostname().encode())
            left = children(process)
            if isinstance(how, bytes):
                os.write(ours, how)
            else:
                process.send_signal(how)
            with drained(ours):
                assert process.wait(DEADLINE_S) == Exit.OK
        finally:
            process.kill()
    assert len(left) == 2
    assert gone(left)
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


def test_a_taken_port_is_refused_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = run("up", "--headless", "--data", tmp_path, "--listen", address)
    assert refused.returncode == Exit.FAILED
    assert address in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_what_runs_already_is_used_and_left_alone(tmp_path: Path) -> None:
    with up(tmp_path), started("up", "--headless", "--data", tmp_path) as second:
        assert second.stdout is not None
        said = [next(second.stdout) for _ in range(2)]
        assert "a master runs on" in said[0]
        assert "agent runs already" in said[1]
        assert not children(second)
        second.send_signal(signal.SIGTERM)
        assert second.wait(DEADLINE_S) == Exit.OK
        assert list(states(tmp_path).values()) == [State.UP]


def read_until(descriptor: int, wanted: bytes) -> None:
    """Reads a terminal's output until it shows what is wanted."""
    shown = b""
    deadline_s = time.monotonic() + DEADLINE_S
    while wanted not in shown:
        readable, _, _ = select.select([descriptor], [], [], deadline_s - time.monotonic())
        assert readable, shown
        shown += os.read(descriptor, 65536)


@contextmanager
def drained(descriptor: int) -> Generator[None]:
    """Reads what a terminal shows, so that whoever writes to it is not held up."""
    over, tell_over = os.pipe()

    def drain() -> None:
        while over not in (readable := select.select([descriptor, over], [], [])[0]):
            assert readable
            os.read(descriptor, 65536)

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        yield
    finally:
        os.close(tell_over)
        thread.join(DEADLINE_S)
        os.close(over)
