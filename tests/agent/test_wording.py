"""Whatever the host calls things, it can be sent."""

import os

from hypothesis import given
from hypothesis import strategies as st

from agent.wording import NAME_CHARACTERS, fit
from shared.messages import raw


@given(st.binary(max_size=600))
def test_any_name_that_the_kernel_knows_can_be_encoded(name: bytes) -> None:
    text = fit(os.fsdecode(name))
    assert raw(text)
    assert len(text) <= NAME_CHARACTERS


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=NAME_CHARACTERS))
def test_text_is_left_as_it_is(text: str) -> None:
    assert fit(text) == text


def test_long_text_is_cut() -> None:
    assert fit("ä" * 300) == "ä" * 256
    assert fit("abc", 2) == "ab"
