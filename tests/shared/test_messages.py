"""Messages: every one survives the wire, keeps its limits, and a beat stays small."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given

from docs.message_examples import CORE, EXAMPLES
from shared import messages as m
from shared.metrics import LARGEST, Core
from tests.shared.message_strategies import all_messages, messages_of

MESSAGES = [pytest.param(message, id=message.__name__) for message in all_messages()]


@pytest.mark.parametrize("message", MESSAGES)
def test_any_instance_survives_the_wire(message: type[m.Message]) -> None:
    @given(messages_of(message))
    def holds(sent: m.Message) -> None:
        body = m.encode_body(sent)
        assert m.encode_body(msgspec.msgpack.decode(body, type=message)) == body

    holds()


def test_every_message_has_an_example() -> None:
    assert set(EXAMPLES) == set(all_messages())


def test_no_two_messages_share_a_kind() -> None:
    assert max(Counter(message.kind for message in all_messages()).values()) == 1


@pytest.mark.parametrize("message", MESSAGES)
def test_required_fields_come_before_those_with_a_default(message: type[m.Message]) -> None:
    required = [field.required for field in msgspec.structs.fields(message)]
    assert required == sorted(required, reverse=True)


@pytest.mark.parametrize(
    "beyond",
    [
        pytest.param(m.Goodbye("x" * 257), id="long code"),
        pytest.param(m.Goodbye("stopped", "x" * 2049), id="long text"),
        pytest.param(m.Cadence(999), id="short period"),
        pytest.param(m.Cadence(60_001), id="long period"),
        pytest.param(m.Beat(LARGEST + 1, 0, 0, 5000, m.raw(CORE)), id="sequence beyond 53 bits"),
        pytest.param(m.Beat(-1, 0, 0, 5000, m.raw(CORE)), id="negative sequence"),
        pytest.param(m.Beat(0, 0, 0, 99, m.raw(CORE)), id="promise too soon"),
        pytest.param(
            m.Beat(0, 0, 0, 5000, m.raw(CORE), (m.Trouble("cpu", "failed", 0, ""),) * 33),
            id="33 troubles",
        ),
        pytest.param(m.SetLabels(0, "web-1", {str(n): "" for n in range(65)}), id="65 labels"),
    ],
)
def test_value_beyond_its_limit_is_refused(beyond: m.Message) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(m.encode_body(beyond), type=type(beyond))


def test_beat_of_fifty_values_takes_at_most_400_bytes() -> None:
    known = [value for value in msgspec.structs.astuple(CORE) if value is not None]
    assert len(known) >= 50
    assert len(m.encode(m.Beat(10**6, 10**9, 2 * 10**12, 5000, m.raw(CORE)))) <= 400


def test_busiest_imaginable_core_still_fits_a_tenth_of_the_frame_limit() -> None:
    busiest = Core(*[LARGEST] * len(Core.__struct_fields__))
    assert len(m.encode(m.Beat(LARGEST, LARGEST, LARGEST, 600_000, m.raw(busiest)))) < 1024
