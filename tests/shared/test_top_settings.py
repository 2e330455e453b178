"""The dashboard's own settings."""

from pathlib import Path

import pytest

from shared.config import load
from shared.errors import ConfigError


def settings_file(folder: Path, toml: str) -> Path:
    path = folder / "heartline.toml"
    path.write_text(f"[top]\n{toml}\n")
    return path


def test_thresholds_and_symbols_are_set(tmp_path: Path) -> None:
    path = settings_file(tmp_path, 'warn_ratio = 0.5\ncritical_ratio = 0.8\nsymbols = "blocks"')
    top = load(path, environment={}).top
    assert (top.warn_ratio, top.critical_ratio, top.symbols) == (0.5, 0.8, "blocks")
    top = load(path, environment={"HEARTLINE_TOP_SYMBOLS": "ascii"}).top
    assert top.symbols == "ascii"


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("warn_ratio = 0.95", "expected at most critical_ratio, which is 0.9"),
        ("critical_ratio = 1.5", "expected a number above 0 and at most 1"),
        ('symbols = "emoji"', "expected one of ascii, auto, blocks, braille"),
    ],
)
def test_what_cannot_be_used_says_what_was_expected(
    tmp_path: Path, toml: str, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        load(settings_file(tmp_path, toml), environment={})
