"""The families in full and the inventory: they survive the wire, and hostile ones are refused."""

import msgspec
import pytest

from shared.families import (
    FAMILY_TYPES,
    ROWS_LIMIT,
    FamilyData,
    Memory,
    Route,
    Routes,
    decode_family,
)
from shared.families_explained import EXPLAINED, sent_in_full
from shared.frames import LINK_FRAME_LIMIT_BYTES
from shared.inventory import Inventory
from shared.messages import raw
from shared.metrics import FAMILIES, Family

MEMORY = Memory(total_bytes=100, available_bytes=40, used_ratio=0.6, free_bytes=10)


def test_every_family_has_a_struct_and_an_explanation() -> None:
    assert tuple(FAMILY_TYPES) == FAMILIES
    assert tuple(EXPLAINED) == FAMILIES


def test_family_survives_the_wire() -> None:
    assert decode_family("memory", raw(MEMORY)) == MEMORY


def test_family_of_a_newer_agent_is_skipped() -> None:
    assert decode_family("gpu", raw([1, 2])) is None


def test_fields_that_a_newer_agent_adds_are_ignored_and_those_an_older_lacks_are_absent() -> None:
    newer = raw([*msgspec.structs.astuple(MEMORY), "more"])
    assert decode_family("memory", newer) == MEMORY
    assert decode_family("memory", raw([100, 40, 0.6, 10])) == MEMORY


@pytest.mark.parametrize(
    ("family", "hostile"),
    [
        ("memory", [-1, 40, 0.6, 10]),
        ("memory", [100, 40, float("nan"), 10]),
        ("memory", [100, 40, 1.5, 10]),
        ("memory", [100, 40, 0.6, 2**60]),
        ("cpu", ["many"]),
        ("cpu", {}),
        ("users", [[["x" * 257, "", "", 0]]]),
        ("routes", [[["0.0.0.0/0", None, "eth0", 0]] * (ROWS_LIMIT + 1)]),
        ("processes", [1, 1, {"x" * 300: 1}]),
    ],
)
def test_what_no_honest_agent_sends_is_refused(family: str, hostile: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_family(family, raw(hostile))


def test_longest_table_of_routes_fits_into_a_message() -> None:
    row = Route("f" * 256, "f" * 256, "f" * 256, 2**32)
    longest: FamilyData = Routes((row,) * ROWS_LIMIT)
    assert len(raw(longest)) < LINK_FRAME_LIMIT_BYTES


def test_inventory_survives_the_wire() -> None:
    inventory = Inventory("a", "b", "c", "d", "3.11", "0.1.0", "boot", -5, labels={"rack": "7"})
    assert msgspec.msgpack.decode(raw(inventory), type=Inventory) == inventory


@pytest.mark.parametrize(
    ("family", "field"),
    [("cpu", "cores.busy_ratio"), ("users", "sessions.host"), ("processes", "largest.environment")],
)
def test_every_field_that_is_sent_is_explained(family: Family, field: str) -> None:
    assert field in sent_in_full(family)
