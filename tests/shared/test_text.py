"""Text from elsewhere: nothing in it may drive a terminal or reverse a line."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.text import NAME_LIMIT_CHARACTERS, clean, clean_name

any_text = st.text(st.characters())  # every code point, lone surrogates included
hostile_text = st.text(
    st.sampled_from(
        "ab \t\n\r\x00\x07\x08\x1b\x7f\x85\x9b\u200b\u200e\u202a\u202e\u2028\u2066\ufeff"
    )
)


@given(any_text | hostile_text)
def test_nothing_is_left_that_could_drive_a_terminal(text: str) -> None:
    left = {unicodedata.category(c) for c in clean(text)}
    assert not left & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    bidirectional = {unicodedata.bidirectional(c) for c in clean(text)}
    assert not bidirectional & {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(any_text | hostile_text, st.integers(0, 20))
def test_limit_holds(text: str, limit: int) -> None:
    assert len(clean(text, limit)) <= limit


@given(any_text | hostile_text)
def test_cleaning_again_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    assert clean_name(clean_name(text)) == clean_name(text)


@given(any_text | hostile_text)
def test_name_can_be_typed_as_one_word_of_a_command(text: str) -> None:
    name = clean_name(text)
    assert 0 < len(name) <= NAME_LIMIT_CHARACTERS
    assert not name.startswith("-")
    assert name.split() == [name]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("web-1", "web-1"),
        ("naïve café 東京 Ω", "naïve café 東京 Ω"),
        ("\x1b[2Jgone", "[2Jgone"),
        ("disk\tfull\nnow", "disk full now"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("bell\x07", "bell"),
    ],
)
def test_examples(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("rack 3 / node 7", "rack-3-/-node-7"),
        ("--help", "help"),
        ("", "unnamed"),
        ("\x00", "unnamed"),
    ],
)
def test_example_names(text: str, name: str) -> None:
    assert clean_name(text) == name
