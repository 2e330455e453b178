"""The commands with real processes: a master, agents, and what people and scripts do with them."""

import json
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from heartline.exits import Exit
from heartline.viewer import join_as_viewer
from shared.liveness import State
from shared.paths import StateFolder
from shared.tokens import PIN_BYTES, new_token, parse_token
from tests.heartline.processes import (
    DEADLINE_S,
    LOOPBACK,
    output_of,
    run,
    started,
    states,
    up,
    wait_until,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("state")
    with up(folder):
        yield folder


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


def test_a_viewer_elsewhere_reads_and_does_not_order(root: Path, tmp_path: Path) -> None:
    token = output_of("token", "create", "--role", "viewer", "--data", root)["token"]
    listen = json.loads((root / "master.json").read_bytes())["listen"]
    viewer = tmp_path / "viewer"
    join_as_viewer(StateFolder(viewer), token, listen)
    assert output_of("nodes", "--data", viewer)[0]["state"] == State.UP
    assert output_of("events", "--data", viewer)
    name = output_of("nodes", "--data", viewer)[0]["name"]
    refused = run("node", "revoke", name, "--yes", "--data", viewer)
    assert refused.returncode == Exit.FAILED
    assert refused.stderr.count("\n") == 1
    assert states(root)[name] == State.UP


def test_a_token_of_another_cluster_is_refused_for_good(root: Path, tmp_path: Path) -> None:
    listen = json.loads((root / "master.json").read_bytes())["listen"]
    token = new_token(secrets.token_bytes(PIN_BYTES)).encode()
    for command in ("agent", "top"):
        refused = run(
            *(command, "--join", "-", "--master", listen[0], "--data", tmp_path / command),
            stdin=token,
        )
        assert refused.returncode == Exit.REFUSED
        assert "is not the master that the token is for" in refused.stderr


def test_an_agent_that_is_not_told_whom_to_join_is_wrong_usage(tmp_path: Path) -> None:
    token = new_token(secrets.token_bytes(PIN_BYTES)).encode()
    nowhere = run("agent", "--join", "-", "--data", tmp_path, stdin=token)
    assert (nowhere.returncode, "--master" in nowhere.stderr) == (Exit.USAGE, True)
    unjoined = run("agent", "--data", tmp_path)
    assert (unjoined.returncode, "has not joined" in unjoined.stderr) == (Exit.USAGE, True)


def test_an_agents_token_makes_no_viewer(root: Path, tmp_path: Path) -> None:
    token = output_of("token", "create", "--data", root)["token"]
    listen = json.loads((root / "master.json").read_bytes())["listen"]
    refused = run("top", "--join", token, "--master", listen[0], "--data", tmp_path / "viewer")
    assert refused.returncode == Exit.USAGE
    assert "not for a viewer" in refused.stderr
    # The next one, an agent, may still come with it.
    assert uses_left(root, token) == 1


def test_a_viewers_token_makes_no_agent(root: Path, tmp_path: Path) -> None:
    token = output_of("token", "create", "--role", "viewer", "--data", root)["token"]
    listen = json.loads((root / "master.json").read_bytes())["listen"]
    before = states(root)
    arguments = ("agent", "--data", tmp_path / "state", "--join", "-", "--master", listen[0])
    refused = run(*arguments, stdin=token)
    assert refused.returncode == Exit.USAGE
    assert "not for an agent" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert uses_left(root, token) == 1
    assert states(root) == before


def uses_left(root: Path, token: str) -> int:
    token_id = parse_token(token).token_id.hex()
    (row,) = [
        each for each in output_of("token", "list", "--data", root) if each["token_id"] == token_id
    ]
    return int(row["uses_left"])


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
