"""What the spool consists of, in memory and on disk: samples, and samples that are lost.

On disk a record is

    magic and kind (4 B), length of the body (4 B), CRC-32 of all else (4 B), body

and says all about itself, so that a damaged one costs nobody else anything: behind it, reading
goes on where the next magic stands before a record whose checksum is right. What no message could
carry is damaged too: a master would end the link over it, and every link after that.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Annotated, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta, Struct

from shared.messages import Count, Name, Wall

CORE_LIMIT_BYTES: Final = 1024
"""Twice the longest core sample."""


class RunKey(NamedTuple):
    """Which run of the agent on this host: its samples are numbered one after another."""

    boot_id: str
    started_mono_ms: int


class Sample(Struct, frozen=True, array_like=True, gc=False):
    """A sample that was taken."""

    boot_id: Name
    started_mono_ms: Count
    sequence: Count
    boot_ms: Wall
    """When, by the host's clock since boot."""
    wall_ms: Wall
    """When, by its wall clock."""
    period_ms: Count
    """When the next one was due after it."""
    core: Annotated[bytes, Meta(max_length=CORE_LIMIT_BYTES)]
    """MessagePack of a `shared.metrics.Core`."""

    @property
    def run(self) -> RunKey:
        """Who took it."""
        return RunKey(self.boot_id, self.started_mono_ms)


class Loss(Struct, frozen=True, array_like=True, gc=False):
    """Samples of one run that were taken and are no more; the times are as in `Sample`."""

    boot_id: Name
    started_mono_ms: Count
    first: Count
    last: Count
    first_boot_ms: Wall
    first_wall_ms: Wall
    last_boot_ms: Wall
    last_wall_ms: Wall

    @property
    def run(self) -> RunKey:
        """Who took them."""
        return RunKey(self.boot_id, self.started_mono_ms)


class Damage(Struct, frozen=True, gc=False):
    """A stretch of a file that holds no record."""

    size_bytes: int


Record: TypeAlias = Sample | Loss

BODY_LIMIT_BYTES: Final = 64 * 1024
"""Many times the longest: a length beyond it is none."""

_MAGIC: Final = b"HS1"
_KINDS: Final[dict[int, msgspec.msgpack.Decoder[Sample] | msgspec.msgpack.Decoder[Loss]]] = {
    ord("S"): msgspec.msgpack.Decoder(Sample),
    ord("L"): msgspec.msgpack.Decoder(Loss),
}
_HEAD: Final = struct.Struct(">3sBI")
_CHECKSUM: Final = struct.Struct(">I")
_BODY_AT: Final = _HEAD.size + _CHECKSUM.size
_ENCODER: Final = msgspec.msgpack.Encoder()


def pack(record: Record) -> bytes:
    """A record as it stands on disk."""
    body = _ENCODER.encode(record)
    head = _HEAD.pack(_MAGIC, ord("S" if isinstance(record, Sample) else "L"), len(body))
    return head + _CHECKSUM.pack(zlib.crc32(body, zlib.crc32(head))) + body


def parse(content: bytes) -> Iterator[Record | Damage]:
    """What a file holds, in order; every byte of it belongs to a record or to a damage."""
    at = damaged_from = 0
    while at < len(content):
        found = _record(content, at)
        if found is None:
            at = content.find(_MAGIC, at + 1)
            at = len(content) if at < 0 else at
            continue
        if damaged_from < at:
            yield Damage(at - damaged_from)
        record, at = found
        damaged_from = at
        yield record
    if damaged_from < len(content):
        yield Damage(len(content) - damaged_from)


def _record(content: bytes, at: int) -> tuple[Record, int] | None:
    body_at = at + _BODY_AT
    if body_at > len(content):
        return None
    magic, kind, length = _HEAD.unpack_from(content, at)
    decoder = _KINDS.get(kind)
    end = body_at + length
    if magic != _MAGIC or decoder is None or length > BODY_LIMIT_BYTES or end > len(content):
        return None
    body = content[body_at:end]
    (checksum,) = _CHECKSUM.unpack_from(content, at + _HEAD.size)
    if zlib.crc32(body, zlib.crc32(content[at : at + _HEAD.size])) != checksum:
        return None
    try:
        return decoder.decode(body), end
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
