"""The state folder: its place, and whom it may belong to."""

import os
import stat
from pathlib import Path

import pytest

from shared.errors import IdentityError
from shared.paths import SYSTEM_ROOT, StateFolder, default_root


def test_a_new_state_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "several" / "levels")
    before = os.umask(0)
    try:
        folder.ensure()
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700


def test_an_existing_folder_of_ones_own_is_accepted_and_left_as_it_is(tmp_path: Path) -> None:
    root = tmp_path / "state"
    root.mkdir(mode=0o750)
    StateFolder(root).ensure()
    assert stat.S_IMODE(root.stat().st_mode) == 0o750


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_folder_that_others_may_write_to_is_refused_with_the_remedy(
    tmp_path: Path, mode: int
) -> None:
    root = tmp_path / "state"
    root.mkdir()
    root.chmod(mode)
    with pytest.raises(IdentityError, match=f"chmod 0700 {root}"):
        StateFolder(root).ensure()


def test_a_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "state"
    root.mkdir()
    owner = root.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(IdentityError, match=f"belongs to user {owner}"):
        StateFolder(root).ensure()


def test_a_file_in_the_folders_place_is_refused_by_name(tmp_path: Path) -> None:
    root = tmp_path / "state"
    root.write_text("")
    with pytest.raises(IdentityError, match=str(root)):
        StateFolder(root).ensure()


def test_root_keeps_its_state_where_packages_expect_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_root() == SYSTEM_ROOT


def test_a_user_keeps_the_state_in_the_users_own_folders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "heartline"
