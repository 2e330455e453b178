"""`heartline demo` with real processes: what it shows, and what it leaves behind."""

import signal
import subprocess
from pathlib import Path

import pytest

from heartline.exits import Exit
from shared.liveness import State
from tests.heartline.processes import (
    DEADLINE_S,
    children,
    gone,
    nodes_with_a_past,
    output_of,
    program,
    run,
    started,
    states,
    wait_until,
)


def test_simulated_fleet_is_looked_at_with_every_other_command(tmp_path: Path) -> None:
    arguments = ("demo", "--headless", "--nodes", "12", "--seed", "5", "--data", tmp_path)
    with started(*arguments) as process:
        assert process.stdout is not None
        said = [next(process.stdout) for _ in range(3)]
        assert "12 simulated hosts" in said[0]
        assert "12 hosts joined" in said[1]
        assert "12 hosts begin to beat" in said[2]
        wait_until(lambda: list(states(tmp_path).values()).count(State.UP) >= 10)
        shown = output_of("node", "show", "web-01.fra", "--data", tmp_path)
        assert shown["labels"] == {"rack": "fra-r1", "role": "web", "site": "fra"}
        assert shown["inventory"]["os"].startswith("Debian")
        assert set(shown["families"]) >= {"cpu", "processes", "connections", "routes"}
        left = children(process)
        assert len(left) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == Exit.OK
    assert gone(left)
    assert nodes_with_a_past(tmp_path) >= 10
    with started(*arguments) as process:
        assert process.stdout is not None
        said = [next(process.stdout) for _ in range(2)]
        assert "12 hosts begin to beat" in said[1]


def test_demo_without_a_folder_leaves_none_and_ends_in_time() -> None:
    with subprocess.Popen(
        program("demo", "--headless", "--nodes", "1", "--duration", "2"),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        folder = Path(next(process.stdout).split("state folder ")[1].strip())
        assert folder.is_dir()
        assert process.wait(DEADLINE_S) == Exit.OK
    assert not folder.exists()


def test_next_demo_removes_what_a_killed_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with started("demo", "--headless", "--nodes", "1") as process:
        assert process.stdout is not None
        next(process.stdout)
        left = children(process)
        (folder,) = tmp_path.iterdir()
        process.kill()
        process.wait(DEADLINE_S)
    assert gone(left)
    assert folder.is_dir()
    with started("demo", "--headless", "--nodes", "1") as process:
        assert process.stdout is not None
        next(process.stdout)
        assert not folder.exists()


def test_killed_demo_takes_its_fleet_along(tmp_path: Path) -> None:
    with started("demo", "--headless", "--nodes", "1", "--data", tmp_path) as process:
        assert process.stdout is not None
        next(process.stdout)
        wait_until(lambda: len(children(process)) == 2)
        left = children(process)
        process.kill()
    assert gone(left)


@pytest.mark.parametrize(
    "arguments", [("--nodes", "0"), ("--nodes", "200000"), ("--duration", "0")]
)
def test_what_cannot_be_played_is_refused(arguments: tuple[str, ...]) -> None:
    refused = run("demo", "--headless", *arguments)
    assert refused.returncode == Exit.USAGE


def test_without_a_terminal_it_says_how_to_run() -> None:
    refused = run("demo")
    assert refused.returncode == Exit.USAGE
    assert "--headless" in refused.stderr
