"""Files with keys: nobody else can read them, and a crash leaves the old or the new one."""

import os
import stat
from pathlib import Path

import pytest

from shared.errors import IdentityError
from shared.private_files import check_private, private_folder, read_private, write_private
from tests.power_cut import every_power_cut

OLD, NEW = b"the old key", b"the new key" * 1000


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "key"
    before = os.umask(0)
    try:
        write_private(path, NEW)
        folder = private_folder(tmp_path / "keys" / "deep")
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert mode(folder) == 0o700
    assert read_private(path) == NEW


def test_replaced_file_does_not_keep_the_rights_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(OLD)
    path.chmod(0o644)
    write_private(path, NEW)
    assert mode(path) == 0o600


def test_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "key"
    elsewhere.write_bytes(OLD)
    path.symlink_to(elsewhere)
    write_private(path, NEW)
    assert elsewhere.read_bytes() == OLD
    assert not path.is_symlink()


@pytest.mark.parametrize("others", [0o640, 0o604, 0o660, 0o601])
def test_file_that_others_can_open_is_refused_with_the_remedy(tmp_path: Path, others: int) -> None:
    path = tmp_path / "key"
    write_private(path, NEW)
    path.chmod(others)
    for check in (read_private, check_private):
        with pytest.raises(IdentityError, match=f"chmod 600 {path}"):
            check(path)


def test_folder_that_others_can_enter_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.mkdir()
    path.chmod(0o750)
    with pytest.raises(IdentityError, match=f"chmod 700 {path}"):
        private_folder(path)


def test_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_private(tmp_path / "key")


def test_power_cut_at_any_step_leaves_the_old_or_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private(path, OLD)
    found: list[bytes] = []
    for _ in every_power_cut(lambda: write_private(path, NEW)):
        found.append(read_private(path))
        write_private(path, OLD)
    assert read_private(path) == NEW
    assert set(found) == {OLD, NEW}
    assert found == sorted(found, key=[OLD, NEW].index)  # never back to the old one


def test_disk_that_takes_nothing_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    folder = Path("/dev/full")
    if not folder.exists():
        pytest.skip("no /dev/full here")
    path = tmp_path / "key"
    write_private(path, OLD)
    real_open = os.open

    def open_full(name: str, flags: int, *rest: int) -> int:
        descriptor = real_open(name, flags, *rest)
        full = real_open(folder, os.O_WRONLY)
        os.dup2(full, descriptor)
        os.close(full)
        return descriptor

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", open_full)
        with pytest.raises(OSError, match="No space left"):
            write_private(path, NEW)
    assert read_private(path) == OLD
    assert list(tmp_path.iterdir()) == [path]
