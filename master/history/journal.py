"""Rows of the journal: what has arrived between two commits for the nodes of one shard, together.

Nodes are spread over the shards by their numbers, in blocks: a small fleet is one row per commit,
a large one `SHARDS`. The nodes of a row stand beside its body, so that whoever looks for one of
them need not unpack the others'.
"""

import sqlite3
import sys
import zlib
from array import array
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

SHARDS: Final = 32
BLOCK: Final = 64
"""Nodes that follow each other in one shard."""

_SHARD_SHIFT: Final = 40
_EFFORT: Final = 1
"""zlib's level: a journal is short-lived."""


class JournalError(ValueError):
    """A row that is not as it was written."""


class Entry(NamedTuple):
    """A sample in the journal, by the numbers of its node and run."""

    node: int
    run: int
    sequence: int
    at_ms: int
    period_ms: int
    is_late: bool
    core: bytes


class FamilyEntry(NamedTuple):
    """A family in the journal."""

    node: int
    at_ms: int
    family: str
    period_ms: int
    data: bytes


_ENTRIES: Final = msgspec.msgpack.Decoder(
    tuple[int, list[int], list[int], list[int], list[int], list[bool], list[bytes]]
)
_KEYS: Final = msgspec.msgpack.Decoder(
    tuple[int, list[int], list[int], list[int], list[int], list[bool], msgspec.Raw]
)
_FAMILIES: Final = msgspec.msgpack.Decoder(tuple[int, list[int], list[str], list[int], list[bytes]])


def shard_of(node: int) -> int:
    """The shard that a node belongs to, by its number."""
    return node // BLOCK % SHARDS


def row_number(shard: int, place: int) -> int:
    """The key of a row: within a shard they are in order of their places."""
    return shard << _SHARD_SHIFT | place


def rows_of(shard: int) -> tuple[int, int]:
    """The keys between which, both included, all rows of a shard are."""
    return shard << _SHARD_SHIFT, (shard + 1 << _SHARD_SHIFT) - 1


def place_of(number: int) -> int:
    """A row's place, by its key."""
    return number & (1 << _SHARD_SHIFT) - 1


def last_place(connection: sqlite3.Connection) -> int:
    """The place of the row that was written last; 0 where there is none.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    found = 0
    for table in ("journal", "family_journal"):
        for shard in range(SHARDS):
            (number,) = connection.execute(
                f"SELECT max(number) FROM {table} WHERE number BETWEEN ? AND ?",  # noqa: S608
                rows_of(shard),
            ).fetchone()
            found = max(found, place_of(number or 0))
    return found


def node_key(node: int) -> bytes:
    """A node's number as in the column `nodes`: `instr(nodes, key)` leaves out most rows without
    it, and none with it."""
    return _little(array("I", (node,))).tobytes()


def pack_entries(entries: Iterable[Entry]) -> tuple[bytes, bytes]:
    """The columns `nodes` and `body` of a row. At least one sample."""
    nodes, *columns = zip(*entries, strict=True)
    return _packed(nodes, columns)


def unpack_entries(nodes: bytes, body: bytes) -> list[Entry]:
    """The samples of a row, in order of their arrival.

    Raises:
        JournalError: the row is damaged.
    """
    return [Entry._make(row) for row in zip(*unpack_columns(nodes, body), strict=True)]


class Columns(NamedTuple):
    """Samples of the journal column by column, as in `Entry`. All are as long."""

    node: Sequence[int]
    run: Sequence[int]
    sequence: Sequence[int]
    at_ms: Sequence[int]
    period_ms: Sequence[int]
    is_late: Sequence[bool]
    core: Sequence[bytes]


def columns_of(entries: Iterable[Entry]) -> Columns:
    """The same samples. At least one."""
    return Columns._make(zip(*entries, strict=True))


def unpack_columns(nodes: bytes, body: bytes) -> Columns:
    """The samples of a row, in order of their arrival: for whoever wants all of many rows.

    Raises:
        JournalError: the row is damaged.
    """
    try:
        checksum, *columns = _ENTRIES.decode(zlib.decompress(body))
        node = _unpacked_nodes(nodes, checksum)
    except (zlib.error, msgspec.DecodeError, ValueError) as error:
        raise _damaged(error) from error
    return _even(Columns._make((node, *columns)))


class Keys(NamedTuple):
    """The samples of a row without their values, column by column, as in `Entry`."""

    node: Sequence[int]
    run: Sequence[int]
    sequence: Sequence[int]
    at_ms: Sequence[int]
    period_ms: Sequence[int]
    is_late: Sequence[bool]


def unpack_keys(nodes: bytes, body: bytes) -> Keys:
    """The same without the values, which are most of it.

    Raises:
        JournalError: the row is damaged.
    """
    try:
        checksum, run, sequence, at_ms, period_ms, is_late, _ = _KEYS.decode(zlib.decompress(body))
        node = _unpacked_nodes(nodes, checksum)
    except (zlib.error, msgspec.DecodeError, ValueError) as error:
        raise _damaged(error) from error
    return _even(Keys(node, run, sequence, at_ms, period_ms, is_late))


AnyColumns = TypeVar("AnyColumns", Columns, Keys)


def pack_families(entries: Iterable[FamilyEntry]) -> tuple[bytes, bytes]:
    """The columns `nodes` and `body` of a row of families. At least one."""
    nodes, *columns = zip(*entries, strict=True)
    return _packed(nodes, columns)


def unpack_families(nodes: bytes, body: bytes) -> list[FamilyEntry]:
    """The families of a row, in order of their arrival.

    Raises:
        JournalError: the row is damaged.
    """
    try:
        checksum, *columns = _FAMILIES.decode(zlib.decompress(body))
        rows = zip(_unpacked_nodes(nodes, checksum), *columns, strict=True)
        return [FamilyEntry._make(row) for row in rows]
    except (zlib.error, msgspec.DecodeError, ValueError) as error:
        raise _damaged(error) from error


def _packed(nodes: Iterable[int], columns: list[tuple[object, ...]]) -> tuple[bytes, bytes]:
    # deflate ends with a checksum of the body; that of the nodes is in it.
    told = _little(array("I", nodes)).tobytes()
    body = msgspec.msgpack.encode([zlib.crc32(told), *columns])
    return told, zlib.compress(body, _EFFORT)


def _even(columns: AnyColumns) -> AnyColumns:
    if any(len(column) != len(columns.node) for column in columns):
        raise JournalError("a damaged row of the journal: its columns differ in length")
    return columns


def _unpacked_nodes(told: bytes, checksum: int) -> "array[int]":
    if zlib.crc32(told) != checksum:
        raise ValueError("its nodes do not match their checksum")
    nodes = array("I")
    nodes.frombytes(told)
    return _little(nodes)


def _little(numbers: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _damaged(error: Exception) -> JournalError:
    return JournalError(f"a damaged row of the journal: {error}")
