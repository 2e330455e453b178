"""Keys are made in a process of their own, wherever that is started."""

import sys
from pathlib import Path

import pytest
import trio

from agent import keys
from agent.keys import KeyMakingError, NewKey, make_key
from shared.certificates import key_from_request


async def test_key_and_request_belong_together() -> None:
    made = await make_key()
    assert made.key_pem.startswith(b"-----BEGIN PRIVATE KEY-----")
    key_from_request(made.csr_der)
    assert repr(made) == "<NewKey>"


async def test_what_lies_in_the_working_folder_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("msgspec.py", "trio.py", "shared.py", "base64.py"):
        (tmp_path / name).write_text("raise SystemExit('planted')\n")
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "keys.py").write_text("raise SystemExit('planted')\n")
    monkeypatch.chdir(tmp_path)
    assert isinstance(await make_key(), NewKey)


async def test_process_that_fails_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\necho first >&2\necho the last words >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(failing))
    with pytest.raises(KeyMakingError, match=r"^the last words$"):
        await make_key()


@pytest.mark.parametrize("words", ["", "echo no JSON", "exit 3"])
async def test_process_that_says_nothing_useful_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    useless = tmp_path / "python"
    useless.write_text(f"#!/bin/sh\n{words}\n")
    useless.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(useless))
    with pytest.raises(KeyMakingError):
        await make_key()


async def test_process_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(KeyMakingError, match="No such file"):
        await make_key()


async def test_process_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec sleep 600\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hanging))
    monkeypatch.setattr(keys, "DEADLINE_S", 0.1)
    with trio.fail_after(10), pytest.raises(KeyMakingError):
        await make_key()
