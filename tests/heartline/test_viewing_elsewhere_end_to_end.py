"""Looking at a master from another host: joined once, by the exact command line that is documented;
and several clusters, told apart by profiles."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from heartline.exits import Exit
from shared.liveness import State
from shared.paths import StateFolder
from tests.heartline.processes import output_of, run, up


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("state")
    with up(folder):
        yield folder


@pytest.fixture
def address(root: Path) -> str:
    listen: list[str] = json.loads((root / "master.json").read_bytes())["listen"]
    return listen[0]


@pytest.fixture
def token_file(root: Path, tmp_path: Path) -> Path:
    created = output_of("token", "create", "--role", "viewer", "--data", root)
    path = tmp_path / "viewer-token"
    path.write_text(created["token"] + "\n")
    return path


def test_same_command_line_joins_once_and_can_be_repeated(
    address: str, token_file: Path, tmp_path: Path
) -> None:
    laptop = tmp_path / "laptop"
    command = ("top", "--once", "--master", address, "--token", token_file, "--data", laptop)
    first = run(*command)
    assert first.returncode == Exit.OK, first.stderr
    assert first.stdout.startswith("1 node: 1 up\n")
    identity = (StateFolder(laptop).viewer_dir / "viewer.json").read_bytes()
    assert run(*command).returncode == Exit.OK  # although the token has been used up
    token_file.unlink()
    assert run("top", "--once", "--data", laptop).returncode == Exit.OK
    assert run("top", "--once", "--master", address, "--data", laptop).returncode == Exit.OK
    assert (StateFolder(laptop).viewer_dir / "viewer.json").read_bytes() == identity


def test_address_without_a_token_says_how_to_join(address: str, tmp_path: Path) -> None:
    refused = run("top", "--once", "--master", address, "--data", tmp_path)
    assert refused.returncode == Exit.USAGE
    assert "--token FILE" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_token_without_an_address_asks_for_one(token_file: Path, tmp_path: Path) -> None:
    refused = run("top", "--once", "--token", token_file, "--data", tmp_path / "laptop")
    assert refused.returncode == Exit.USAGE
    assert "--master HOST:PORT" in refused.stderr


def test_profile_has_its_own_folder_and_its_masters_are_dialled_in_turn(
    address: str, token_file: Path, tmp_path: Path
) -> None:
    laptop = tmp_path / "laptop"
    laptop.mkdir(mode=0o700)
    nobody = "127.0.0.1:1"
    (laptop / "heartline.toml").write_text(
        f'[profiles.lab]\nmaster = ["{nobody}", "{address}"]\n'
        f'[profiles.far]\nmaster = ["{nobody}"]\n'
    )
    at_lab = ("--profile", "lab", "--data", laptop)
    joined = run("top", "--once", "--token", token_file, *at_lab)
    assert joined.returncode == Exit.OK, joined.stderr
    place = StateFolder(laptop).profile("lab")
    assert (place.viewer_dir / "viewer.json").exists()
    assert not (StateFolder(laptop).viewer_dir / "viewer.json").exists()
    assert [node["state"] for node in output_of("nodes", *at_lab)] == [State.UP]
    assert output_of("events", *at_lab)
    name = output_of("nodes", *at_lab)[0]["name"]
    assert output_of("node", "show", name, *at_lab)["name"] == name
    assert output_of("outages", *at_lab) == []
    not_joined = run("nodes", "--profile", "far", "--data", laptop)
    assert not_joined.returncode == Exit.USAGE
    assert "has not joined" in not_joined.stderr
    unknown = run("nodes", "--profile", "moon", "--data", laptop)
    assert unknown.returncode == Exit.USAGE
    assert unknown.stderr == "heartline: there is no profile moon; the settings have: far, lab\n"


def test_named_address_is_meant_even_where_a_master_of_ones_own_runs(
    root: Path, address: str, token_file: Path, tmp_path: Path
) -> None:
    with up(tmp_path / "own"):
        own = ("--data", tmp_path / "own")
        elsewhere = ("--master", address, "--token", token_file)
        here = output_of("nodes", *own)[0]["id"]
        (there,) = output_of("top", "--once", *elsewhere, *own)
        assert there["id"] == output_of("nodes", "--data", root)[0]["id"] != here
        assert output_of("top", "--once", *own)[0]["id"] == here
