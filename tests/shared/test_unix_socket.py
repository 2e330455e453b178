"""Sockets under paths longer than the kernel takes: bound, connected, no descriptor left."""

import os
import socket
import sys
from pathlib import Path

import pytest

from shared.errors import UserError
from shared.unix_socket import PATH_LIMIT_BYTES, short_path

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/self/fd")


def _deep(folder: Path) -> Path:
    deep = folder / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    return deep


def _open_descriptors() -> set[Path]:
    return set(Path("/proc/self/fd").iterdir())


def test_short_path_is_used_as_it_is(tmp_path: Path) -> None:
    path = Path("some") / "master.sock"
    with short_path(path) as usable:
        assert usable == os.fspath(path)


@linux_only
def test_longest_direct_path_needs_no_descriptor() -> None:
    path = Path("/" + "x" * (PATH_LIMIT_BYTES - 1))
    with short_path(path) as usable:
        assert usable == os.fspath(path)


@linux_only
def test_long_path_can_be_bound_and_connected(tmp_path: Path) -> None:
    path = _deep(tmp_path) / "master.sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        with short_path(path) as usable:
            listener.bind(usable)
        listener.listen()
        assert path.is_socket()
        with short_path(path) as usable:
            client.connect(usable)
        client.sendall(b"beat")
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.recv(4) == b"beat"


@linux_only
def test_descriptor_is_closed_after_use_and_after_failure(tmp_path: Path) -> None:
    path = _deep(tmp_path) / "absent.sock"
    before = _open_descriptors()
    with (
        socket.socket(socket.AF_UNIX) as client,
        pytest.raises(FileNotFoundError),
        short_path(path) as usable,
    ):
        client.connect(usable)
    assert _open_descriptors() == before


@linux_only
def test_name_that_cannot_be_shortened_is_refused_with_its_name(tmp_path: Path) -> None:
    path = _deep(tmp_path) / ("s" * 110)
    with pytest.raises(UserError, match="s" * 110), short_path(path):
        pass


def test_absent_folder_is_an_error_of_the_operating_system(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 120) / "master.sock"
    expected = FileNotFoundError if sys.platform == "linux" else UserError
    with pytest.raises(expected), short_path(path):
        pass
