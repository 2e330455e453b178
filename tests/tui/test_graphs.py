"""Graphs of characters: what is known leaves a mark, what is not leaves none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.graphs import Drawn, area, ceiling, columns_per_cell, outline, plot, sparkline
from tui.look import Look, Symbols
from tui.tones import Tone

BLANK = "\N{BRAILLE PATTERN BLANK}"


def test_braille_draws_two_values_to_a_cell_and_four_levels_to_a_row() -> None:
    assert plot([1.0, 0.5], 1.0, 1, Symbols.BRAILLE) == ("⣧",)
    assert plot([0.5, 1.0], 1.0, 2, Symbols.BRAILLE) == ("⢸", "⣿")


def test_blocks_draw_one_value_to_a_cell_and_eight_levels_to_a_row() -> None:
    assert plot([0.0, 0.25, 0.5, 1.0], 1.0, 1, Symbols.BLOCKS) == ("▁▂▄█",)
    assert plot([0.5, 1.0], 1.0, 2, Symbols.BLOCKS) == (" █", "██")


def test_zero_is_a_mark_and_unknown_is_a_gap() -> None:
    assert sparkline([0.0, None], Symbols.BLOCKS) == "▁ "
    assert sparkline([None, None], Symbols.BRAILLE) == BLANK
    assert sparkline([0.0, None], Symbols.BRAILLE) == "⡀"


def test_rows_are_toned_by_what_reaches_them() -> None:
    rows = area(Drawn([1.0, 1.0]), 1.0, 10, Look())
    tones = [row[0].tone for row in rows]
    assert tones == [Tone.HOT, *[Tone.WARM] * 2, *[Tone.CALM] * 7]
    assert {row[0].tone for row in area(Drawn([1.0, 1.0]), 1.0, 3, Look(), Tone.SERIES)} == {
        Tone.SERIES
    }


@pytest.mark.parametrize(
    ("values", "least", "top"), [([], 8, 8), ([None, 8.0], 8, 8), ([9.0], 8, 16), ([1e6], 1, 2**20)]
)
def test_ceiling_holds_every_value(values: list[float | None], least: float, top: float) -> None:
    assert ceiling(values, least) == top


@given(
    values=st.lists(st.none() | st.floats(0, 1e9), max_size=40).filter(lambda v: len(v) % 2 == 0),
    top=st.floats(0.1, 1e9),
    height=st.integers(1, 9),
    symbols=st.sampled_from(Symbols),
)
def test_any_values_make_rows_of_one_size(
    values: list[float | None], top: float, height: int, symbols: Symbols
) -> None:
    rows = plot(values, top, height, symbols)
    assert len(rows) == height
    assert {len(row) for row in rows} == {len(values) // columns_per_cell(symbols)}


@pytest.mark.parametrize(
    ("symbols", "rows"),
    [
        (Symbols.BRAILLE, ("⠉", "⣤")),
        (Symbols.BLOCKS, ("··", "▃▃")),
        (Symbols.ASCII, ("··", "▃▃")),
    ],
)
def test_highest_values_are_a_line_above_the_means(symbols: Symbols, rows: tuple[str, ...]) -> None:
    drawn = area(Drawn([0.2, 0.2], [1.0, 1.0]), 1.0, 2, Look(symbols=symbols))
    assert tuple("".join(piece.text for piece in row) for row in drawn) == rows
    assert drawn[0][0].tone is Tone.MUTED
    assert drawn[1][0].tone is Tone.CALM


def test_where_means_are_as_high_the_line_gives_way() -> None:
    drawn = area(Drawn([1.0, None], [1.0, None]), 1.0, 1, Look())
    assert [piece.text for piece in drawn[0]] == ["⡇"]


def test_line_is_one_dot_high_wherever_it_is() -> None:
    for level in range(1, 9):
        rows = outline([level / 8] * 2, 1.0, 2, Symbols.BRAILLE)
        assert [row for row in rows if row != "⠀"] == [("⣀⠤⠒⠉")[(level - 1) % 4]]
