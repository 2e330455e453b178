"""One process per state folder: two agents on one would tear each other's keys apart."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import UserError
from shared.only_one import only_one
from tests.eventually import eventually_in_processes

HOLDER = """
import sys, time
from pathlib import Path
from shared.only_one import only_one

with only_one(Path(sys.argv[1]), "taken"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_second_is_refused_and_a_later_one_is_not(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "lock"):
        with (
            only_one(path, "taken"),
            pytest.raises(UserError, match=r"^taken$"),
            only_one(path, "taken"),
        ):
            pass
        with only_one(path, "taken"):
            pass


def test_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError), only_one(tmp_path, "taken"):
            pass
        holder.kill()
        eventually_in_processes(lambda: holder.poll() is not None)
    with only_one(tmp_path, "taken"):
        pass


def test_file_that_is_made_is_this_users_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with only_one(tmp_path / "lock", "taken"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_folder_needs_no_file(tmp_path: Path) -> None:
    with only_one(tmp_path, "taken"):
        assert not list(tmp_path.iterdir())
