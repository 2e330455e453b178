"""An agent's process loads what an agent needs: every module is resident on every host."""

import subprocess
import sys

import pytest

LOADED = "import sys, {module}; print(*sorted(sys.modules))"


def loaded_by(module: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "costly", ["asyncio", "click", "cryptography", "httpx", "rich", "sqlite3", "textual"]
)
def test_agents_daemon_does_not_load(costly: str) -> None:
    assert costly not in loaded_by("agent.daemon")


@pytest.mark.parametrize("foreign", ["agent.daemon", "master.daemon", "textual", "trio"])
def test_command_line_loads_no_program_before_it_runs_one(foreign: str) -> None:
    assert foreign not in loaded_by("heartline.main")


def test_dashboard_runs_without_trio() -> None:
    assert "trio" not in loaded_by("tui.app")
