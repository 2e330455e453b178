"""The protocol of one link, without I/O: bytes in, messages out, bytes to send.

Everything that decides what may be said when is the table `TRANSITIONS`: per phase and speaker, the
messages allowed and the phase each leads to. Both ends run the same table; whatever drives it (trio
in agent and master, asyncio in the dashboard) only moves bytes and keeps time.

    connection = MasterConnection()
    try:
        for message in connection.receive(data):
            stream.send(connection.send(Welcome(...)))        # LocalProtocolError: a bug here
    except RemoteProtocolError as error:
        stream.send(connection.farewell(error.code, error.text))
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from types import UnionType
from typing import Final, Generic, NamedTuple, TypeVar, cast, get_args

import msgspec

from shared import messages as m
from shared.errors import LocalProtocolError, RemoteProtocolError, Violation
from shared.frames import (
    ENTRY_FRAME_LIMIT_BYTES,
    HEADER_BYTES,
    LENGTH_BYTES,
    LINK_FRAME_LIMIT_BYTES,
    FrameDecoder,
    encode_frame,
)
from shared.text import clean

ENTRY_BYTES_LIMIT: Final = 32 * 1024
"""What a peer may send in all before it is authenticated: many times an enrolment."""

PIECE_BYTES: Final = 4 * 1024
"""A longer body is sent in `Part`s of this size. It keeps OpenSSL's buffers small (54 KiB a link
rather than 192) and bounds what a beat may have to wait for on a slow line."""

TRANSFER_LIMIT_BYTES: Final = LINK_FRAME_LIMIT_BYTES
"""Longest message that `Part`s may add up to."""


class Side(Enum):
    """Who is speaking."""

    CLIENT = "client"
    MASTER = "master"


class Phase(Enum):
    """How far a link has come. The same on both ends, but for what is in flight."""

    OPENING = "opening"
    """Nothing settled: the client has to say what it wants."""
    CA_ASKED = "ca-asked"
    ENROLLING = "enrolling"
    AGENT_GREETING = "agent-greeting"
    VIEWER_GREETING = "viewer-greeting"
    RENEWING = "renewing"
    """Whose certificate has expired may renew it and do nothing else."""
    LINKED = "linked"
    """An agent's link, established."""
    VIEWING = "viewing"
    """A viewer's link, established."""
    CLOSED = "closed"


def _table() -> dict[tuple[Phase, Side], dict[type[m.Message], Phase]]:
    table: dict[tuple[Phase, Side], dict[type[m.Message], Phase]] = {
        (Phase.OPENING, Side.CLIENT): {
            m.CaRequest: Phase.CA_ASKED,
            m.Enrol: Phase.ENROLLING,
            m.AgentHello: Phase.AGENT_GREETING,
            m.ViewerHello: Phase.VIEWER_GREETING,
        },
        (Phase.OPENING, Side.MASTER): {m.Deny: Phase.CLOSED},
        (Phase.CA_ASKED, Side.MASTER): {m.Ca: Phase.CLOSED, m.Deny: Phase.CLOSED},
        (Phase.ENROLLING, Side.MASTER): {m.Enrolled: Phase.CLOSED, m.Deny: Phase.CLOSED},
        (Phase.AGENT_GREETING, Side.MASTER): {
            m.Welcome: Phase.LINKED,
            m.RenewFirst: Phase.RENEWING,
            m.Deny: Phase.CLOSED,
        },
        (Phase.VIEWER_GREETING, Side.MASTER): {
            m.ViewerWelcome: Phase.VIEWING,
            m.RenewFirst: Phase.RENEWING,
            m.Deny: Phase.CLOSED,
        },
        (Phase.RENEWING, Side.CLIENT): {m.Renew: Phase.RENEWING},
        (Phase.RENEWING, Side.MASTER): {m.Renewed: Phase.CLOSED, m.Deny: Phase.CLOSED},
    }
    established = {
        (Phase.LINKED, Side.CLIENT): m.FromAgent,
        (Phase.LINKED, Side.MASTER): m.ToAgent,
        (Phase.VIEWING, Side.CLIENT): m.FromViewer,
        (Phase.VIEWING, Side.MASTER): m.ToViewer,
    }
    for (phase, side), union in established.items():
        table[phase, side] = {
            message: Phase.CLOSED if message is m.Goodbye else phase for message in _members(union)
        }
    return table


def _members(union: UnionType) -> tuple[type[m.Message], ...]:
    return cast("tuple[type[m.Message], ...]", get_args(union))


TRANSITIONS: Final[Mapping[tuple[Phase, Side], Mapping[type[m.Message], Phase]]] = _table()
"""What each side may say in each phase, and the phase that follows; of a pair not here, nothing."""

ESTABLISHED: Final = frozenset({Phase.LINKED, Phase.VIEWING})
"""Phases whose peer is authenticated and welcomed, with the larger limits."""

_DECODERS: Final = {
    message: msgspec.msgpack.Decoder(message)
    for allowed in TRANSITIONS.values()
    for message in allowed
}

_KNOWN_KINDS: Final = {message.kind: message for message in _DECODERS}


class _Rules(NamedTuple):
    """What the table says to one side in one phase: looked up when the phase changes, and not with
    every frame, because the hash of an enumeration is computed in Python."""

    outbound: Mapping[type[m.Message], Phase]
    """What may be sent, and the phase that follows."""
    inbound: Mapping[int, tuple[msgspec.msgpack.Decoder[m.Message], Phase]]
    """The same for what may come, by its kind, with its decoder."""
    is_established: bool


def _rules(side: Side, phase: Phase) -> _Rules:
    (peer,) = set(Side) - {side}
    inbound = {
        message.kind: (_DECODERS[message], following)
        for message, following in TRANSITIONS.get((phase, peer), {}).items()
    }
    return _Rules(TRANSITIONS.get((phase, side), {}), inbound, phase in ESTABLISHED)


_RULES: Final = {(side, phase): _rules(side, phase) for side in Side for phase in Phase}

Sent = TypeVar("Sent", bound=m.Message)
Received = TypeVar("Received", bound=m.Message)


class Connection(Generic[Sent, Received]):
    """One end of a link. Use `ClientConnection` or `MasterConnection`.

    A `RemoteProtocolError` is final: the stream cannot be understood any further, `phase` is
    CLOSED, and all that is left is to say so (`farewell`) and close.
    """

    side: Side

    __slots__ = (
        "_assembly",
        "_assembly_kind",
        "_entry_bytes",
        "_failed_in",
        "_frames",
        "_rules",
        "phase",
        "skipped",
    )

    def __init__(self) -> None:
        self.phase = Phase.OPENING
        self._rules = _RULES[self.side, Phase.OPENING]
        self.skipped = 0
        """Frames of unknown kind passed over: a peer that is newer than this side."""
        self._frames = FrameDecoder(ENTRY_FRAME_LIMIT_BYTES)
        self._entry_bytes = 0
        self._failed_in: Phase | None = None
        self._assembly: bytearray | None = None
        self._assembly_kind = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.phase.value}, {self._frames!r}>"

    def receive(self, data: bytes) -> Iterator[Received]:
        """The messages that `data` completes, one by one, as far as the phase allows.

        Answer each before asking for the next one: an answer may change the phase. What is not
        asked for stays for the next call. `Part`s are joined here and never seen. After the link
        has ended, nothing is taken and nothing comes.

        Raises:
            RemoteProtocolError: while iterating, on a bad or overlong frame, a message that is not
                allowed now, or too much sent before the peer was authenticated.
        """
        if self.phase is not Phase.CLOSED:
            self._frames.receive_data(data)
        return self._messages()

    def send(self, message: Sent) -> bytes:
        """The frame of `message`, moving this side's phase on.

        Raises:
            LocalProtocolError: the phase does not allow it, or it is over the phase's frame limit.
        """
        following = self._following(message)
        frame = m.encode(message)
        length = len(frame) - LENGTH_BYTES
        if length > self._frames.limit_bytes:
            raise LocalProtocolError(
                f"{type(message).__name__} of {length} bytes; the limit is"
                f" {self._frames.limit_bytes} while {self.phase.value}"
            )
        self._enter(following)
        return frame

    def send_bulk(self, message: Sent) -> list[bytes]:
        """The frames of a message that may be long: one, or as many `Part`s as it takes.

        Raises:
            LocalProtocolError: the phase does not allow it, or it is over the transfer limit.
        """
        following = self._following(message)
        body = m.encode_body(message)
        if len(body) <= PIECE_BYTES:
            frames = [encode_frame(message.kind, body)]
        elif len(body) > TRANSFER_LIMIT_BYTES or not self._rules.is_established:
            raise LocalProtocolError(
                f"{type(message).__name__} of {len(body)} bytes while {self.phase.value};"
                f" the limit is {TRANSFER_LIMIT_BYTES}, on an established link only"
            )
        else:
            frames = list(part_frames(message.kind, body))
        self._enter(following)
        return frames

    def farewell(self, code: str, text: str = "") -> bytes:
        """The last frame of this side: why the link ends. Also after a `RemoteProtocolError`.

        It is a `Goodbye` on an established link and a master's `Deny` before; empty when this side
        has nothing to say, as a client before it is welcomed or after the link has ended.
        """
        allowed = _RULES[self.side, self._failed_in or self.phase].outbound
        self._enter(Phase.CLOSED)
        self._failed_in = None
        if m.Goodbye in allowed:
            return m.encode(m.Goodbye(code, clean(text)))
        if m.Deny in allowed:
            return m.encode(m.Deny(code, clean(text)))
        return b""

    def abandon(self) -> None:
        """The link is gone: what is buffered is dropped, whoever still holds this."""
        self._enter(Phase.CLOSED)
        self._failed_in = None
        self._frames = FrameDecoder(ENTRY_FRAME_LIMIT_BYTES)
        self._assembly = None

    def _messages(self) -> Iterator[Received]:
        try:
            while self.phase is not Phase.CLOSED and (frame := self._frames.next_frame()):
                if not self._rules.is_established:
                    self._count(frame.body)
                message = self._accept(frame.kind, frame.body)
                if message is not None:
                    yield message
        except RemoteProtocolError:
            self._failed_in = self.phase
            self._enter(Phase.CLOSED)
            raise

    def _count(self, body: bytes) -> None:
        self._entry_bytes += HEADER_BYTES + len(body)
        if self._entry_bytes > ENTRY_BYTES_LIMIT:
            raise RemoteProtocolError(
                Violation.FLOOD, f"over {ENTRY_BYTES_LIMIT} bytes before the link was established"
            )

    def _following(self, message: Sent) -> Phase:
        following = self._rules.outbound.get(type(message))
        if following is None:
            raise LocalProtocolError(
                f"{type(message).__name__} may not be sent while {self.phase.value}"
            )
        return following

    def _accept(self, kind: int, body: bytes) -> Received | None:
        known = self._rules.inbound.get(kind)
        if known is None:
            expected = _KNOWN_KINDS.get(kind)
            if expected is None:
                self.skipped += 1
                return None
            raise RemoteProtocolError(
                Violation.BAD_MESSAGE,
                f"{expected.__name__} is not allowed while {self.phase.value}",
            )
        decoder, following = known
        try:
            message = decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RemoteProtocolError(
                Violation.BAD_FRAME,
                f"a {_KNOWN_KINDS[kind].__name__} that does not decode: {error}",
            ) from error
        if isinstance(message, m.Part):
            return self._join(message)
        self._enter(following)
        return cast("Received", message)

    def _enter(self, phase: Phase) -> None:
        if phase is self.phase:
            return
        self.phase, self._rules = phase, _RULES[self.side, phase]
        if self._rules.is_established:
            self._frames.limit_bytes = LINK_FRAME_LIMIT_BYTES

    def _join(self, part: m.Part) -> Received | None:
        if part.whole_kind == m.Part.kind:
            raise RemoteProtocolError(Violation.BAD_MESSAGE, "a Part of Parts")
        if self._assembly is None:
            self._assembly, self._assembly_kind = bytearray(), part.whole_kind
        elif self._assembly_kind != part.whole_kind:
            raise RemoteProtocolError(
                Violation.BAD_MESSAGE, "a Part of another message than the one begun"
            )
        self._assembly += part.data
        if len(self._assembly) > TRANSFER_LIMIT_BYTES:
            raise RemoteProtocolError(
                Violation.FRAME_TOO_LONG, f"Parts of more than {TRANSFER_LIMIT_BYTES} bytes in all"
            )
        if not part.last:
            return None
        body = bytes(self._assembly)
        self._assembly = None
        return self._accept(part.whole_kind, body)


def part_frames(kind: int, body: bytes) -> Iterator[bytes]:
    """The frames of a long body of `kind`, cut into `Part`s."""
    for start in range(0, len(body), PIECE_BYTES):
        piece = body[start : start + PIECE_BYTES]
        last = start + PIECE_BYTES >= len(body)
        yield encode_frame(m.Part.kind, m.encode_body(m.Part(kind, last, piece)))


class ClientConnection(Connection[m.FromClient, m.FromMaster]):
    """An agent's or viewer's end."""

    side = Side.CLIENT
    __slots__ = ()


class MasterConnection(Connection[m.FromMaster, m.FromClient]):
    """A master's end."""

    side = Side.MASTER
    __slots__ = ()
