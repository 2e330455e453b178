"""What hub and worker say to each other: frames, without any I/O.

A worker of the master holds sockets and TLS, the hub everything else (docs/decisions/0025). Between
the two a socket pair carries frames: `>BII`, that is kind, number of the link and length, and so
many bytes. The worker gives out the numbers and never gives one out twice. A frame for a link that
the other side has ended meanwhile is skipped.

The two are one program of one version, so that there is nothing to negotiate; the worker holds what
strangers can reach, so that the hub believes no length from it.
"""

from collections.abc import Iterator
from struct import Struct as Layout
from typing import Final

import msgspec
from msgspec import Struct

HEAD: Final = Layout(">BII")

PAYLOAD_LIMIT_BYTES: Final = 4 * 1024 * 1024
"""Many times the longest message there is; most is the members of a large cluster's addresses."""

DATA: Final = 1
"""Both ways: bytes of the peer, bytes for it."""

OPENED: Final = 2
"""A peer has completed the TLS handshake: `Opened`."""

ENDED: Final = 3
"""Nothing more comes from the peer: what a `LinkBrokenError` says of it; empty: the stream's end,
after which something may still be sent."""

FLOODED: Final = 4
"""The peer has sent more than a stranger may: text. It may still be told."""

BLOCKED: Final = 5
"""The peer's socket refuses to take more."""

TAKEN: Final = 6
"""The peer's socket has taken so many more bytes of what the hub has sent: `COUNT`."""

WRITABLE: Final = 7
"""It has taken all there was."""

EVIDENCE: Final = 8
"""The answer to `PROBE`: `COUNT` segments that the peer's kernel has not acknowledged; empty: no
telling."""

CURRENT: Final = 9
"""Everything that had arrived at this worker's sockets by now is in the frames before this one."""

LIMIT: Final = 10
"""Peers have hit a limit: `LimitHit`."""

CUT_OFF: Final = 11
"""The door's deadline has ended the link: text. Where the hub is slow, it may just have established
it."""

ESTABLISHED: Final = 16
"""The peer is authenticated: no deadline and no limit of a stranger holds any more."""

SHUTDOWN: Final = 17
"""Nothing more will be sent: the peer sees the end of the stream after what was."""

CLOSE: Final = 18
"""The link is over."""

PROBE: Final = 19
"""What does the peer's kernel acknowledge?"""

LEAF: Final = 20
"""The certificate that the port shows from now on: `Leaf`."""

LIMITS: Final = 21
"""What the door goes by from now on: `Limits`."""

MEMBERS: Final = 22
"""How many members of the cluster were last seen in each group of addresses, of those that have
changed: `dict[str, int]`."""

SHUT_DOOR: Final = 23
"""Nobody is accepted any more."""

STOP: Final = 24
"""The worker ends."""

COUNT: Final = Layout(">I")


class RelayError(Exception):
    """The other side does not keep to the protocol: a bug, or a worker that is no longer ours."""


class Opened(Struct, frozen=True, array_like=True):
    """Who has opened a link."""

    address: str
    """Without a port."""
    name: str
    """`HOST:PORT`."""
    certificate_der: bytes | None
    """What TLS has verified; None: no certificate was shown."""


class LimitHit(Struct, frozen=True, array_like=True):
    limit: str
    address: str
    times: int


class Leaf(Struct, frozen=True, array_like=True):
    """What the port shows, and by what it verifies clients. All PEM; the CA's key is not in it."""

    clients_ca_pem: bytes
    key_pem: bytes
    certificate_pem: bytes


class Limits(Struct, frozen=True, array_like=True):
    """See `master.admission.AdmissionLimits` and the settings of these names."""

    connections: int
    connections_per_address: int
    handshakes_per_s: float
    handshake_timeout_s: float
    write_timeout_s: float


encode: Final = msgspec.msgpack.Encoder().encode
decode_opened: Final = msgspec.msgpack.Decoder(Opened).decode
decode_limit: Final = msgspec.msgpack.Decoder(LimitHit).decode
decode_leaf: Final = msgspec.msgpack.Decoder(Leaf).decode
decode_limits: Final = msgspec.msgpack.Decoder(Limits).decode
decode_members: Final = msgspec.msgpack.Decoder(dict[str, int]).decode


def frame(kind: int, number: int, payload: bytes = b"") -> bytes:
    """One frame as bytes."""
    return HEAD.pack(kind, number, len(payload)) + payload


class Unpacker:
    """Bytes in pieces of any size in, frames out."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def __repr__(self) -> str:
        return f"<Unpacker, {len(self._rest)} B of a frame>"

    @property
    def holds_part(self) -> bool:
        """Whether the beginning of a frame is here whose end is not."""
        return bool(self._rest)

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """The frames that are complete now: kind, number, payload. Iterate to the end before
        calling again.

        Raises:
            RelayError: while iterating: a frame is too long.
        """
        if self._rest:
            data = self._rest + data
        unpack, head_bytes = HEAD.unpack_from, HEAD.size
        at, end = 0, len(data)
        while end - at >= head_bytes:
            kind, number, length = unpack(data, at)
            if length > PAYLOAD_LIMIT_BYTES:
                raise RelayError(f"a frame of {length} bytes")
            begin = at + head_bytes
            if end - begin < length:
                break
            at = begin + length
            yield kind, number, data[begin:at]
        self._rest = data[at:]
