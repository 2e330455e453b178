"""The recording in the documentation: what is written shows what was on the screen."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.make_recording import CAST, COLUMNS, COMMAND, ROWS, STORY, cast
from docs.screens import BLANK, Cell, Screen, blank, changes, parse
from heartline.exits import Exit
from heartline.main import main

MOST_BYTES = 1_000_000
MOVE = re.compile(r"\x1b\[(\d+);(\d+)H")
LOOK = re.compile(r"\x1b\[0(?:;([\d;]+))?m")

STYLES = ["", "1", "31", "1;38;2;10;20;30", "38;5;7;48;2;0;0;0"]
CELLS = st.sampled_from([Cell(text, style) for text in "ab █" for style in STYLES])
SCREENS = st.lists(
    st.lists(CELLS, min_size=12, max_size=12).map(tuple), min_size=3, max_size=3
).map(tuple)


def shown(before: Screen, written: str) -> Screen:
    """What a terminal shows that has shown `before`."""
    rows = [list(row) for row in before]
    row = column = place = 0
    style = ""
    while place < len(written):
        if move := MOVE.match(written, place):
            row, column, place = int(move[1]) - 1, int(move[2]) - 1, move.end()
        elif look := LOOK.match(written, place):
            style, place = look[1] or "", look.end()
        else:
            rows[row][column] = Cell(written[place], style)
            column, place = column + 1, place + 1
    return tuple(tuple(cells) for cells in rows)


@given(SCREENS, SCREENS)
def test_written_changes_make_one_screen_of_the_other(before: Screen, after: Screen) -> None:
    assert shown(before, changes(before, after)) == after


@given(SCREENS)
def test_nothing_is_written_where_nothing_has_changed(screen: Screen) -> None:
    assert changes(screen, screen) == ""


def test_far_cells_are_moved_to_and_near_ones_written_through() -> None:
    before = blank(20, 1)
    after = (tuple(Cell("x", "") if place in {0, 3, 19} else BLANK for place in range(20)),)
    assert changes(before, after) == "\x1b[1;1H\x1b[0mx  x\x1b[1;20H\x1b[0mx"


def test_wide_character_is_one_cell_and_its_other_half_and_is_written_whole() -> None:
    (row,) = parse("a漢b", 5, 1)
    assert row == (Cell("a", ""), Cell("漢", ""), Cell("", ""), Cell("b", ""), BLANK)
    before = parse("axyb", 5, 1)
    assert changes(before, (row,)) == "\x1b[1;2H\x1b[0m漢"


@pytest.mark.parametrize(
    ("captured", "styles"),
    [
        ("\x1b[1mx\x1b[0my", ["1", ""]),
        ("\x1b[31;44mx\x1b[39my\x1b[49mz", ["31;44", "44", ""]),
        ("\x1b[38;2;1;2;3mx\x1b[48;5;9my", ["38;2;1;2;3", "38;2;1;2;3;48;5;9"]),
        ("\x1b[1;7;91mx\x1b[22my\x1b[27mz", ["1;7;91", "7;91", "91"]),
        ("\x1b[100mx\x1b[my", ["100", ""]),
        ("\x1b[4;24mx", [""]),
    ],
)
def test_colours_and_attributes_are_read(captured: str, styles: list[str]) -> None:
    (row,) = parse(captured, len(styles), 1)
    assert [cell.style for cell in row] == styles


def test_look_is_carried_from_line_to_line_as_tmux_prints_it() -> None:
    first, second = parse("\x1b[31ma\nb", 1, 2)
    assert first[0].style == second[0].style == "31"


def test_what_is_no_text_is_left_out() -> None:
    (row,) = parse("a\x1b]8;;https://example.org\x1b\\b\x0ec\x0f", 3, 1)
    assert "".join(cell.text for cell in row) == "abc"


def test_frames_in_which_nothing_changes_cost_nothing() -> None:
    screen = parse("x", COLUMNS, ROWS)
    lines = cast([(0.5, screen), (0.75, screen), (1.0, screen)]).splitlines()
    assert len(lines) == 3


def test_recording_is_one_that_players_take_and_small_enough_to_keep() -> None:
    content = CAST.read_text(encoding="utf-8")
    header, *events = map(json.loads, content.splitlines())
    assert header == {"version": 2, "width": COLUMNS, "height": ROWS, "command": COMMAND}
    assert len(content.encode()) < MOST_BYTES
    times = [at_s for at_s, _, _ in events]
    assert times == sorted(times)
    assert sum(step.then_s for step in STORY) - 2 < times[-1] < sum(s.then_s for s in STORY) + 10
    assert {kind for _, kind, _ in events} == {"o"}


def test_recorded_command_is_one_that_the_program_takes() -> None:
    assert main([*COMMAND.split()[1:], "--help"]) == Exit.OK


def test_recording_speaks_of_no_place_but_its_own() -> None:
    content = Path(CAST).read_text(encoding="utf-8")
    assert "heartline-demo-" not in content  # the temporary folder
