"""The project speaks of itself alone: no paths of its authors' machines, nothing unfinished."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).resolve()

FOREIGN = re.compile(
    r"(?<![\w./])/(?:root|work|home/\w+|opt|tmp)/\w"  # somebody's own folders
    r"|https?://[\w.-]*(?:pypi|pythonhosted|mirror|registry)[\w.-]*"  # where packages came from
    r"|\b(?:TODO|FIXME|XXX)\b|raise NotImplementedError"  # what is not done
)
BINARY = {".png", ".ico", ".gz", ".xz"}
EVERYDAY = re.compile(r"/tmp/\.X11-unix|https?://www\.apache\.org")


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    if listed.returncode:
        pytest.skip("not a git checkout, or no git")
    paths = [ROOT / line for line in listed.stdout.splitlines()]
    return [path for path in paths if path.is_file() and path.suffix not in BINARY]


def test_no_file_names_a_foreign_place_or_is_unfinished() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in tracked()
        if path != HERE
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FOREIGN.search(line) and not EVERYDAY.search(line)
    ]
    assert found == []


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "common", "misc", "manager"}
    assert [path for path in tracked() if path.stem in drawers and path.suffix == ".py"] == []


def test_text_files_end_with_one_newline_and_have_no_trailing_blanks() -> None:
    untidy = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.suffix in {".py", ".md", ".toml", ".sh", ".service", ".yaml", ".txt"}
        for text in [path.read_text(encoding="utf-8")]
        if text
        and (not text.endswith("\n") or text.endswith("\n\n") or re.search(r"[ \t]\n", text))
    ]
    assert untidy == []


def test_scripts_can_be_run() -> None:
    scripts = [path for path in tracked() if path.read_bytes().startswith(b"#!")]
    assert ROOT / ".ci" / "run" in scripts
    assert [path for path in scripts if not path.stat().st_mode & 0o100] == []
