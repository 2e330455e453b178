"""The commands as scripts and people use them: output, exit codes, questions; a scripted master."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from heartline import main as main_module
from heartline.exits import MEANINGS, Exit
from heartline.fleet import nodes_of
from heartline.main import SECTIONS, cli, main
from heartline.start import INTERRUPTED
from heartline.views import row
from shared import VERSION
from shared import messages as m
from shared.inventory import Inventory
from shared.metrics import Core
from tests.heartline.fake_master import FakeMaster

NOW_MONO_MS = 1_000_000


def node(
    name: str,
    state: str = "up",
    *,
    labels: dict[str, str] | None = None,
    seen_mono_ms: int | None = NOW_MONO_MS - 1500,
    reason: str = "",
) -> tuple[m.NodeInfo, m.NodeVitals]:
    node_id = name.encode().hex().ljust(16, "0")[:16]
    info = m.NodeInfo(node_id, name, labels or {}, "", "10.0.0.5:4000", "0.1.0", 1_700_000_000_000)
    core = m.raw(Core(cpu_busy_bp=1234, memory_used_bp=5000, load_1m_centi=42))
    vitals = m.NodeVitals(node_id, state, reason, 1_700_000_000_000, seen_mono_ms, None, 5000, core)
    return info, vitals


FLEET = [node("web-1", labels={"rack": "b7"}), node("db", "down", reason="silent\x1b[2J for 13 s")]


def fleet_answer(message: m.FromClient) -> Iterable[m.FromMaster]:
    match message:
        case m.Watch():
            infos = tuple(info for info, _ in FLEET)
            vitals = tuple(vitals for _, vitals in FLEET)
            yield m.Snapshot(NOW_MONO_MS, infos, vitals, last=True)
        case m.GetNode(request, wanted):
            for info, vital in FLEET:
                if info.name == wanted:
                    inventory = m.raw(
                        Inventory("h", "Debian", "6.1", "x86_64", "3.11", "0.1.0", "b", 1)
                    )
                    soon = m.TimeToDetect(6000, 14_300, 30_000, 3000, 2700)
                    yield m.NodeDetail(
                        request, NOW_MONO_MS, info, vital, inventory, (), time_to_detect=soon
                    )
                    return
            yield m.Failed(request, "not-found", f"no node {wanted!r}; see: heartline nodes")
        case m.SetLabels(request) | m.RevokeNode(request) | m.ForgetNode(request):
            yield m.Done(request)
        case m.ListOutages(request):
            yield m.Outages(request, ())
        case m.GetSamples(request):
            yield m.Samples(request, "", (), more=False)
        case m.GetFleetAt(request, at_wall_ms):
            yield m.FleetAt(request, at_wall_ms, (), (), last=True)
        case m.RevokeToken(request):
            yield m.Done(request)
        case m.ListEvents(request):
            yield m.Events(
                request, (m.Event(7, 1_700_000_000_000, "state", "a", "db", "up", "late"),)
            )
        case m.CreateToken(request):
            yield m.TokenCreated(request, "hl1-secret", "abcdef", 1_700_000_000_000)
        case m.ListTokens(request):
            yield m.Tokens(request, (m.TokenInfo("abcdef", "agent", 1, 2, 3, "valid"),))
        case _:
            return


@pytest.fixture
def master(tmp_path: Path) -> Iterable[FakeMaster]:
    with FakeMaster(tmp_path, fleet_answer) as fake:
        yield fake


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--data", str(tmp_path)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_nodes_are_listed_problems_first_without_what_could_drive_a_terminal(
    master: FakeMaster, run: Run
) -> None:
    code, out, _ = run("nodes")
    lines = out.splitlines()
    assert code == Exit.OK
    assert lines[0].split() == [
        "STATE", "NAME", "FOR", "SEEN", "CPU", "MEM", "LOAD", "ADDRESS", "LABELS", "REASON",
    ]  # fmt: skip
    assert [line.split()[:2] for line in lines[1:]] == [["down", "db"], ["up", "web-1"]]
    assert "\x1b" not in out


def test_nodes_as_json_hold_the_fields_that_scripts_are_promised(
    master: FakeMaster, run: Run
) -> None:
    code, out, _ = run("nodes", "--json")
    down, up = json.loads(out)
    assert code == Exit.OK
    assert up["name"] == "web-1"
    assert up["state"] == "up"
    assert up["since"] == "2023-11-14T22:13:20.000Z"
    assert up["labels"] == {"rack": "b7"}
    assert up["last_seen_s"] == 1.5
    assert up["core"]["cpu_busy_bp"] == 1234
    assert {"id", "reason", "address"} <= down.keys()


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--state", "down"], ["db"]),
        (["--label", "rack=b7"], ["web-1"]),
        (["--label", "rack"], ["web-1"]),
        (["--label", "rack=c1"], []),
        (["--state", "down", "--state", "up"], ["db", "web-1"]),
    ],
)
def test_nodes_are_chosen_by_state_and_label(
    master: FakeMaster, run: Run, arguments: list[str], names: list[str]
) -> None:
    _, out, _ = run("nodes", "--json", *arguments)
    assert [each["name"] for each in json.loads(out)] == names


def test_a_state_that_does_not_exist_is_a_usage_error(run: Run) -> None:
    code, _, err = run("nodes", "--state", "dwon")
    assert code == Exit.USAGE
    assert "'down'" in err


@pytest.mark.parametrize("command", [["show"], ["label"], ["revoke", "--yes"], ["forget", "--yes"]])
def test_a_missing_name_of_a_node_is_a_usage_error(run: Run, command: list[str]) -> None:
    code, _, err = run("node", *command)
    assert code == Exit.USAGE
    assert "Missing argument 'NAME'" in err


@pytest.mark.parametrize(
    ("reason", "shown"),
    [("", "identity conflict"), ("no beat", "identity conflict: no beat")],
)
def test_a_conflict_is_shown_before_the_reason_if_there_is_one(reason: str, shown: str) -> None:
    info, vitals = node("web-1", reason=reason)
    snapshot = m.Snapshot(NOW_MONO_MS, (info,), (replace(vitals, conflict=True),), last=True)
    (found,) = nodes_of([snapshot], 1_700_000_000_000)
    assert row(found, 1_700_000_000_000)[-1] == shown


def test_a_node_is_shown_with_its_vital_signs(master: FakeMaster, run: Run) -> None:
    code, out, _ = run("node", "show", "web-1")
    assert code == Exit.OK
    assert "rack=b7" in out
    assert re.search(r"^Load average over 1 minute +0\.42$", out, re.MULTILINE)


def test_a_node_as_json_holds_its_inventory_by_name(master: FakeMaster, run: Run) -> None:
    _, out, _ = run("node", "show", "web-1", "--json")
    shown = json.loads(out)
    assert shown["name"] == "web-1"
    assert shown["inventory"]["kernel"] == "6.1"


def test_a_node_is_shown_with_how_soon_its_silence_would_be_noticed(
    master: FakeMaster, run: Run
) -> None:
    _, out, _ = run("node", "show", "web-1")
    assert re.search(r"^found out +late after 6\.0 s; down after 14\.3 s if", out, re.MULTILINE)
    assert re.search(r"^margin +2\.7 s", out, re.MULTILINE)
    _, out, _ = run("node", "show", "web-1", "--json")
    assert json.loads(out)["time_to_detect"] == {
        "late_s": 6.0,
        "down_s": 14.3,
        "hung_down_s": 30.0,
        "lost_down_s": 3.0,
        "margin_s": 2.7,
    }


def test_an_unknown_node_has_an_exit_code_of_its_own(master: FakeMaster, run: Run) -> None:
    code, out, err = run("node", "show", "absent")
    assert code == Exit.NOT_FOUND
    assert err == "heartline: no node 'absent'; see: heartline nodes\n"
    assert not out


@pytest.mark.parametrize(
    "arguments",
    [
        ["nodes", "--at", "2999-01-01"],
        ["coverage", "--since", "2026-01-02", "--until", "2026-01-01"],
        ["coverage", "--since", "2999-01-01"],
        ["export", "--all", "--from", "2026-01-02", "--to", "2026-01-01"],
    ],
)
def test_times_that_cannot_be_meant_are_wrong_usage(run: Run, arguments: list[str]) -> None:
    assert run(*arguments)[0] == Exit.USAGE


@pytest.mark.parametrize(
    "arguments",
    [
        ["top", "--once", "--speed", "3"],
        ["top", "--speed", "3"],
        ["agent", "--once", "--explain"],
        ["outages", "--since", "2999-01-01"],
    ],
)
def test_what_would_be_ignored_is_wrong_usage(run: Run, arguments: list[str]) -> None:
    assert run(*arguments)[0] == Exit.USAGE


def test_outages_are_asked_for_since_an_instant(master: FakeMaster, run: Run) -> None:
    code, out, _ = run("outages", "--since", "1h")
    assert (code, out) == (Exit.OK, "no outages\n")
    assert master.received[-1] == m.ListOutages(1, 100, "", 3600)


def test_export_writes_over_no_file(tmp_path: Path, run: Run) -> None:
    (tmp_path / "kept.csv").write_text("kept")
    code, _, err = run("export", "--all", "--output", str(tmp_path / "kept.csv"))
    assert code == Exit.USAGE
    assert "not written over" in err
    assert (tmp_path / "kept.csv").read_text() == "kept"


def test_export_to_a_dash_is_to_standard_output(
    master: FakeMaster, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("export", "web-1", "--output", "-")
    assert code == Exit.OK
    assert out.startswith("node,")
    assert not (tmp_path / "-").exists()


def test_export_to_where_nothing_can_be_written_names_the_file_that_was_meant(
    master: FakeMaster, run: Run, tmp_path: Path
) -> None:
    meant = tmp_path / "nowhere" / "x.csv"
    code, _, err = run("export", "web-1", "--output", str(meant))
    assert code == Exit.FAILED
    assert err == f"heartline: {meant}: No such file or directory\n"


def test_before_the_history_begins_nothing_is_known(master: FakeMaster, run: Run) -> None:
    code, out, _ = run("nodes", "--at", "2d")
    assert code == Exit.OK
    assert "the history begins later" in out


def test_labels_are_put_and_taken_off_in_one_request(master: FakeMaster, run: Run) -> None:
    code, _, _ = run("node", "label", "web-1", "rack=b8", "tier=a=b", "old-", "--note", "spare")
    assert code == Exit.OK
    sent = m.SetLabels(1, "web-1", {"rack": "b8", "tier": "a=b"}, ("old",), "spare")
    assert master.received[-1] == sent


@pytest.mark.parametrize("wrong", ["word", "=x", "-", ""])
def test_what_is_no_label_is_a_usage_error(master: FakeMaster, run: Run, wrong: str) -> None:
    code, _, err = run("node", "label", "web-1", "--", wrong)
    assert code == Exit.USAGE
    assert repr(wrong) in err


def test_labelling_without_a_label_is_a_usage_error(master: FakeMaster, run: Run) -> None:
    assert run("node", "label", "web-1")[0] == Exit.USAGE


@pytest.mark.parametrize(("command", "order"), [("revoke", m.RevokeNode), ("forget", m.ForgetNode)])
def test_what_cannot_be_undone_needs_a_yes_without_a_terminal(
    master: FakeMaster, run: Run, command: str, order: type[m.Message]
) -> None:
    code, _, err = run("node", command, "web-1")
    assert code == Exit.USAGE
    assert "--yes" in err
    assert not any(isinstance(message, order) for message in master.received)
    code, out, _ = run("node", command, "web-1", "--yes")
    assert code == Exit.OK
    assert "web-1" in out
    assert isinstance(master.received[-1], order)


def test_an_order_is_given_for_the_node_that_was_confirmed(master: FakeMaster, run: Run) -> None:
    run("node", "revoke", "web-1", "--yes")
    assert master.received[-1] == m.RevokeNode(2, FLEET[0][0].node_id)


@pytest.mark.parametrize("command", ["revoke", "forget"])
def test_what_cannot_be_undone_is_not_done_by_the_beginning_of_a_name(
    tmp_path: Path, run: Run, command: str
) -> None:
    def answer(message: m.FromClient) -> Iterable[m.FromMaster]:
        meant = replace(message, node="web-1") if isinstance(message, m.GetNode) else message
        return fleet_answer(meant)

    with FakeMaster(tmp_path, answer) as master:
        code, _, err = run("node", command, "web", "--yes")
        asked = len(master.received)
        by_id = run("node", command, FLEET[0][0].node_id, "--yes")[0]
    assert code == Exit.NOT_FOUND
    assert "'web' is the beginning of web-1" in err
    assert isinstance(master.received[asked - 1], m.GetNode)
    assert by_id == Exit.OK


def test_events_are_printed(master: FakeMaster, run: Run) -> None:
    code, out, _ = run("events", "--node", "db", "--limit", "5")
    assert code == Exit.OK
    assert "up → late" in out
    assert master.received[-1] == m.ListEvents(1, 5, "db", follow=False)


def test_events_as_json_are_a_list(master: FakeMaster, run: Run) -> None:
    _, out, _ = run("events", "--json")
    assert [event["after"] for event in json.loads(out)] == ["late"]


def test_a_token_is_created_with_the_command_that_uses_it(
    master: FakeMaster, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "master.json").write_text('{"listen": ["10.0.0.9:7701"], "pid": 1}')
    _, out, _ = run("token", "create")
    assert out == "heartline agent --join hl1-secret --master 10.0.0.9:7701\n"
    assert master.received[-1] == m.CreateToken(1, "agent", 86_400, 1)


def test_a_token_as_json_holds_what_scripts_are_promised(master: FakeMaster, run: Run) -> None:
    _, out, _ = run(
        "token", "create", "--json", "--role", "viewer", "--life", "1h30m", "--uses", "3"
    )
    assert json.loads(out)["token"] == "hl1-secret"
    assert master.received[-1] == m.CreateToken(1, "viewer", 5400, 3)


@pytest.mark.parametrize("life", ["soon", "1", "1x", "-1h", "1h30", ""])
def test_what_is_no_length_of_time_is_a_usage_error(run: Run, life: str) -> None:
    assert run("token", "create", "--life", life)[0] == Exit.USAGE


def test_tokens_are_listed_and_revoked(master: FakeMaster, run: Run) -> None:
    _, out, _ = run("token", "list", "--json")
    assert json.loads(out)[0]["uses_left"] == 3
    _, out, _ = run("token", "list")
    assert "abcdef" in out
    assert run("token", "revoke", "abc")[0] == Exit.OK
    assert master.received[-1] == m.RevokeToken(1, "abc")


def test_without_a_master_every_client_command_says_so(run: Run) -> None:
    for command in (["nodes"], ["events"], ["token", "list"], ["node", "show", "x"]):
        code, out, err = run(*command)
        assert code == Exit.UNREACHABLE
        assert err.startswith("heartline: no master runs on ")
        assert not out


def test_the_state_folder_may_be_named_before_the_command_or_by_a_variable(
    master: FakeMaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--data", str(tmp_path), "nodes"]) == Exit.OK
    monkeypatch.setenv("HEARTLINE_DATA", str(tmp_path))
    assert main(["nodes"]) == Exit.OK
    assert main(["--data", str(tmp_path / "other"), "nodes"]) == Exit.UNREACHABLE


def test_node_names_are_completed_from_the_running_master(
    master: FakeMaster, tmp_path: Path
) -> None:
    words = f"heartline node --data {tmp_path} show w"
    environment = {"_HEARTLINE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "5"}
    result = CliRunner(env=environment).invoke(cli, prog_name="heartline")
    assert result.output == "plain,web-1\n"


def test_completion_without_a_master_offers_nothing_and_says_nothing(tmp_path: Path) -> None:
    words = f"heartline node --data {tmp_path} show w"
    environment = {"_HEARTLINE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "5"}
    result = CliRunner(env=environment).invoke(cli, prog_name="heartline")
    assert not result.output.strip()


def test_help_shows_every_command_with_the_sentence_its_own_help_begins_with() -> None:
    help_text = CliRunner().invoke(cli, ["--help"]).output
    with click.Context(cli) as context:
        for table in SECTIONS.values():
            for name, entry in table.items():
                command = cli.get_command(context, name)
                assert command is not None
                assert command.help is not None
                first = " ".join(command.help.split("\n\n")[0].split())
                assert first.startswith(entry.summary)
                assert name in help_text


def test_help_documents_every_exit_code() -> None:
    help_text = CliRunner().invoke(cli, ["--help"]).output
    for code, meaning in MEANINGS.items():
        assert f"{int(code)} " in help_text
        assert meaning in help_text


@pytest.mark.parametrize("command", ["agent", "top"])
def test_json_is_no_way_to_run_what_prints_nothing(run: Run, command: str) -> None:
    code, out, err = run(command, "--json")
    assert (code, out) == (Exit.USAGE, "")
    assert "--once" in err


def test_an_unknown_command_is_refused_with_what_was_probably_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["evnts"]) == Exit.USAGE
    assert "Did you mean 'events'?" in capsys.readouterr().err


def test_an_interrupt_has_the_exit_code_of_shells(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module.cli, "main", interrupted)
    assert main([]) == Exit.INTERRUPTED


def test_an_interrupt_while_the_program_is_loaded_is_one_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")
    interrupted = heartline("nodes", PYTHONPATH=str(tmp_path))
    assert interrupted.returncode == INTERRUPTED == Exit.INTERRUPTED
    assert not interrupted.stderr


def heartline(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "heartline", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_program_tells_its_version() -> None:
    assert heartline("--version").stdout.strip() == f"heartline, version {VERSION}"


@pytest.mark.parametrize(
    ("command", "code"),
    [(["nodes"], Exit.OK), (["events"], Exit.OK), (["top", "--once"], Exit.DOWN)],
)
def test_a_reader_that_goes_away_has_seen_enough(
    master: FakeMaster, command: list[str], code: Exit
) -> None:
    program = [sys.executable, "-m", "heartline", *command, "--data", str(master.folder.root)]
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        result = subprocess.run(
            program, stdout=write_end, stderr=subprocess.PIPE, timeout=30, check=False
        )
    finally:
        os.close(write_end)
    assert result.returncode == code
    assert result.stderr == b""


@pytest.mark.parametrize("descriptor", [0, 1, 2])
def test_a_closed_standard_stream_is_no_traceback(master: FakeMaster, descriptor: int) -> None:
    command = f'exec "$@" {descriptor}>&-'
    program = [sys.executable, "-m", "heartline", "nodes", "--data", str(master.folder.root)]
    result = subprocess.run(
        ["sh", "-c", command, "sh", *program], capture_output=True, timeout=30, check=False
    )
    assert result.returncode == Exit.OK
    assert not result.stderr


def test_a_disk_that_is_full_is_told_in_one_line(master: FakeMaster) -> None:
    program = [sys.executable, "-m", "heartline", "nodes", "--data", str(master.folder.root)]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        result = subprocess.run(
            program, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False
        )
    assert result.returncode == Exit.FAILED
    assert result.stderr == "heartline: No space left on device\n"


def test_help_loads_neither_the_protocol_nor_a_program() -> None:
    program = (
        "import sys; from heartline.main import main; main(['--help']);"
        "print([name for name in sys.modules if name in {'trio', 'psutil', 'ssl', 'msgspec'}"
        " or name.startswith(('agent', 'master', 'tui', 'shared.'))], file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert set(eval(result.stderr)) <= {"shared.errors", "shared.paths", "msgspec"}
