"""The past with real processes: what was, how complete it is, and a master restored from a
backup."""

import csv
import io
import json
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from heartline.exits import Exit
from shared.liveness import State
from shared.metrics import Core
from tests.heartline.processes import (
    DEADLINE_S,
    LOOPBACK,
    output_of,
    program,
    run,
    started,
    states,
    up,
    wait_until,
)

FAST = "[master]\nperiod_s = 1\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder whose master and agent have run for some seconds and still do."""
    folder = tmp_path_factory.mktemp("state")
    (folder / "heartline.toml").write_text(FAST)
    with up(folder):
        wait_until(lambda: stored(folder) >= 4)
        yield folder


def stored(folder: Path) -> int:
    """Samples in the history, of all nodes."""
    return sum(span["stored"] for span in output_of("coverage", "--data", folder))


def test_nodes_of_an_instant_are_shown_like_those_of_now(root: Path) -> None:
    (now,) = output_of("nodes", "--data", root)
    (then,) = output_of("nodes", "--at", "1s", "--data", root)
    assert list(then) == [*now, "sample_wall_ms"]
    assert then["state"] == State.UP
    assert then["core"].keys() == now["core"].keys()
    assert then["core"]["uptime_s"] <= now["core"]["uptime_s"]
    assert abs(time.time() * 1000 - then["sample_wall_ms"]) < 60_000
    shown = run("nodes", "--at", "-1s", "--data", root)
    assert shown.returncode == Exit.OK
    title, _, line = shown.stdout.splitlines()
    assert title.startswith("as of 20")
    assert line.startswith("up")


def test_before_there_was_a_node_there_was_none(root: Path) -> None:
    assert output_of("nodes", "--at", "1d", "--data", root) == []
    assert run("nodes", "--at", "1d", "--data", root).stdout.endswith("the history begins later\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nodes", "--at", "soon"), "names no instant"),
        (("nodes", "--at", "2100-01-01"), "still to come"),
        (("coverage", "nobody"), "no node 'nobody'"),
        (("coverage", "--since", "1h", "--until", "2h"), "ends before it begins"),
        (("export",), "name nodes, or give --all"),
        (("export", "nobody"), "no node 'nobody'"),
        (("export", "--all", "--from", "1h", "--to", "2h"), "--from is not before --to"),
    ],
    ids=[
        "at-soon",
        "at-the-future",
        "coverage-of-nobody",
        "coverage-backwards",
        "export-of-none",
        "export-of-nobody",
        "export-backwards",
    ],
)
def test_questions_that_make_no_sense_are_answered_in_a_line(
    root: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = run(*arguments, "--data", root)
    assert done.returncode not in {Exit.OK, Exit.UNREACHABLE}
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_coverage_holds_the_fields_that_scripts_are_promised(root: Path) -> None:
    (span,) = output_of("coverage", "--data", root)
    promised = {"node", "from", "to", "expected", "stored", "late", "lost", "never_collected"}
    assert promised <= span.keys()
    assert span["stored"] >= 4
    assert span["expected"] == sum(
        span[kind] for kind in ("stored", "lost", "never_collected", "awaited")
    )
    assert span["from"].endswith("Z")
    by_day = output_of("coverage", span["node"], "--since", "3d", "--days", "--data", root)
    assert len(by_day) == 4
    assert sum(day["stored"] for day in by_day) >= span["stored"]
    assert all(one["to"] == other["from"] for one, other in pairwise(by_day))
    assert "COVERED" in run("coverage", "--data", root).stdout


def test_export_writes_what_is_stored(root: Path, tmp_path: Path) -> None:
    name = output_of("nodes", "--data", root)[0]["name"]
    least = stored(root)
    lines = list(csv.DictReader(io.StringIO(run("export", name, "--data", root).stdout)))
    assert len(lines) >= least
    numbers = [int(line["sequence"]) for line in lines]
    assert numbers == sorted(set(numbers))
    assert set(Core.__struct_fields__) < set(lines[0])
    file = tmp_path / "samples.jsonl"
    done = run("export", "--all", "--format", "jsonl", "--output", file, "--data", root)
    assert (done.returncode, done.stdout) == (Exit.OK, "")
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [record["sequence"] for record in records][: len(numbers)] == numbers
    metrics = run("export", "--all", "--format", "openmetrics", "--data", root).stdout
    assert metrics.startswith("# TYPE heartline_cpu_")
    assert metrics.endswith("# EOF\n")


def test_export_that_is_interrupted_leaves_no_file(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "samples.csv"
    command = program("export", "--all", "--format", "openmetrics", "--output", file)
    with subprocess.Popen(
        [*command, "--data", str(root)], stderr=subprocess.PIPE, text=True
    ) as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE_S)
    assert process.returncode != Exit.OK or file.read_text().endswith("# EOF\n")
    assert [each.name for each in tmp_path.iterdir()] in ([], [file.name])


def test_master_restored_from_a_backup_is_itself_again(tmp_path: Path) -> None:
    folder, backup = tmp_path / "state", tmp_path / "backup.tar"
    folder.mkdir(mode=0o700)
    (folder / "heartline.toml").write_text(FAST)
    with up(folder):
        wait_until(lambda: stored(folder) >= 3)
        done = run("backup", backup, "--data", folder)
        assert done.returncode == Exit.OK, done.stderr
        assert done.stdout.startswith(f"wrote {backup}: ")
        assert "the cluster's key" in done.stderr
        assert backup.stat().st_mode & 0o777 == 0o600
        kept = stored(folder)
        again = run("backup", backup, "--data", folder)
        assert again.returncode == Exit.FAILED
        assert "File exists" in again.stderr
        (name,) = states(folder)
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []
    restored = tmp_path / "restored"
    restored.mkdir(mode=0o700)
    with tarfile.open(backup) as tar:
        tar.extractall(restored, filter="tar")
    with started("master", "--data", restored, *LOOPBACK) as master:
        assert master.stdout is not None
        master.stdout.readline()
        assert name in states(restored)
        assert 3 <= stored(restored) <= kept
        lines = run("export", name, "--format", "jsonl", "--data", restored).stdout.splitlines()
        assert len(lines) == stored(restored)


def test_backup_says_why_there_is_none(root: Path, tmp_path: Path) -> None:
    done = run("backup", tmp_path / "nowhere" / "b.tar", "--data", root)
    assert done.returncode == Exit.FAILED
    assert "no backup to" in done.stderr
    assert "No such file or directory" in done.stderr
