"""A client's end of a link that knows an acknowledgement, nearly all that comes, by its looks."""

from typing import Final

import msgspec

from shared import messages as m
from shared.connection import ClientConnection, Phase
from shared.frames import HEADER_BYTES, LENGTH_BYTES
from shared.metrics import LARGEST

_LONGEST: Final = HEADER_BYTES + len(m.encode_body(m.Ack(LARGEST, LARGEST)))
"""Bytes of a frame."""

_SHORT: Final = bytes(LENGTH_BYTES - 1)
"""The upper bytes of its length."""

_decode: Final = msgspec.msgpack.Decoder(m.Ack).decode


class QuickConnection(ClientConnection):
    """Ask for a lone acknowledgement first, and give it to `receive` when it was none."""

    __slots__ = ()

    def lone_ack(self, data: bytes) -> m.Ack | None:
        """What came, when that is one acknowledgement that is allowed now, and nothing else."""
        length = len(data)
        if not HEADER_BYTES < length <= _LONGEST or data[LENGTH_BYTES] != m.Ack.kind:
            return None
        if data[LENGTH_BYTES - 1] != length - LENGTH_BYTES or data[:3] != _SHORT:
            return None
        if self._frames.buffered_bytes or self.phase is not Phase.LINKED:
            return None
        try:
            return _decode(data[HEADER_BYTES:])
        except msgspec.DecodeError:
            return None
