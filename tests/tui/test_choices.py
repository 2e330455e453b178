"""What is chosen and remembered, what a terminal can show, and what can be typed after a colon."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.app import Dashboard
from tui.ascii import to_ascii
from tui.capture import store
from tui.columns import COLUMNS, DEFAULT, chosen
from tui.commands import Command, fitting
from tui.keys import key_name, merged, uses_of
from tui.look import Look, Symbols
from tui.options import Options, for_terminal, has_few_colours, symbols_of
from tui.preferences import FILE_NAME, Preferences, load, save
from tui.screens.fleet import FleetScreen
from tui.screens.help import lines_of
from tui.tones import Tone
from tui.widgets.fleet_table import FleetTable


def test_choices_are_remembered(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    wanted = Preferences(columns=("state", "name"), order="cpu", theme="heartline-light")
    assert load(folder) == (Preferences(), "")
    assert save(folder, wanted) == ""
    assert load(folder) == (wanted, "")
    assert [path.name for path in folder.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("content", [b"", b"{", b'{"columns": 5}', b"[]", b"\xff\xfe"])
def test_damaged_file_is_said_and_the_defaults_are_used(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    remembered, complaint = load(tmp_path)
    assert remembered == Preferences()
    assert "is damaged, so the defaults are used" in complaint
    assert FILE_NAME in complaint


def test_file_of_a_newer_version_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text('{"order": "cpu", "hologram": true, "columns": ["aura"]}')
    remembered, complaint = load(tmp_path)
    assert (remembered.order, complaint) == ("cpu", "")
    assert [column.key for column in chosen(remembered.columns)] == list(DEFAULT)


def test_folder_that_cannot_be_used_is_said_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in save(tmp_path / "file", Preferences())
    (tmp_path / FILE_NAME).mkdir()
    assert "cannot be read" in load(tmp_path)[1]


def test_nothing_is_remembered_without_a_folder() -> None:
    assert load(None) == (Preferences(), "")
    assert save(None, Preferences(order="cpu")) == ""


def test_columns_come_in_the_order_chosen_each_once() -> None:
    assert [c.key for c in chosen(["cpu", "name", "cpu", "nonsense"])] == ["cpu", "name"]
    assert {c.key for c in COLUMNS} > set(DEFAULT)


def test_thresholds_decide_what_is_warm_and_hot() -> None:
    look = Look(0.5, 0.6)
    assert [look.heat(ratio) for ratio in (0.49, 0.5, 0.6)] == [Tone.CALM, Tone.WARM, Tone.HOT]
    assert [Look().heat(ratio) for ratio in (0.69, 0.7, 0.9)] == [Tone.CALM, Tone.WARM, Tone.HOT]


# --- the terminal ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "symbols"),
    [
        ({}, Symbols.BRAILLE),
        ({"LANG": "C"}, Symbols.ASCII),
        ({"LANG": "POSIX"}, Symbols.ASCII),
        ({"LANG": "en_GB.UTF-8"}, Symbols.BRAILLE),
        ({"LANG": "C.utf8"}, Symbols.BRAILLE),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, Symbols.ASCII),
        ({"LC_CTYPE": "C.UTF-8"}, Symbols.BRAILLE),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "C"}, Symbols.ASCII),
        ({"LANG": "de_DE.ISO-8859-1"}, Symbols.ASCII),
        ({"LANG": "C.UTF-8", "TERM": "linux"}, Symbols.BLOCKS),
        ({"TERM": "xterm-256color"}, Symbols.BRAILLE),
    ],
)
def test_symbols_follow_the_locale_and_the_terminal(
    environment: dict[str, str], symbols: Symbols
) -> None:
    assert symbols_of(environment) is symbols


@pytest.mark.parametrize(
    ("environment", "few"),
    [
        ({"TERM": "linux"}, True),
        ({"TERM": "xterm-16color"}, True),
        ({"TERM": "xterm-256color"}, False),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, False),
        ({}, False),
    ],
)
def test_few_colours_are_noticed(environment: dict[str, str], few: bool) -> None:
    assert has_few_colours(environment) is few


def test_symbols_can_be_named() -> None:
    made = for_terminal(Options(), {"LANG": "C", "TERM": "linux"}, "blocks")
    assert made.look.symbols is Symbols.BLOCKS
    assert made.is_plain
    assert for_terminal(Options(), {"LANG": "C"}).look.symbols is Symbols.ASCII


@given(st.text())
def test_ascii_is_ascii_and_as_wide(text: str) -> None:
    written = to_ascii(text)
    assert written.isascii()
    assert cell_len(written) == cell_len(text) or not text.isprintable() or len(text) > 1


def test_signs_have_lookalikes() -> None:
    assert to_ascii("\x1b[1m● up ━━╸━ 漢 é…") == "\x1b[1m* up ==-= ?? ?~"


# --- commands -------------------------------------------------------------------------------------


def command(name: str, meaning: str = "") -> Command:
    return Command(name, meaning, lambda: None)


OFFERED = [
    command("sort cpu", "by processors"),
    command("columns"),
    command("theme light", "sort of bright"),
    command("sort"),
]


def names(typed: str) -> list[str]:
    return [each.name for each in fitting(OFFERED, typed)]


def test_commands_are_found_by_any_of_their_words_the_nearest_first() -> None:
    assert names("sort") == ["sort", "sort cpu", "theme light"]
    assert names("CPU so") == ["sort cpu"]
    assert names("light") == ["theme light"]
    assert names("nothing") == []
    assert len(names("")) == 4


def test_keys_are_called_as_people_call_them() -> None:
    assert [key_name(key) for key in ("slash", "ctrl+c", "shift+tab", "x")] == [
        "/",
        "Ctrl-C",
        "Shift-Tab",
        "x",
    ]


def test_keys_that_do_the_same_stand_together() -> None:
    (use,) = merged([("up", "Up", "move(-1)"), ("k", "Up", "move(-1)"), ("x", "", "page_left")])
    assert (use.keys, use.meaning) == (("↑", "k"), "Up")


@pytest.mark.parametrize("width", [40, 74, 120])
def test_help_is_told_whole_on_any_screen(width: int) -> None:
    uses = uses_of([*FleetScreen.BINDINGS, *FleetTable.BINDINGS, *Dashboard.BINDINGS])
    lines = ["".join(piece.text for piece in line) for line in lines_of(uses, width)]
    assert all(cell_len(line) <= width for line in lines)
    told = " ".join(" ".join(lines).split())
    assert "…" not in told
    for word in {word for use in uses for word in (*use.keys, *use.meaning.split())}:
        assert word in told
    assert "wheel" in told
    assert "scrolls." in told


def test_what_is_kept_is_for_its_owner_alone(tmp_path: Path) -> None:
    assert save(tmp_path, Preferences(order="cpu")) == ""
    saved = store(tmp_path, "picture", "<svg/>", "words")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / FILE_NAME, *saved)}
    assert modes == {0o600}
    assert [path.read_text() for path in saved] == ["<svg/>", "words"]
