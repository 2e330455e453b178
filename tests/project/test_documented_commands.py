"""Every command line that the documentation shows is one that the program takes."""

import re
import shlex
from pathlib import Path

import pytest

from docs.generate import FOLDER, pages
from heartline.exits import Exit
from heartline.main import main

ROOT = FOLDER.parent
SPANS = re.compile(r"^```\w*\n(.*?)^```$|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
READABLE = [ROOT / "README.md", ROOT / "CHANGELOG.md", *pages()]
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def command_lines(page: Path, program: str) -> list[list[str]]:
    """Everything in code that begins with `program`, as words without what is optional."""
    lines: list[str] = []
    for block, inline in SPANS.findall(page.read_text(encoding="utf-8")):
        lines += (block or inline).splitlines()
    shown = [line.split("  #")[0].strip() for line in lines]
    return [shlex.split(line)[1:] for line in shown if re.match(rf"{program} [a-z]", line) and line]


SHOWN = [
    pytest.param(words, id=f"{page.stem}: heartline {' '.join(words)}")
    for page in READABLE
    for words in command_lines(page, "heartline")
]


@pytest.mark.parametrize("words", SHOWN)
def test_shown_command_line_is_taken(words: list[str]) -> None:
    # Asking for help last: names and flags are looked up, and nothing is run.
    assert main([*words, "--help"]) == Exit.OK


def test_line_that_the_program_does_not_take_would_be_found() -> None:
    assert main(["nodes", "--no-such-flag", "--help"]) == Exit.USAGE
    assert main(["no-such-command", "--help"]) == Exit.USAGE


def test_commands_are_shown_at_all() -> None:
    assert len({str(param.values[0]) for param in SHOWN}) > 10


@pytest.mark.parametrize("page", READABLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_shown_make_target_exists(page: Path) -> None:
    shown = {words[0] for words in command_lines(page, "make") if words}
    assert shown <= MAKE_TARGETS
