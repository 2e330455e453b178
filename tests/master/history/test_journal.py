"""Rows of the journal: what goes in comes out; what was changed is an error."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.history.journal import (
    BLOCK,
    SHARDS,
    Entry,
    FamilyEntry,
    JournalError,
    node_key,
    pack_entries,
    pack_families,
    place_of,
    row_number,
    rows_of,
    shard_of,
    unpack_entries,
    unpack_families,
)

NUMBERS = st.integers(0, 2**53)

ENTRIES = st.builds(
    Entry,
    st.integers(1, 2**32 - 1),
    st.integers(1, 2**31),
    NUMBERS,
    st.integers(-(2**53), 2**53),
    NUMBERS,
    st.booleans(),
    st.binary(max_size=50),
)
FAMILIES = st.builds(
    FamilyEntry,
    st.integers(1, 2**32 - 1),
    st.integers(-(2**53), 2**53),
    st.text(max_size=8),
    NUMBERS,
    st.binary(max_size=50),
)


@given(st.lists(ENTRIES, min_size=1, max_size=20))
def test_samples_come_back_as_they_went_in(entries: list[Entry]) -> None:
    assert unpack_entries(*pack_entries(entries)) == entries


@given(st.lists(FAMILIES, min_size=1, max_size=20))
def test_families_come_back_as_they_went_in(entries: list[FamilyEntry]) -> None:
    assert unpack_families(*pack_families(entries)) == entries


@given(st.lists(ENTRIES, min_size=1, max_size=5))
def test_any_changed_byte_is_an_error_or_changes_nothing(entries: list[Entry]) -> None:
    nodes, body = pack_entries(entries)
    for place in range(len(nodes)):
        changed = bytearray(nodes)
        changed[place] ^= 1
        with pytest.raises(JournalError):
            unpack_entries(bytes(changed), body)
    for place in range(len(body)):
        changed = bytearray(body)
        changed[place] ^= 1 << place % 8
        with suppress(JournalError):  # there are bits that deflate leaves unused
            assert unpack_entries(nodes, bytes(changed)) == entries


def test_torn_row_is_an_error() -> None:
    nodes, body = pack_families([FamilyEntry(7, 1, "cpu", 5, b"x" * 100)])
    for length in range(len(body)):
        with pytest.raises(JournalError):
            unpack_families(nodes, body[:length])


def test_small_fleet_is_one_row_and_a_large_one_is_spread_evenly() -> None:
    assert {shard_of(node) for node in range(1, BLOCK)} == {0}
    sizes = [0] * SHARDS
    for node in range(20 * BLOCK * SHARDS):
        sizes[shard_of(node)] += 1
    assert set(sizes) == {20 * BLOCK}


@given(st.integers(0, SHARDS - 1), st.integers(0, 2**39))
def test_rows_of_a_shard_lie_together_in_order_of_their_places(shard: int, place: int) -> None:
    first, last = rows_of(shard)
    number = row_number(shard, place)
    assert first <= number < row_number(shard, place + 1) <= last
    assert place_of(number) == place
    assert last < rows_of(shard + 1)[0]


def test_node_is_found_in_the_column_by_its_key() -> None:
    nodes, _ = pack_entries([Entry(node, 1, 1, 1, 1, False, b"") for node in (3, 70_000, 5)])
    assert node_key(70_000) in nodes
    assert node_key(4) not in nodes
