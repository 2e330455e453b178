"""Frames: how messages are cut out of a byte stream.

    +----------------+--------+----------------------+
    | length (4 B)   | kind   | body (MessagePack)   |
    | big-endian     | (1 B)  | length - 1 bytes     |
    +----------------+--------+----------------------+

`length` counts what follows it: the kind and the body. The decoder is incremental and right for
half and glued frames at every byte boundary. A length beyond the limit is refused as soon as its
four bytes are there, so that no peer can make this side buffer more than one frame of the allowed
size.
"""

import struct
from typing import Final

from msgspec import Struct

from shared.errors import RemoteProtocolError, Violation

LENGTH_BYTES: Final = 4
HEADER_BYTES: Final = LENGTH_BYTES + 1

ENTRY_FRAME_LIMIT_BYTES: Final = 4 * 1024
"""Largest `length` before authentication: a certificate, or a request for one, fits twice."""

LINK_FRAME_LIMIT_BYTES: Final = 256 * 1024
"""Largest `length` on an established link: the most that a hostile agent can make a master hold."""

_HEADER: Final = struct.Struct(">IB")
_LENGTH: Final = struct.Struct(">I")


class Frame(Struct, frozen=True, gc=False):
    """One frame as it was cut from the stream; the body is not decoded."""

    kind: int
    body: bytes


def encode_frame(kind: int, body: bytes) -> bytes:
    """The bytes of one frame. `kind` is 0–255; the sender keeps within the peer's limit."""
    return _HEADER.pack(1 + len(body), kind) + body


class FrameDecoder:
    """Cuts frames out of bytes as they arrive.

    Feed with `receive_data`, then call `next_frame` until it returns None: what is then still
    buffered is the beginning of one frame, of `limit_bytes` at most. The limit may be changed
    between two frames, as the link's phase changes.
    """

    __slots__ = ("_at", "_data", "limit_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._data: bytes | bytearray = b""
        self._at = 0
        """Where in it the next frame begins."""
        self.limit_bytes = limit_bytes

    def __repr__(self) -> str:
        return f"<FrameDecoder {self.buffered_bytes} B buffered, limit {self.limit_bytes} B>"

    @property
    def buffered_bytes(self) -> int:
        """Bytes received that no returned frame has consumed."""
        return len(self._data) - self._at

    def receive_data(self, data: bytes) -> None:
        """Takes bytes off the stream, in any portions."""
        # Nearly always whole frames come, one at a time: then nothing is copied together.
        if self._at == len(self._data):
            self._data, self._at = data, 0
        else:
            rest = self._data
            if not isinstance(rest, bytearray):
                self._data = rest = bytearray(rest)
            del rest[: self._at]
            self._at = 0
            rest += data

    def next_frame(self) -> Frame | None:
        """The next complete frame, or None while it is not all there.

        Raises:
            RemoteProtocolError: the length is zero (`bad-frame`) or over the limit
                (`frame-too-long`). The stream cannot be resynchronised after this.
        """
        data, at = self._data, self._at
        there = len(data) - at
        if there < LENGTH_BYTES:
            if not there:
                self._data, self._at = b"", 0
            return None
        (length,) = _LENGTH.unpack_from(data, at)
        if length > self.limit_bytes:
            raise RemoteProtocolError(
                Violation.FRAME_TOO_LONG,
                f"a frame of {length} bytes; the limit is {self.limit_bytes}",
            )
        if length == 0:
            raise RemoteProtocolError(Violation.BAD_FRAME, "a frame of length 0 has no kind")
        if there < LENGTH_BYTES + length:
            return None
        end = at + LENGTH_BYTES + length
        self._at = end
        return Frame(data[at + LENGTH_BYTES], bytes(data[at + HEADER_BYTES : end]))
