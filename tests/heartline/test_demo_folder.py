"""The temporary folder of a demo: nothing stays, and nothing of anybody else's goes."""

from pathlib import Path

import pytest

from heartline.demo.folder import own_folder, remove_leftovers
from heartline.exits import Exit
from heartline.main import main
from shared.errors import ConfigError
from shared.only_one import only_one
from shared.paths import StateFolder


def left_behind(parent: Path, name: str = "heartline-demo-x") -> Path:
    """What a demo leaves that was killed."""
    root = parent / name
    (root / "logs").mkdir(parents=True)
    StateFolder(root).lock.touch()
    return root


def test_what_a_killed_demo_left_is_removed(tmp_path: Path) -> None:
    root = left_behind(tmp_path)
    remove_leftovers(tmp_path)
    assert not root.exists()


@pytest.mark.parametrize("held", [".", "master.lock"])
def test_what_is_in_use_stays(tmp_path: Path, held: str) -> None:
    root = left_behind(tmp_path)
    with only_one(root / held, "held"):
        remove_leftovers(tmp_path)
        assert (root / "logs").is_dir()
    remove_leftovers(tmp_path)
    assert not root.exists()


def test_what_is_no_demos_stays(tmp_path: Path) -> None:
    others = left_behind(tmp_path, "somewhere")
    (tmp_path / "heartline-demo-new").mkdir()
    notes = tmp_path / "heartline-demo-notes"
    notes.write_text("precious")
    (tmp_path / "heartline-demo-link").symlink_to(others)
    remove_leftovers(tmp_path)
    assert (others / "logs").is_dir()
    assert (tmp_path / "heartline-demo-new").is_dir()
    assert notes.read_text() == "precious"


def test_what_is_somebody_elses_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = left_behind(tmp_path)
    monkeypatch.setattr("os.getuid", lambda: root.stat().st_uid + 1)
    remove_leftovers(tmp_path)
    assert root.is_dir()


@pytest.mark.parametrize("of", ["ca", "agent", "viewer", "master.db", "master.lock"])
def test_folder_that_anything_else_lives_in_is_refused_and_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], of: str
) -> None:
    (tmp_path / of).mkdir()
    code = main(["demo", "--headless", "--data", str(tmp_path)])
    assert code == Exit.USAGE
    assert "is no demo's folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [of]


def test_folder_of_an_earlier_demo_is_taken_again(tmp_path: Path) -> None:
    root = tmp_path / "kept"
    folder = own_folder(root)
    folder.ca_dir.mkdir()
    assert own_folder(root) == folder


def test_folder_on_which_a_demo_runs_is_refused(tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "kept")
    with only_one(folder.lock, "held"), pytest.raises(ConfigError, match="a demo runs on"):
        own_folder(folder.root)


def test_demo_looks_at_no_variable_that_names_a_folder(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["demo", "--help"]) == Exit.OK
    assert "[env: HEARTLINE_DATA]" not in capsys.readouterr().out
