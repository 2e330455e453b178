"""Where a join token comes from, and what is said where it does not."""

from pathlib import Path

import click
import pytest

from heartline.exits import Exit
from heartline.join_token import VARIABLE, join_token
from heartline.main import main

NOWHERE = "No such file or directory"


def refusal(flag: str | None, file: Path | None, file_flag: str = "--join-file") -> str:
    with pytest.raises(click.UsageError) as refused:
        join_token(flag, file, file_flag=file_flag)
    return refused.value.message


def test_token_of_a_file_is_without_the_blanks_around_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("  hl1-abc \n")
    assert join_token(None, file) == "hl1-abc"


def test_token_of_the_environment_gives_way_to_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "hl1-environment")
    assert join_token(None, None) == "hl1-environment"
    assert join_token("hl1-flag", None) == "hl1-flag"
    assert join_token(None, None, variable=None) == ""


@pytest.mark.parametrize("file_flag", ["--join-file", "--token"])
def test_file_that_is_not_there_is_told_in_words_and_by_the_flags_name(
    tmp_path: Path, file_flag: str
) -> None:
    file = tmp_path / "token"
    told = refusal(None, file, file_flag)
    assert told == f"{file_flag}: cannot read {file}: {NOWHERE}"
    assert file_flag in refusal("hl1-abc", file, file_flag)


def test_file_that_is_no_text_is_told_as_such(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"\xff\xfe\x00")
    assert refusal(None, file) == f"--join-file: {file} is not text"


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["top", "--token"], id="top"),
        pytest.param(["agent", "--join-file"], id="agent"),
    ],
)
def test_command_that_finds_no_token_names_its_own_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    file = tmp_path / "token"
    assert main([*command, str(file), "--data", str(tmp_path)]) == Exit.USAGE
    shown = capsys.readouterr().err
    assert f"{command[-1]}: cannot read {file}: {NOWHERE}" in shown
    assert "Errno" not in shown
