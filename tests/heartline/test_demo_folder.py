"""The temporary folder of a demo: nothing stays, and nothing of anybody else's goes."""

from pathlib import Path

import pytest

from heartline.demo.folder import remove_leftovers
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
