"""What a release says of itself agrees with itself."""

import re
import tomllib
from pathlib import Path

from shared import VERSION

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"^([a-z0-9.-]+)(?:\[[a-z,]+\])?==(\S+)", re.MULTILINE)


def test_version_is_the_same_in_code_project_and_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## (\S+)", changelog, re.MULTILINE)
    assert PROJECT["project"]["version"] == VERSION == released[0]


def test_every_dependency_is_locked() -> None:
    needed = {
        re.split(r"[>=\[ ]", requirement)[0]
        for requirement in [
            *PROJECT["project"]["dependencies"],
            *PROJECT["project"]["optional-dependencies"]["tui"],
            *PROJECT["dependency-groups"]["build"],
            *(entry for entry in PROJECT["dependency-groups"]["dev"] if isinstance(entry, str)),
        ]
    }
    locked = dict(PIN.findall((ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")))
    assert needed <= set(locked)


def test_locks_agree_on_every_version() -> None:
    assert [path.stem for path in LOCKS] == ["agent", "all", "dev"]
    agent, all_, dev = (dict(PIN.findall(path.read_text(encoding="utf-8"))) for path in LOCKS)
    assert agent.items() <= all_.items() <= dev.items()


def test_every_pinned_file_has_a_hash_and_no_place_it_came_from() -> None:
    for path in LOCKS:
        text = path.read_text(encoding="utf-8")
        pins = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
        assert pins
        assert all("--hash=sha256:" in pin for pin in pins)
        assert "://" not in text
        assert "--index" not in text
        assert "--find-links" not in text
