"""What agents say, on its way into the master: nothing in it may reach a terminal as it came."""

import math
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.ingest import (
    DEPTH_LIMIT,
    VALUES_LIMIT,
    clean_family,
    clean_inventory,
    clean_returned,
    clean_troubles,
)
from shared import messages as m
from shared.errors import RemoteProtocolError, Violation
from shared.families import FAMILY_TYPES, Filesystem, Filesystems
from shared.frames import LINK_FRAME_LIMIT_BYTES
from shared.inventory import FilesystemInfo, Inventory
from shared.text import NAME_LIMIT_CHARACTERS, TEXT_LIMIT_CHARACTERS, clean

HOSTILE = "\x1b]0;owned\x07\x1b[2Jroot\u202e\u2066gpj.exe\u200b\x00\x9b31m\ud800"

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=30,
)


def sample(data: object, family: str = "of-tomorrow") -> m.FamilySample:
    return m.FamilySample(family, 0, 0, 5000, m.raw(data))


def cleaned(data: object, family: str = "of-tomorrow") -> Any:
    return msgspec.msgpack.decode(clean_family(sample(data, family)).data)


def strings_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [text for part in parts_of(value) for text in strings_in(part)]


def parts_of(value: Any) -> list[Any]:
    shape = cast("object", type(value))
    if shape is dict:
        return [*value, *value.values()]
    return list(value) if shape is list else []


def assert_harmless(value: object) -> None:
    for text in strings_in(value):
        assert text == clean(text, TEXT_LIMIT_CHARACTERS)
        assert text.isprintable()


def refusal(packed: bytes) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as refused:
        clean_family(m.FamilySample("x", 0, 0, 5000, msgspec.Raw(packed)))
    assert refused.value.code == Violation.BAD_FRAME
    return refused.value


@given(anything)
def test_no_string_of_any_shape_comes_in_as_it_was(value: object) -> None:
    assert_harmless(cleaned({"key": value, HOSTILE.replace("\ud800", ""): [value]}))


@given(anything)
def test_cleaning_again_changes_nothing(value: object) -> None:
    once = cleaned(value)
    assert cleaned(once) == once


def test_strings_of_known_families_are_cleaned() -> None:
    hostile = HOSTILE.replace("\ud800", "")
    row = Filesystem(hostile, hostile, "ext4", False, 100, 50, 50, 0.5)
    assert_harmless(cleaned(Filesystems((row,)), "filesystems"))


def test_name_of_a_family_is_cleaned() -> None:
    name = clean_family(sample(1, HOSTILE)).family
    assert name == clean(name, NAME_LIMIT_CHARACTERS)
    assert " " not in name


def test_strings_of_an_inventory_are_cleaned_in_both_forms() -> None:
    hostile = HOSTILE.replace("\ud800", "")
    filesystem = FilesystemInfo(hostile, hostile, hostile, 1)
    inventory = Inventory(
        hostname=hostile,
        os=hostile,
        kernel=hostile,
        architecture=hostile,
        python=hostile,
        agent_version=hostile,
        boot_id=hostile,
        boot_wall_s=0,
        filesystems=(filesystem,),
        labels={hostile: hostile},
    )
    packed, decoded = clean_inventory(m.raw(inventory))
    assert_harmless(msgspec.msgpack.decode(packed))
    assert_harmless(msgspec.to_builtins(decoded))
    assert msgspec.msgpack.decode(packed, type=Inventory) == decoded


def test_strings_of_troubles_are_cleaned() -> None:
    (trouble,) = clean_troubles((m.Trouble(HOSTILE, HOSTILE, 3, HOSTILE * 100),))
    assert trouble.age_s == 3
    for text in (trouble.family, trouble.state, trouble.text):
        assert text == clean(text, TEXT_LIMIT_CHARACTERS)


def test_strings_of_a_return_are_cleaned() -> None:
    run = m.EndedRun(
        HOSTILE, 0, 1, HOSTILE, 0, 0, 0, 0, 0, 0, None, link_error=HOSTILE * 50, oom=HOSTILE
    )
    told = m.Returned(
        HOSTILE,
        *(0, 1, 0, 0, None, 0, 0, 0, 0),
        link_code=HOSTILE,
        link_error=HOSTILE * 50,
        attempt_error=HOSTILE * 50,
        runs=(run,),
    )
    assert_harmless(msgspec.to_builtins(clean_returned(told)))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_become_unknown(number: float) -> None:
    assert cleaned([number, {"a": number}]) == [None, {"a": None}]


@pytest.mark.parametrize("family", sorted(FAMILY_TYPES))
def test_known_family_must_be_what_its_name_says(family: str) -> None:
    with pytest.raises(RemoteProtocolError, match=family):
        clean_family(sample("nothing of the kind", family))


def test_number_out_of_its_bounds_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="the family cpu"):
        clean_family(sample((1, None, (), -1.0), "cpu"))


def test_what_is_no_inventory_is_refused() -> None:
    for packed in (m.raw([]), m.raw({"hostname": "x"}), m.raw(None), msgspec.Raw(b"\xc1")):
        with pytest.raises(RemoteProtocolError) as refused:
            clean_inventory(packed)
        assert refused.value.code == Violation.BAD_FRAME


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def test_nesting_is_accepted_up_to_the_limit() -> None:
    assert cleaned(nested(DEPTH_LIMIT)) == nested(DEPTH_LIMIT)
    with pytest.raises(RemoteProtocolError, match="nested too deep"):
        cleaned(nested(DEPTH_LIMIT + 1))


@pytest.mark.parametrize(
    "packed",
    [
        b"\x91" * (LINK_FRAME_LIMIT_BYTES - 1) + b"\x01",
        b"\x81\xa0" * (LINK_FRAME_LIMIT_BYTES // 2) + b"\x01",
        b"\x81" * 1000 + b"\x01" * 1001,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\x91",
        b"\x01\x01",
        b"\xa1\xff",
        b"\xc1",
        b"\xc4\x01x",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\xc7\x01\x05x",
        b"\xa0" * 2,
        b"",
    ],
    ids=lambda packed: f"{packed[:4].hex()}-{len(packed)}",
)
def test_hostile_packing_is_refused(packed: bytes) -> None:
    refusal(packed)


def test_more_values_than_any_host_has_are_refused() -> None:
    assert len(cleaned([0] * VALUES_LIMIT)) == VALUES_LIMIT
    hostile: list[object] = [
        [0] * (VALUES_LIMIT + 1),
        [[0] * 200] * 200,
        [dict[str, int]()] * (VALUES_LIMIT + 1),
    ]
    for many in hostile:
        with pytest.raises(RemoteProtocolError, match="values"):
            cleaned(many)


@given(st.binary(max_size=200))
def test_any_bytes_are_accepted_clean_or_refused_in_words(packed: bytes) -> None:
    for family in ("of-tomorrow", "cpu", "processes"):
        try:
            data = clean_family(m.FamilySample(family, 0, 0, 5000, msgspec.Raw(packed))).data
        except RemoteProtocolError as refused:
            assert refused.code == Violation.BAD_FRAME  # noqa: PT017 - either is right
        else:
            assert_harmless(msgspec.msgpack.decode(data))
