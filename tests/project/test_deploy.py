"""The service units and container files fit the program they run."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from heartline.exits import Exit
from shared.settings import AgentSettings

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
SYSUSERS = (ROOT / "deploy" / "systemd" / "heartline.sysusers.conf").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
units = pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)

OWN_VIEW_OF_FILES = {
    "BindPaths",
    "InaccessiblePaths",
    "PrivateDevices",
    "PrivateMounts",
    "PrivateTmp",
    "ProcSubset",
    "ProtectControlGroups",
    "ProtectHome",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "ProtectProc",
    "ProtectSystem",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "RootDirectory",
    "TemporaryFileSystem",
}
"""Settings that give a service a mount namespace of its own (systemd.exec(5))."""


def settings(path: Path) -> Mapping[str, list[str]]:
    """Every setting of a unit with its values, in order."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def seconds(value: str) -> float:
    assert value.isdigit(), f"{value} should be plain seconds"
    return float(value)


@units
def test_command_and_flags_of_a_unit_exist(path: Path) -> None:
    (command,) = settings(path)["ExecStart"]
    program, *arguments = command.split()
    assert program == "heartline"
    assert run_command([*arguments, "--help"]) == Exit.OK
    assert run_command([arguments[0], "--no-such-flag"]) == Exit.USAGE


def run_command(arguments: list[str]) -> int:
    return subprocess.run(
        [sys.executable, "-m", "heartline", *arguments],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=60,
    ).returncode


@units
def test_service_tells_systemd_how_it_goes_and_is_always_restarted(path: Path) -> None:
    unit = settings(path)
    assert unit["Type"] == ["notify"]
    assert unit["Restart"] == ["always"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert seconds(unit["WatchdogSec"][0]) > 0


def test_agent_that_is_refused_for_good_is_not_started_again() -> None:
    agent, master = map(settings, UNITS)
    assert agent["RestartPreventExitStatus"] == [f"{Exit.USAGE:d} {Exit.REFUSED:d}"]
    assert master["RestartPreventExitStatus"] == [f"{Exit.USAGE:d}"]


def test_agents_own_watchdog_comes_before_systemds() -> None:
    agent = settings(UNITS[0])
    assert seconds(agent["WatchdogSec"][0]) > AgentSettings().watchdog_s


@units
def test_service_can_gain_no_privilege_and_writes_to_its_state_folder_only(path: Path) -> None:
    unit = settings(path)
    assert unit["NoNewPrivileges"] == ["yes"]
    assert unit["CapabilityBoundingSet"] == [""]
    assert unit["StateDirectoryMode"] == ["0700"]
    (folder,) = unit["StateDirectory"]
    assert f"--data /var/lib/{folder}" in unit["ExecStart"][0]
    assert re.search(rf"^u {unit['User'][0]} .* /var/lib/{folder}$", SYSUSERS, re.MULTILINE)


def test_agent_sees_the_host_as_it_is() -> None:
    assert not OWN_VIEW_OF_FILES & settings(UNITS[0]).keys()


@units
def test_systemd_accepts_the_unit(path: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    copy = tmp_path / path.name
    text = path.read_text(encoding="utf-8")
    copy.write_text(text.replace("ExecStart=heartline", f"ExecStart={sys.executable} -m heartline"))
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(copy)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (verified.returncode, verified.stderr) == (0, "")


def test_image_holds_every_package_and_starts_the_command() -> None:
    copied = set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE))
    assert copied == {"agent", "heartline", "master", "shared", "tui"}
    assert 'ENTRYPOINT ["heartline"]' in DOCKERFILE
