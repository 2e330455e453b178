"""`heartline top --once`: a table or JSON, and the worst state as the exit code; of a master, or of
a recording."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from heartline.exits import MEANINGS, Exit
from heartline.glance import worst
from heartline.main import main
from shared import messages as m
from shared.liveness import State
from tests.heartline.fake_master import FakeMaster
from tests.tui.fleets import MONO_MS, info, vitals
from tui.recording import Recorder

Run = Callable[..., tuple[int, str, str]]

WALL_MS = 1_795_000_000_000


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = main(["top", "--once", *map(str, arguments), "--data", str(tmp_path)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def snapshot(states: Mapping[str, str]) -> m.Snapshot:
    labels = {name: {"role": name.partition("-")[0]} for name in states}
    return m.Snapshot(
        MONO_MS,
        tuple(info(name, labels=labels[name]) for name in states),
        tuple(vitals(name, state) for name, state in states.items()),
        last=True,
    )


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The states of a fake master's nodes, by name; a test may change them."""
    states: dict[str, str] = {"web-1": State.UP, "db-1": State.LATE}

    def answer(message: m.FromClient) -> Iterable[m.FromMaster]:
        if isinstance(message, m.Watch):
            yield snapshot(states)

    with FakeMaster(tmp_path, answer):
        yield states


def recorded(path: Path, *messages: m.FromMaster) -> Path:
    recorder = Recorder.create(path, limit_bytes=10**6, began_s=0.0, began_wall_ms=WALL_MS)
    for second, message in enumerate(messages, 1):
        recorder.heard(message, float(second))
    recorder.close(60.0)
    return path


def test_fleet_is_summed_up_and_listed_problems_first(fleet: dict[str, str], run: Run) -> None:
    code, out, _ = run()
    lines = out.splitlines()
    assert lines[0] == "2 nodes: 1 late, 1 up"
    assert lines[2].split()[:2] == ["STATE", "NAME"]
    assert [line.split()[:2] for line in lines[3:]] == [["late", "db-1"], ["up", "web-1"]]
    assert code == Exit.UNSETTLED


def test_json_is_that_of_nodes(fleet: dict[str, str], run: Run) -> None:
    code, out, _ = run("--json")
    late, up = json.loads(out)
    assert (late["name"], late["state"]) == ("db-1", "late")
    assert up["core"]["cpu_busy_bp"] == 1_230
    assert code == Exit.UNSETTLED


@pytest.mark.parametrize("state", State)
def test_exit_code_is_that_of_the_worst_state(
    fleet: dict[str, str], run: Run, state: State
) -> None:
    fleet["db-1"] = state
    expected = {
        State.LATE: 10,
        State.AWAITED: 10,
        State.JOINING: 10,
        State.LOST: 11,
        State.HUNG: 11,
        State.DOWN: 12,
    }
    code, _, _ = run()
    assert code == expected.get(state, 0)


def test_worst_of_many_states_decides() -> None:
    assert worst([]) == Exit.OK
    assert worst([State.UP, State.LOST, State.LATE]) == Exit.LOST
    assert worst([State.DOWN, State.LOST]) == Exit.DOWN
    assert worst([State.UP, "entangled"]) == Exit.UNSETTLED


def test_codes_of_states_are_in_the_documented_table() -> None:
    assert {10, 11, 12} <= {int(code) for code in MEANINGS}


@pytest.mark.parametrize(
    ("line", "names", "code"),
    [
        ("db", ["db-1"], 10),
        ("state:up", ["web-1"], 0),
        ("label:role=web", ["web-1"], 0),
        ("!label:role=web", ["db-1"], 10),
        ("cpu>80", [], 0),
    ],
)
def test_filter_chooses_nodes_and_with_them_the_code(
    fleet: dict[str, str], run: Run, line: str, names: list[str], code: int
) -> None:
    found, out, _ = run("--json", "--filter", line)
    assert [node["name"] for node in json.loads(out)] == names
    assert found == code


def test_line_that_is_no_filter_is_wrong_usage(fleet: dict[str, str], run: Run) -> None:
    code, out, err = run("--filter", "cpu>lots")
    assert code == Exit.USAGE
    assert "--filter: " in err
    assert not out


def test_empty_fleet_is_all_well(fleet: dict[str, str], run: Run) -> None:
    fleet.clear()
    assert run() == (Exit.OK, "0 nodes\n", "")


def test_without_a_master_it_is_unreachable_and_not_down(run: Run) -> None:
    code, _, err = run()
    assert code == Exit.UNREACHABLE
    assert "no master runs on" in err


def test_final_state_of_a_recording_is_shown_at_its_own_time(tmp_path: Path, run: Run) -> None:
    path = recorded(
        tmp_path / "feed",
        snapshot({"web-1": State.UP, "web-2": State.UP, "db-1": State.UP}),
        m.Delta(MONO_MS + 5_000, vitals=(vitals("db-1", State.LOST),)),
        m.Delta(MONO_MS + 9_000, vitals=(vitals("db-1", State.DOWN),), gone=("id-web-2",)),
    )
    code, out, _ = run("--replay", path, "--json")
    db, web = json.loads(out)
    assert (db["name"], db["state"], web["name"]) == ("db-1", "down", "web-1")
    assert web["last_seen_s"] == 11.0
    assert code == Exit.DOWN
    code, out, _ = run("--replay", path, "--filter", "web")
    assert out.splitlines()[0] == "1 node: 1 up"
    assert code == Exit.OK


def test_newer_snapshot_takes_the_place_of_the_older_one(tmp_path: Path, run: Run) -> None:
    halves = snapshot({"web-1": State.DOWN})
    path = recorded(
        tmp_path / "feed",
        halves,
        snapshot({"web-2": State.UP}),
        m.Snapshot(MONO_MS, (info("web-3"),), (vitals("web-3", State.DOWN),), last=False),
    )
    code, out, _ = run("--replay", path)
    assert out.splitlines()[0] == "1 node: 1 up"
    assert code == Exit.OK


def test_recording_without_a_whole_fleet_is_told_so(tmp_path: Path, run: Run) -> None:
    path = recorded(tmp_path / "feed", m.Delta(MONO_MS))
    code, _, err = run("--replay", path)
    assert code == Exit.FAILED
    assert "ends before there is a whole fleet" in err


def test_what_is_no_recording_ends_in_one_line(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "feed"
    path.write_text("precious")
    code, _, err = run("--replay", path)
    assert code == Exit.FAILED
    assert err == f"heartline: {path} is no recording of heartline's\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["top", "--json"],
        ["top", "--filter", "cpu>lots"],
        ["top", "--filter", "cpu>lots", "--master", "lab:7700"],
        ["top", "--once", "--record", "x"],
        ["top", "--replay", "x", "--record", "y"],
        ["top", "--replay", "x", "--master", "lab:7700"],
        ["top", "--replay", "x", "--profile", "lab"],
        ["top", "--speed", "0"],
        ["top", "--record-limit", "0"],
        ["top", "--join", "x", "--token", "y"],
    ],
)
def test_what_does_not_go_together_is_wrong_usage(arguments: list[str]) -> None:
    assert main(arguments) == Exit.USAGE


def test_json_without_once_says_what_it_goes_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--json"]) == Exit.USAGE
    assert "--json prints, and goes with --once" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--filter", "db"], ["--record", "feed"]])
def test_without_a_terminal_there_is_no_dashboard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(["top", *arguments, "--data", str(tmp_path)]) == Exit.USAGE
    assert "no terminal" in capsys.readouterr().err
    assert not (Path.cwd() / "feed").exists()
