"""A notice that is longer than a line goes on in the next one, and none of it is lost."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.shortening import shorten_pieces
from tui.tones import Piece, Pieces, Tone
from tui.wrapping import wrapped

PATH = "/home/somebody/.local/share/heartline/master.sock"


def texts(lines: Iterable[Pieces]) -> list[str]:
    return ["".join(piece.text for piece in line).rstrip() for line in lines]


def test_what_fits_stays_in_one_line_and_one_piece() -> None:
    pieces = (Piece("the link was reset", Tone.STRONG),)
    assert wrapped(pieces, 18, 3) == [pieces]
    assert wrapped((), 18, 3) == [()]


def test_lines_break_between_words() -> None:
    pieces = (Piece("No link yet: nobody answers at master.example:7700"),)
    assert texts(wrapped(pieces, 31, 3)) == [
        "No link yet: nobody answers at",
        "master.example:7700",
    ]


def test_word_longer_than_a_line_is_broken() -> None:
    lines = texts(wrapped((Piece(f"nobody answers at {PATH}"),), 30, 3))
    assert lines[0] == "nobody answers at"
    assert "".join(lines[1:]) == PATH


def test_each_piece_keeps_its_tone_over_the_break() -> None:
    pieces = (Piece("three of them, ", Tone.STRONG), Piece("and two more", Tone.MUTED))
    assert wrapped(pieces, 18, 3) == [
        (Piece("three of them, ", Tone.STRONG), Piece("and ", Tone.MUTED)),
        (Piece("two more", Tone.MUTED),),
    ]


def test_last_line_holds_the_rest() -> None:
    assert texts(wrapped((Piece("a b c d e f"),), 3, 2)) == ["a b", "c d e f"]


@pytest.mark.parametrize("width", [-3, 0, 1])
def test_screen_too_narrow_for_anything_is_no_error(width: int) -> None:
    assert "".join(texts(wrapped((Piece("ab cd"),), width, 100))) == "abcd"


@given(st.lists(st.text("ab \u4e2d", max_size=12).map(Piece), max_size=4), st.integers(2, 20))
def test_nothing_is_lost_and_no_line_is_too_long(pieces: list[Piece], width: int) -> None:
    lines = texts(wrapped(tuple(pieces), width, 1000))
    said = "".join("".join(piece.text for piece in pieces).split())
    assert "".join("".join(lines).split()) == said
    assert all(cell_len(line) <= width for line in lines)


@given(st.lists(st.text(), max_size=5), st.integers(min_value=0, max_value=40))
def test_what_is_cut_says_so_and_fits(parts: list[str], width: int) -> None:
    pieces = [Piece(part) for part in parts]
    text = "".join(parts)
    cut = "".join(piece.text for piece in shorten_pieces(pieces, width))
    assert cell_len(cut) <= width
    if sum(map(cell_len, parts)) <= width:
        assert cut == text
    elif width:
        assert cut.endswith("…")


def test_cut_between_two_pieces_says_so_as_well() -> None:
    pieces = (Piece("144 processes", Tone.MUTED), Piece(" · ", Tone.FAINT))
    assert shorten_pieces(pieces, 13) == (Piece("144 processe…", Tone.MUTED),)
    assert shorten_pieces(pieces, 14) == (pieces[0], Piece("…", Tone.FAINT))
