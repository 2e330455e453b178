"""A recording: what a viewer heard, in a file, for reports of bugs and for showing.

It is a gzip stream of records. A record is framed like a message on the wire (`shared.frames`): its
kind, and a Struct's fields as a MessagePack array. `Heard` holds frames of the link protocol as
they are: whoever reads a recording checks them as if a master had sent them, for a recording may
come from anybody. Fields are only ever added, at the end, with a default; a record of unknown kind
is skipped. A recording may end anywhere: what was written until then can be played.

Names of nodes, addresses and everything else that is on the screen are in it, as they are.
"""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, ClassVar, Final, TypeAlias, cast

import msgspec
from msgspec import Meta, Struct

from shared import VERSION
from shared import messages as m
from shared.connection import MasterConnection
from shared.errors import RemoteProtocolError, UserError
from shared.frames import LINK_FRAME_LIMIT_BYTES, FrameDecoder, encode_frame

MAGIC: Final = "heartline recording"
FORMAT: Final = 1

RECORD_LIMIT_BYTES: Final = 2 * LINK_FRAME_LIMIT_BYTES
"""The longest message in its parts fits twice."""

EXPANDED_LIMIT_BYTES: Final = 4 * 1024**3
"""More than a recording of the default limit can hold: a small file must not keep a host busy."""

RECORDED: Final = (
    m.Snapshot,
    m.Delta,
    m.FocusUpdate,
    m.FocusInventory,
    m.NodeDetail,
    m.Events,
    m.Outages,
)
"""What is shown of a fleet. Nothing else that a master may say to a viewer is kept: no token."""

FLEET_REQUEST: Final = 2**52
"""The number of the question for all outages, which is asked for the recording. Those about single
nodes have higher ones, and the dashboard's own lower ones."""

FLEET_OUTAGES_ASKED: Final = 500
"""The newest of the fleet: more than fit into one answer."""

FLUSH_EVERY_S: Final = 1.0
"""How much of a recording a crash may take."""

_READ_BYTES: Final = 4 * 1024
"""What is lost before a place where the file is damaged."""

_EXPAND_BYTES: Final = 64 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS
_LEVEL: Final = 6

_At: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]


class Record(Struct, frozen=True, array_like=True):
    """The base of every record. `_ms` are on the viewer's monotonic clock, 0 when it began."""

    kind: ClassVar[int]


class Header(Record, frozen=True, array_like=True):
    """First, and once: what this is and who made it."""

    kind: ClassVar[int] = 1
    magic: m.Name
    """The two words "heartline recording"."""
    format: m.Count
    """A reader that does not know it should not go on."""
    software: m.Name
    """The version of the program that recorded."""
    began_wall_ms: m.Wall
    """When it began, as Unix time."""


class LinkWas(Record, frozen=True, array_like=True):
    """The link to the master changed."""

    kind: ClassVar[int] = 2
    at_ms: _At
    state: m.Name
    """`connecting`, `live`, `lost` or `refused`; one that is not known is taken for `lost`."""
    since_ms: _At
    """When this state began."""
    address: m.Text
    """The master's, as the user named it."""
    reason: m.Text
    """Why it is not live."""
    retry_at_ms: _At | None
    """When it is dialled again."""
    cluster: m.Name
    """What the master calls itself."""
    master_version: m.Name
    delay_us: m.Count | None
    """The latest round trip."""


class Heard(Record, frozen=True, array_like=True):
    """A message came: its frame, or the frames of its parts."""

    kind: ClassVar[int] = 3
    at_ms: _At
    frames: bytes
    """As a master would send them, kind and all."""


class Ended(Record, frozen=True, array_like=True):
    """Last: why nothing follows. Missing where the recording was cut short."""

    kind: ClassVar[int] = 4
    at_ms: _At
    reason: m.Name


Entry: TypeAlias = Header | LinkWas | Heard | Ended

_DECODERS: Final[dict[int, msgspec.msgpack.Decoder[Entry]]] = {
    kind.kind: msgspec.msgpack.Decoder(kind) for kind in (Header, LinkWas, Heard, Ended)
}


class RecordingError(UserError):
    """A file that is no recording, or cannot be read or written; says which and why."""


class Recorder:
    """Writes a recording, until `close` or its limit. What the disk refuses ends it, and no more.

    Times are on the viewer's monotonic clock. Use from one thread.
    """

    def __init__(
        self, file: BinaryIO, *, limit_bytes: int, began_s: float, began_wall_ms: int
    ) -> None:
        self.stopped: str | None = None
        """Why nothing is recorded any more; None while it is."""
        self.written_bytes = 0
        self._file = file
        self._limit_bytes = limit_bytes
        self._began_s = began_s
        self._flushed_s = began_s
        self._gzip = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._connection = _viewing()
        self._write(Header(MAGIC, FORMAT, VERSION, began_wall_ms), began_s)

    def __repr__(self) -> str:
        return f"<Recorder, {self.written_bytes} B{f', {self.stopped}' if self.stopped else ''}>"

    @classmethod
    def create(
        cls, path: Path, *, limit_bytes: int, began_s: float, began_wall_ms: int
    ) -> "Recorder":
        """A recorder to a new file, which only its owner can read.

        Raises:
            RecordingError: it exists already, or cannot be made.
        """
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise RecordingError(f"{path} exists already; name a new file") from error
        except OSError as error:
            raise RecordingError(f"cannot record to {path}: {error.strerror or error}") from error
        file = os.fdopen(descriptor, "wb", buffering=0)
        return cls(
            cast("BinaryIO", file),
            limit_bytes=limit_bytes,
            began_s=began_s,
            began_wall_ms=began_wall_ms,
        )

    def link(self, link: LinkWas, now_s: float) -> None:
        """Records a change of the link."""
        self._write(link, now_s)

    def heard(self, message: m.FromMaster, now_s: float) -> None:
        """Records a message that came at `now_s`, if it is of a kind that is shown."""
        if self.stopped is None and isinstance(message, RECORDED):
            frames = b"".join(self._connection.send_bulk(message))
            self._write(Heard(self.at_ms(now_s), frames), now_s)

    def at_ms(self, now_s: float) -> int:
        """An instant as records have it."""
        return max(0, round((now_s - self._began_s) * 1000))

    def close(self, now_s: float) -> None:
        """Ends the recording where it has not ended already."""
        self._stop("the recording was ended", now_s)

    def _write(self, record: Entry, now_s: float) -> None:
        if self.stopped is not None:
            return
        packed = self._gzip.compress(encode_frame(record.kind, m.encode_body(record)))
        if now_s - self._flushed_s >= FLUSH_EVERY_S:
            self._flushed_s = now_s
            packed += self._gzip.flush(zlib.Z_SYNC_FLUSH)
        if self.written_bytes + len(packed) > self._limit_bytes:
            self._put(packed)
            self._stop(f"it has reached its limit of {self._limit_bytes} bytes", now_s)
        else:
            self._put(packed)

    def _stop(self, reason: str, now_s: float) -> None:
        if self.stopped is not None:
            return
        ended = Ended(self.at_ms(now_s), reason)
        packed = self._gzip.compress(encode_frame(ended.kind, m.encode_body(ended)))
        self._put(packed + self._gzip.flush())
        if self.stopped is None:
            self.stopped = reason
            self._file.close()

    def _put(self, packed: bytes) -> None:
        try:
            self._file.write(packed)
            self.written_bytes += len(packed)
        except OSError as error:
            self.stopped = f"it cannot be written: {error.strerror or error}"
            self._file.close()


def read(path: Path) -> Iterator[Entry]:
    """The records of a file, the header first; as many as there are whole.

    Raises:
        RecordingError: while iterating: it cannot be read, is no recording, or is damaged.
    """
    frames = FrameDecoder(RECORD_LIMIT_BYTES)
    is_first = True
    try:
        for data in _expanded(path):
            frames.receive_data(data)
            while (frame := frames.next_frame()) is not None:
                decoder = _DECODERS.get(frame.kind)
                if decoder is None and not is_first:
                    continue
                entry = None if decoder is None else decoder.decode(frame.body)
                if is_first:
                    is_first = False
                    _check(path, entry)
                if entry is not None:
                    yield entry
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror or error}") from error
    except (zlib.error, RemoteProtocolError, msgspec.DecodeError, UnicodeDecodeError) as error:
        what = "no recording of heartline's" if is_first else f"damaged: {error}"
        raise RecordingError(f"{path} is {what}") from error
    if is_first:
        raise RecordingError(f"{path} is no recording of heartline's")


def _check(path: Path, entry: Entry | None) -> None:
    if not isinstance(entry, Header) or entry.magic != MAGIC:
        raise RecordingError(f"{path} is no recording of heartline's")
    if entry.format != FORMAT:
        raise RecordingError(
            f"{path} has format {entry.format}; this program, {VERSION}, reads format {FORMAT}"
        )


def _expanded(path: Path) -> Iterator[bytes]:
    """What the file holds, a bounded piece at a time, to where it ends or was cut short."""
    gzip = zlib.decompressobj(_GZIP)
    left_bytes = EXPANDED_LIMIT_BYTES
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            while data and not gzip.eof:
                expanded = gzip.decompress(data, _EXPAND_BYTES)
                data = gzip.unconsumed_tail
                left_bytes -= len(expanded)
                if left_bytes < 0:
                    raise RecordingError(f"{path} holds more than {EXPANDED_LIMIT_BYTES} bytes")
                yield expanded


def _viewing() -> MasterConnection:
    """A master's end that has welcomed a viewer: it makes the frames, and parts of long ones."""
    connection = MasterConnection()
    hello = m.ViewerHello(m.PROTOCOL_MIN, m.PROTOCOL_MAX, VERSION)
    for _ in connection.receive(m.encode(hello)):
        connection.send(m.ViewerWelcome(m.PROTOCOL_MAX, VERSION, "", may_operate=False))
    return connection
