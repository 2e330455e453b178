"""Rows of `known`: the numbers of one boot of a host, with a checksum. One that is damaged is made
anew from the chunks; what these have no longer is too old to come again."""

import logging
import sqlite3
import struct
import zlib
from contextlib import suppress
from typing import Final

from master.history import marked
from master.history.codec import ChunkError
from master.history.intervals import Intervals

_CHECKSUM: Final = struct.Struct(">I")

_log: Final = logging.getLogger(__name__)


def pack(intervals: Intervals) -> bytes:
    """The column `intervals`."""
    body = intervals.to_bytes()
    return body + _CHECKSUM.pack(zlib.crc32(body))


def read(connection: sqlite3.Connection, node: int, boot_id: str, packed: bytes) -> Intervals:
    """The numbers of a row.

    Raises:
        sqlite3.Error: it is damaged, and the chunks cannot be read.
    """
    body = packed[: -_CHECKSUM.size]
    if packed[-_CHECKSUM.size :] == _CHECKSUM.pack(zlib.crc32(body)):
        with suppress(ValueError):
            return Intervals.from_bytes(body)
    _log.error(
        "which samples of a boot are in the history is told from its chunks: the row is damaged",
        extra={"node": node, "boot_id": boot_id},
    )
    return _from_chunks(connection, node, boot_id)


def _from_chunks(connection: sqlite3.Connection, node: int, boot_id: str) -> Intervals:
    runs = {
        number
        for (number,) in connection.execute(
            "SELECT number FROM runs WHERE node = ? AND boot_id = ?", (node, boot_id)
        )
    }
    found = Intervals()
    for packed in connection.execute(
        "SELECT marks, body FROM chunks WHERE node = ? AND tier_ms = 0", (node,)
    ):
        with suppress(ChunkError):
            samples = marked.unpack(*packed).samples
            for run, sequence in zip(samples.run.tolist(), samples.sequence.tolist(), strict=True):
                if run in runs:
                    found.add(sequence)
    return found
