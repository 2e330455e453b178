"""Families of one node over one window, together: tables that follow each other are much alike,
and deflate leaves out what they have in common.

    deflated MessagePack: one array per family, in order of their names and of time
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from master.history.codec import ChunkError

WINDOW_MS: Final = 3_600_000

_EFFORT: Final = 6
_LONGEST_BYTES: Final = 256 * 1024 * 1024


class KeptFamily(NamedTuple):
    """One family at one time."""

    family: str
    at_ms: int
    """Unix milliseconds by the master's clock."""
    period_ms: int
    data: bytes
    """Its Struct in MessagePack."""


_KEPT: Final = msgspec.msgpack.Decoder(list[KeptFamily])


def pack_families(kept: Iterable[KeptFamily]) -> bytes:
    """The column `body` of a row, each once and in order."""
    return zlib.compress(msgspec.msgpack.encode(sorted(set(kept))), _EFFORT)


def unpack_families(body: bytes) -> list[KeptFamily]:
    """What `pack_families` was given, in order of families and of time.

    Raises:
        ChunkError: it is damaged.
    """
    inflate = zlib.decompressobj()
    try:
        told = inflate.decompress(body, _LONGEST_BYTES)
        if not inflate.eof:
            raise ChunkError("families that are torn")
        return _KEPT.decode(told)
    except (zlib.error, msgspec.DecodeError) as error:
        raise ChunkError(f"families that cannot be read: {error}") from error


def last_before(kept: Iterable[KeptFamily], at_ms: int) -> dict[str, KeptFamily]:
    """Of each family the last at or before an instant."""
    return {each.family: each for each in _in_order(kept) if each.at_ms <= at_ms}


def _in_order(kept: Iterable[KeptFamily]) -> Iterator[KeptFamily]:
    return iter(sorted(kept, key=lambda each: each.at_ms))
