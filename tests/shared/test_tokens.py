"""Join tokens: what is copied by hand either arrives whole or is refused, and never shown."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import messages as m
from shared.errors import TokenError
from shared.tokens import (
    PIN_BYTES,
    PREFIX,
    SECRET_BYTES,
    TOKEN_ID_BYTES,
    Token,
    cluster_of,
    new_token,
    parse_token,
    secret_digest,
    server_name,
)

TOKEN = Token(bytes(range(PIN_BYTES)), bytes(TOKEN_ID_BYTES), b"sixteen secret b")
TEXT = TOKEN.encode()

tokens = st.builds(
    Token,
    st.binary(min_size=PIN_BYTES, max_size=PIN_BYTES),
    st.binary(min_size=TOKEN_ID_BYTES, max_size=TOKEN_ID_BYTES),
    st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES),
)


@given(tokens)
def test_token_is_read_as_it_was_written(token: Token) -> None:
    assert parse_token(token.encode()) == token


@given(tokens)
def test_case_and_surrounding_blanks_do_not_matter(token: Token) -> None:
    assert parse_token(f"  {token.encode().upper()}\n") == token


def test_token_is_one_word_of_97_plain_characters() -> None:
    assert len(TEXT) == 97
    assert set(TEXT) <= set(string.ascii_lowercase + string.digits + "-")


@pytest.mark.parametrize("position", range(len(TEXT)))
def test_every_damaged_character_is_found(position: int) -> None:
    for wrong in string.ascii_lowercase + string.digits + "-=!é":
        damaged = TEXT[:position] + wrong + TEXT[position + 1 :]
        if damaged != TEXT:
            with pytest.raises(TokenError):
                parse_token(damaged)


@pytest.mark.parametrize("position", range(len(TEXT) - 1))
def test_swapped_neighbours_are_found(position: int) -> None:
    one, other = TEXT[position], TEXT[position + 1]
    swapped = TEXT[:position] + other + one + TEXT[position + 2 :]
    if swapped != TEXT:
        with pytest.raises(TokenError):
            parse_token(swapped)


@pytest.mark.parametrize("length", range(len(TEXT)))
def test_token_that_was_cut_off_is_refused(length: int) -> None:
    with pytest.raises(TokenError):
        parse_token(TEXT[:length])


@given(st.text())
def test_anything_else_is_refused_in_words(text: str) -> None:
    with pytest.raises(TokenError, match="token"):
        parse_token(text)


@given(st.text())
def test_anything_behind_the_prefix_is_refused_in_words(text: str) -> None:
    with pytest.raises(TokenError, match="token"):
        parse_token(PREFIX + text)


def test_longer_token_is_refused() -> None:
    with pytest.raises(TokenError):
        parse_token(TEXT + "a" * 8)


def test_repr_never_shows_the_secret() -> None:
    shown = repr(TOKEN)
    assert TOKEN.token_id.hex() in shown
    for secret in (TOKEN.secret.decode(), TOKEN.secret.hex(), TEXT):
        assert secret not in shown


def test_messages_that_carry_a_secret_do_not_show_it() -> None:
    enrol = m.Enrol(1, 1, TOKEN.token_id, TOKEN.secret, b"request", "web", "0.1.0")
    created = m.TokenCreated(1, TEXT, TOKEN.token_id.hex(), 0)
    shown = repr(enrol) + str(created) + repr([enrol, created])
    assert TOKEN.secret.decode() not in shown
    assert TEXT not in shown


def test_fresh_tokens_differ_in_id_and_secret() -> None:
    made = [new_token(TOKEN.ca_pin) for _ in range(100)]
    assert len({token.token_id for token in made}) == len(made)
    assert len({token.secret for token in made}) == len(made)


def test_what_the_master_keeps_does_not_give_the_secret_away() -> None:
    assert TOKEN.secret not in secret_digest(TOKEN.secret)
    assert secret_digest(TOKEN.secret) != secret_digest(TOKEN.secret[:-1] + b"x")


def test_names_of_cluster_and_master_follow_from_the_pin_alone() -> None:
    assert len(cluster_of(TOKEN.ca_pin)) == 16
    assert server_name(TOKEN.ca_pin) == f"master.{cluster_of(TOKEN.ca_pin)}.heartline.internal"
    assert cluster_of(TOKEN.ca_pin) != cluster_of(bytes(PIN_BYTES))
