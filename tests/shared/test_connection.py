"""One link: what arrives is what was sent, in any portions, and only what the table allows."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docs.message_examples import EXAMPLES, example
from shared import messages as m
from shared.connection import (
    ENTRY_BYTES_LIMIT,
    ESTABLISHED,
    PIECE_BYTES,
    TRANSFER_LIMIT_BYTES,
    TRANSITIONS,
    ClientConnection,
    MasterConnection,
    Phase,
    Side,
    part_frames,
)
from shared.errors import LocalProtocolError, RemoteProtocolError, Violation
from shared.frames import (
    ENTRY_FRAME_LIMIT_BYTES,
    LINK_FRAME_LIMIT_BYTES,
    Frame,
    FrameDecoder,
    encode_frame,
)
from tests.shared.links import (
    End,
    ends_by_speaker,
    ends_in,
    exchange,
    receive_in_portions,
)
from tests.shared.message_strategies import all_messages, messages_of

UNKNOWN_KIND = 250
ALLOWED = [
    pytest.param(
        phase, side, message, following, id=f"{phase.value}-{side.value}-{message.__name__}"
    )
    for (phase, side), allowed in TRANSITIONS.items()
    for message, following in allowed.items()
]
FORBIDDEN = [
    pytest.param(phase, side, message, id=f"{phase.value}-{side.value}-{message.__name__}")
    for phase in Phase
    if phase is not Phase.CLOSED
    for side in Side
    for message in all_messages()
    if message not in TRANSITIONS.get((phase, side), {})
]
ESTABLISHED_SIDES = [
    pytest.param(phase, side, id=f"{phase.value}-{side.value}")
    for phase in sorted(ESTABLISHED, key=lambda phase: phase.value)
    for side in Side
]


def talk(phase: Phase, side: Side) -> st.SearchStrategy[list[m.Message]]:
    """Messages that `side` may send one after the other while `phase` lasts."""
    lasting = [
        message
        for message, following in TRANSITIONS[phase, side].items()
        if following is phase and message is not m.Part
    ]
    return st.lists(st.one_of(*map(messages_of, lasting)), max_size=8)


def violation(receiver: End, data: bytes) -> str:
    """The code with which `receiver` refuses `data`."""
    with pytest.raises(RemoteProtocolError) as caught:
        list(receiver.receive(data))
    assert receiver.phase is Phase.CLOSED
    return caught.value.code


# --- the table -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("phase", "side", "message", "following"), ALLOWED)
def test_allowed_message_arrives_and_moves_both_ends_to_the_next_phase(
    phase: Phase, side: Side, message: type[m.Message], following: Phase
) -> None:
    sender, receiver = ends_by_speaker(phase, side)
    arrived = exchange(sender, receiver, EXAMPLES[message])
    assert arrived == ([] if message is m.Part else [EXAMPLES[message]])
    assert sender.phase is receiver.phase is following


@pytest.mark.parametrize(("phase", "side", "message"), FORBIDDEN)
def test_message_not_allowed_in_a_phase_is_refused_by_both_ends(
    phase: Phase, side: Side, message: type[m.Message]
) -> None:
    sender, receiver = ends_by_speaker(phase, side)
    with pytest.raises(LocalProtocolError):
        sender.send(EXAMPLES[message])  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError):
        sender.send_bulk(EXAMPLES[message])  # type: ignore[arg-type]
    assert sender.phase is phase
    assert violation(receiver, m.encode(EXAMPLES[message])) == Violation.BAD_MESSAGE


def test_nothing_may_be_said_after_the_end() -> None:
    assert not any(phase is Phase.CLOSED for phase, _ in TRANSITIONS)


def test_every_message_has_a_place_in_the_table() -> None:
    placed = {message for allowed in TRANSITIONS.values() for message in allowed}
    assert placed == set(all_messages())


def test_every_phase_can_be_reached() -> None:
    assert {ends_in(phase)[0].phase for phase in Phase} == set(Phase)


# --- portions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("phase", "side"), ESTABLISHED_SIDES)
@settings(max_examples=40)
@given(data=st.data())
def test_any_messages_in_any_portions_arrive_whole_and_in_order(
    phase: Phase, side: Side, data: st.DataObject
) -> None:
    sender, receiver = ends_by_speaker(phase, side)
    sent = data.draw(talk(phase, side))
    stream = b"".join(sender.send(message) for message in sent)  # type: ignore[arg-type]
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))
    received = receive_in_portions(receiver, stream, cuts)
    assert [m.encode(message) for message in received] == [m.encode(message) for message in sent]


@pytest.mark.parametrize("phase", [Phase.LINKED, Phase.VIEWING], ids=lambda phase: phase.value)
def test_greeting_cut_at_any_byte_leads_to_the_same_phase(phase: Phase) -> None:
    hello = m.AgentHello if phase is Phase.LINKED else m.ViewerHello
    welcome = m.Welcome if phase is Phase.LINKED else m.ViewerWelcome
    stream = m.encode(EXAMPLES[hello])
    for cut in range(len(stream) + 1):
        client, master = ClientConnection(), MasterConnection()
        client.send(EXAMPLES[hello])  # type: ignore[arg-type]
        assert receive_in_portions(master, stream, [cut]) == [EXAMPLES[hello]]
        answer = master.send(EXAMPLES[welcome])  # type: ignore[arg-type]
        assert receive_in_portions(client, answer, [cut % len(answer)]) == [EXAMPLES[welcome]]
        assert client.phase is master.phase is phase


def test_answer_decides_whether_what_is_glued_to_the_question_is_allowed() -> None:
    glued = m.encode(example(m.AgentHello)) + m.encode(example(m.Beat))
    patient = MasterConnection()
    arrived = patient.receive(glued)
    assert next(arrived) == example(m.AgentHello)
    patient.send(example(m.Welcome))
    assert next(arrived) == example(m.Beat)
    assert violation(MasterConnection(), glued) == Violation.BAD_MESSAGE


def test_what_was_not_asked_for_comes_with_the_next_portion() -> None:
    _, master = ends_in(Phase.LINKED)
    stream = b"".join(m.encode(m.Ping(token)) for token in range(3))
    assert next(master.receive(stream)) == m.Ping(0)
    assert list(master.receive(b"")) == [m.Ping(1), m.Ping(2)]


def test_what_is_still_under_way_when_the_link_ends_is_ignored() -> None:
    agent, master = ends_in(Phase.LINKED)
    master.send(m.Goodbye("restarting"))
    for _ in range(100):
        assert exchange(agent, master, example(m.Beat)) == []
    assert "<FrameDecoder 0 B buffered" in repr(master)


# --- long messages -------------------------------------------------------------------------------


@settings(max_examples=50)
@given(size=st.integers(0, TRANSFER_LIMIT_BYTES - 64), data=st.data())
def test_long_message_arrives_whole_with_beats_between_its_parts(
    size: int, data: st.DataObject
) -> None:
    agent, master = ends_in(Phase.LINKED)
    report = m.InventoryReport(m.raw(bytes(size)))
    stream: list[bytes] = []
    pings = 0
    for piece in agent.send_bulk(report):
        for _ in range(data.draw(st.integers(0, 2))):
            stream.append(agent.send(m.Ping(pings)))
            pings += 1
        stream.append(piece)
    whole = b"".join(stream)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=20))
    received = receive_in_portions(master, whole, cuts)
    assert received.pop().inventory == report.inventory  # type: ignore[attr-defined]
    assert received == [m.Ping(token) for token in range(pings)]
    assert all(len(piece) <= PIECE_BYTES + 32 for piece in stream)


def test_long_messages_follow_one_another() -> None:
    agent, master = ends_in(Phase.LINKED)
    long = m.raw(bytes(2 * PIECE_BYTES))
    report, sample = m.InventoryReport(long), m.FamilySample("cpu", 1, 1, 1, long)
    stream = b"".join(
        piece for message in (report, sample, report) for piece in agent.send_bulk(message)
    )
    kinds = [message.kind for message in master.receive(stream)]
    assert kinds == [report.kind, sample.kind, report.kind]


def test_short_message_is_not_cut() -> None:
    agent, _ = ends_in(Phase.LINKED)
    assert agent.send_bulk(m.Goodbye("stopped")) == [m.encode(m.Goodbye("stopped"))]
    assert agent.phase is Phase.CLOSED


def test_longest_transfer_is_taken_and_one_byte_more_is_not() -> None:
    _, master = ends_in(Phase.LINKED)
    overhead = len(m.encode_body(m.InventoryReport(m.raw(bytes(100_000))))) - 100_000
    longest = m.InventoryReport(m.raw(bytes(TRANSFER_LIMIT_BYTES - overhead)))
    assert len(m.encode_body(longest)) == TRANSFER_LIMIT_BYTES
    frames = list(part_frames(m.InventoryReport.kind, m.encode_body(longest)))
    assert len(list(master.receive(b"".join(frames)))) == 1
    too_long = part_frames(m.InventoryReport.kind, m.encode_body(longest) + b"\x00")
    assert violation(master, b"".join(too_long)) == Violation.FRAME_TOO_LONG


def test_endless_transfer_is_cut_at_the_limit() -> None:
    _, master = ends_in(Phase.LINKED)
    piece = m.encode(m.Part(m.InventoryReport.kind, last=False, data=bytes(PIECE_BYTES)))
    for _ in range(TRANSFER_LIMIT_BYTES // PIECE_BYTES):
        assert list(master.receive(piece)) == []
    assert violation(master, piece) == Violation.FRAME_TOO_LONG


@pytest.mark.parametrize(
    "parts",
    [
        [m.Part(m.Part.kind, last=True, data=b"")],
        [
            m.Part(m.InventoryReport.kind, last=False, data=b""),
            m.Part(m.Beat.kind, last=True, data=b""),
        ],
        [m.Part(m.Welcome.kind, last=True, data=m.encode_body(example(m.Welcome)))],
    ],
    ids=["part-of-parts", "two-messages-mixed", "whole-not-allowed"],
)
def test_parts_that_no_honest_peer_sends_are_refused(parts: list[m.Part]) -> None:
    _, master = ends_in(Phase.LINKED)
    stream = b"".join(map(m.encode, parts))
    assert violation(master, stream) == Violation.BAD_MESSAGE


def test_parts_of_an_unknown_message_are_skipped() -> None:
    _, master = ends_in(Phase.LINKED)
    parts = b"".join(part_frames(UNKNOWN_KIND, bytes(3 * PIECE_BYTES)))
    assert list(master.receive(parts + m.encode(m.Ping(1)))) == [m.Ping(1)]
    assert master.skipped == 1


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.CLOSED])
def test_frame_over_the_limit_of_the_phase_is_refused_by_its_length_alone(phase: Phase) -> None:
    limit = LINK_FRAME_LIMIT_BYTES if phase in ESTABLISHED else ENTRY_FRAME_LIMIT_BYTES
    for receiver in ends_in(phase):
        within = encode_frame(UNKNOWN_KIND, bytes(limit - 1))
        assert list(receiver.receive(within)) == []
        assert violation(receiver, (limit + 1).to_bytes(4)) == Violation.FRAME_TOO_LONG


def test_too_much_before_the_link_is_established_is_a_flood() -> None:
    frame = encode_frame(UNKNOWN_KIND, bytes(1024 - 5))
    for receiver in ends_in(Phase.OPENING):
        for _ in range(ENTRY_BYTES_LIMIT // len(frame)):
            assert list(receiver.receive(frame)) == []
        assert violation(receiver, frame) == Violation.FLOOD


def test_established_link_may_carry_any_number_of_bytes() -> None:
    _, master = ends_in(Phase.LINKED)
    frame = encode_frame(UNKNOWN_KIND, bytes(LINK_FRAME_LIMIT_BYTES - 1))
    for _ in range(16):
        assert list(master.receive(frame)) == []
    assert master.skipped == 16


def test_what_follows_the_welcome_in_one_portion_is_no_flood() -> None:
    agent = ClientConnection()
    agent.send(example(m.AgentHello))
    acks = [m.Ack(sequence) for sequence in range(2 * ENTRY_BYTES_LIMIT // 7)]
    glued = m.encode(example(m.Welcome)) + b"".join(map(m.encode, acks))
    assert list(agent.receive(glued)) == [example(m.Welcome), *acks]


def test_message_that_the_peer_would_refuse_for_its_length_is_not_sent() -> None:
    _, master = ends_in(Phase.AGENT_GREETING)
    with pytest.raises(LocalProtocolError):
        master.send(m.Deny("busy", "x" * ENTRY_FRAME_LIMIT_BYTES))
    with pytest.raises(LocalProtocolError):
        master.send_bulk(m.Deny("busy", "x" * ENTRY_FRAME_LIMIT_BYTES))
    agent, _ = ends_in(Phase.LINKED)
    whole = m.InventoryReport(m.raw(bytes(TRANSFER_LIMIT_BYTES)))
    with pytest.raises(LocalProtocolError):
        agent.send(whole)
    with pytest.raises(LocalProtocolError):
        agent.send_bulk(whole)


# --- newer and older peers -----------------------------------------------------------------------


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.CLOSED])
def test_unknown_kinds_are_skipped_and_counted(phase: Phase) -> None:
    for receiver in ends_in(phase):
        assert list(receiver.receive(encode_frame(UNKNOWN_KIND, b"\xc1 not MessagePack"))) == []
        assert receiver.skipped == 1
        assert receiver.phase is phase


@pytest.mark.parametrize(("phase", "side", "message", "following"), ALLOWED)
def test_fields_of_a_newer_peer_are_ignored(
    phase: Phase, side: Side, message: type[m.Message], following: Phase
) -> None:
    _, receiver = ends_by_speaker(phase, side)
    fields = msgspec.msgpack.decode(m.encode_body(EXAMPLES[message]), type=list[object])
    newer = m.encode_body([*fields, {"added": [1, None, "later"]}])
    arrived = list(receiver.receive(encode_frame(message.kind, newer)))
    assert arrived == ([] if message is m.Part else [EXAMPLES[message]])
    assert receiver.phase is following


@pytest.mark.parametrize(("phase", "side", "message", "following"), ALLOWED)
def test_fields_that_an_older_peer_lacks_are_filled_in_or_the_frame_is_bad(
    phase: Phase, side: Side, message: type[m.Message], following: Phase
) -> None:
    required = len([f for f in msgspec.structs.fields(message) if f.required])
    fields = msgspec.msgpack.decode(m.encode_body(EXAMPLES[message]), type=list[msgspec.Raw])
    for present in range(len(fields)):
        _, receiver = ends_by_speaker(phase, side)
        frame = encode_frame(message.kind, m.encode_body(fields[:present]))
        if present < required:
            assert violation(receiver, frame) == Violation.BAD_FRAME
            continue
        (arrived,) = receiver.receive(frame)
        for field in msgspec.structs.fields(message)[present:]:
            assert getattr(arrived, field.name) == field.default
        assert receiver.phase is following


# --- hostile peers -------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=200)))
def test_garbage_before_the_link_is_established_is_refused_or_waits(portions: list[bytes]) -> None:
    survive(MasterConnection(), portions)


@given(st.lists(st.tuples(st.sampled_from(all_messages()), st.binary(max_size=60))))
def test_any_body_under_any_known_kind_is_a_message_or_a_violation(
    frames: list[tuple[type[m.Message], bytes]],
) -> None:
    portions = [encode_frame(message.kind, body) for message, body in frames]
    for phase in ESTABLISHED:
        for end in ends_in(phase):
            survive(end, portions)


@given(st.data())
def test_mutated_frames_are_a_message_or_a_violation(data: st.DataObject) -> None:
    frame = bytearray(m.encode(EXAMPLES[data.draw(st.sampled_from(all_messages()))]))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    for phase in ESTABLISHED:
        for end in ends_in(phase):
            survive(end, [bytes(frame)])


def survive(end: End, portions: list[bytes]) -> None:
    for portion in portions:
        try:
            for message in end.receive(portion):
                assert isinstance(message, m.Message)
        except RemoteProtocolError:
            assert end.phase is Phase.CLOSED
            assert list(end.receive(portion)) == []
            return


@pytest.mark.parametrize(
    "core",
    [b"\x91" * 200_000 + b"\xc0", b"\xdd\xff\xff\xff\xff", b"\xc1", b""],
    ids=["nested-200000-deep", "four-billion-elements", "no-such-type", "nothing"],
)
def test_body_made_to_exhaust_the_decoder_is_a_bad_frame(core: bytes) -> None:
    _, master = ends_in(Phase.LINKED)
    body = b"\x95\x01\x01\x01\xcd\x13\x88" + core
    assert violation(master, encode_frame(m.Beat.kind, body)) == Violation.BAD_FRAME


# --- farewells -----------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.value)
@pytest.mark.parametrize("side", list(Side), ids=lambda side: side.value)
@pytest.mark.parametrize("broken", [False, True], ids=["unbroken", "after-a-violation"])
def test_last_word_is_one_that_the_peer_understands(phase: Phase, side: Side, broken: bool) -> None:
    end, other = ends_by_speaker(phase, side)
    if broken and phase is not Phase.CLOSED:
        violation(end, bytes(4))
    last_word = list(other.receive(end.farewell("bad-frame", "a frame\nof length 0")))
    if phase in ESTABLISHED:
        assert last_word == [m.Goodbye("bad-frame", "a frame of length 0")]
    elif side is Side.MASTER and phase is not Phase.CLOSED:
        assert last_word == [m.Deny("bad-frame", "a frame of length 0")]
    else:
        assert last_word == []
    assert end.phase is Phase.CLOSED
    assert end.farewell("bad-frame") == b""


def test_last_word_keeps_within_the_frame_limit_before_the_welcome() -> None:
    client, master = ends_in(Phase.OPENING)
    (denial,) = client.receive(master.farewell("busy", "é" * 100_000))
    assert isinstance(denial, m.Deny)


def test_frames_of_one_end_are_frames_of_the_other() -> None:
    agent, _ = ends_in(Phase.LINKED)
    decoder = FrameDecoder(LINK_FRAME_LIMIT_BYTES)
    decoder.receive_data(agent.send(m.Ping(5)))
    assert decoder.next_frame() == Frame(m.Ping.kind, b"\x91\x05")
