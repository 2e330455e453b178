"""Tables that line up and fit."""

from hypothesis import given
from hypothesis import strategies as st

from heartline.tables import Cell, Column, layout, width_of

COLUMNS = (Column("NAME", flexible=True), Column("N", right=True), Column("WHY", flexible=True))


def test_columns_line_up_to_their_side() -> None:
    lines = list(layout(COLUMNS, [["a", "1", "x"], ["bbb", "20", "y"]], None))
    assert lines == ["NAME   N  WHY", "a      1  x", "bbb   20  y"]


def test_a_column_that_is_empty_throughout_is_left_out() -> None:
    assert list(layout(COLUMNS, [["a", "1", ""]], None)) == ["NAME  N", "a     1"]


def test_in_a_pipe_nothing_is_cut() -> None:
    assert "x" * 500 in list(layout(COLUMNS, [["a", "1", "x" * 500]], None))[1]


def test_on_a_terminal_the_widest_flexible_column_gives_way_first() -> None:
    lines = list(layout(COLUMNS, [["short", "1", "x" * 500]], 40))
    assert lines[1].startswith("short  1  xxx")
    assert lines[1].endswith("…")
    assert width_of(lines[1]) == 40


def test_wide_characters_take_their_two_columns() -> None:
    lines = list(layout(COLUMNS, [["日本", "1", "x"], ["abcd", "2", "y"]], None))
    assert width_of(lines[1]) == width_of(lines[2])


def test_a_colour_changes_no_width() -> None:
    plain = list(layout(COLUMNS, [["a", "1", "x"]], None))[1]
    (coloured,) = list(layout(COLUMNS, [[Cell("a", "red"), "1", "x"]], None))[1:]
    assert coloured.replace("\x1b[31m", "").replace("\x1b[0m", "") == plain


@given(
    st.lists(st.tuples(*[st.text(st.characters(codec="utf-8"), max_size=60)] * 3), max_size=5),
    st.integers(30, 200),
)
def test_no_line_is_wider_than_the_terminal(rows: list[tuple[str, str, str]], width: int) -> None:
    cut = [(name, number[:4], why) for name, number, why in rows]
    assert all(width_of(line) <= width for line in layout(COLUMNS, cut, width))
