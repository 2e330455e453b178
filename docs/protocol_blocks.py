"""The parts of `docs/protocol.md` that are made from the code, one function each."""

from collections.abc import Iterator, Sequence
from typing import Final, cast

import msgspec
from msgspec import Struct

from agent import spool, spooler
from docs.message_examples import EXAMPLES
from docs.struct_tables import anchor_of, code_table, constant_rows, field_table, summary, table
from master import allowance, attention, requests, session, viewing
from shared import connection, families, frames, inventory, metrics, outbox
from shared import messages as m
from shared.connection import TRANSITIONS, Phase, Side
from shared.errors import Violation
from shared.metrics import FAMILIES

HEX_BYTES_A_LINE: Final = 32
NAMES_A_LINE: Final = 4

MESSAGES: Final = tuple(sorted(EXAMPLES, key=lambda message: message.kind))

_NESTED: Final[tuple[type[Struct], ...]] = (
    m.Trouble,
    m.EndedRun,
    m.Spooled,
    m.NodeInfo,
    m.NodeVitals,
    m.Outage,
    m.Availability,
    m.TimeToDetect,
    m.Event,
    m.TokenInfo,
    m.SeriesOf,
    m.StoredSample,
    m.Gap,
    m.Coverage,
)


def limits() -> str:
    """Every limit that the two ends hold each other to."""
    rows = [
        *constant_rows(frames, "ENTRY_FRAME_LIMIT_BYTES", "LINK_FRAME_LIMIT_BYTES"),
        *constant_rows(connection, "ENTRY_BYTES_LIMIT", "PIECE_BYTES", "TRANSFER_LIMIT_BYTES"),
        *constant_rows(outbox, "URGENT_LIMIT_BYTES", "BULK_LIMIT_BYTES"),
    ]
    numbers = [
        *constant_rows(session, "MESSAGES_PER_WINDOW", "BYTES_PER_WINDOW", "WINDOW_S"),
        *constant_rows(allowance, "SAMPLES_AT_ONCE", "SAMPLES_PER_S", "NEW_RUN_COST"),
        *constant_rows(viewing, "VIEWERS_LIMIT", "BEHIND_BYTES"),
        *constant_rows(requests, "EVENTS_LIMIT"),
    ]
    spooling = [
        *constant_rows(spooler, "FIRST_S", "PAUSE_S"),
        *constant_rows(spool, "BATCH_SAMPLES", "WINDOW_BATCHES", "RESEND_S", "LOSSES_AT_ONCE"),
    ]
    looking = [*constant_rows(attention, "PERIOD_MS", "DETAIL_MS", "LEASE_MS", "REPEAT_S")]
    return "\n\n".join(
        (
            table(("limit", "bytes", "why"), rows),
            "And on a master's established links:",
            table(("limit", "number", "why"), numbers),
            "An agent sends what no master has confirmed at this pace:",
            table(("what", "number", "why"), spooling),
            "While a viewer looks at a node, a master asks its agent with `Attend` for:",
            table(("what", "number", "why"), looking),
        )
    )


def state_diagram() -> str:
    """The phases of a link and what leads from one to the next, as a Mermaid diagram."""
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{phase.value}" as {phase.name}' for phase in Phase]
    lines.append(f"    [*] --> {Phase.OPENING.name}")
    for (phase, side), allowed in TRANSITIONS.items():
        for following in dict.fromkeys(allowed.values()):
            names = [kind.__name__ for kind, then in allowed.items() if then is following]
            lines.append(_arrow(phase, following, side, names))
    lines += [f"    {Phase.CLOSED.name} --> [*]", "```"]
    return "\n".join(lines)


def transition_table() -> str:
    """The same as a table: phase, speaker, message, next phase."""
    rows = [
        (phase.value, side.value, ", ".join(f"`{kind.__name__}`" for kind in kinds), then.value)
        for (phase, side), allowed in TRANSITIONS.items()
        for then in dict.fromkeys(allowed.values())
        for kinds in [[kind for kind, following in allowed.items() if following is then]]
    ]
    return table(("while", "speaker", "may send", "then"), rows)


def message_table() -> str:
    """Every kind of message: number, name, who sends it when."""
    rows = [
        (str(message.kind), f"[{message.__name__}](#{anchor_of(message)})", *_senders(message))
        for message in MESSAGES
    ]
    return table(("kind", "message", "client sends while", "master sends while"), rows)


def message_sections() -> str:
    """A section per message: meaning, fields, one frame in hex and what it says."""
    return "\n\n".join(_message_section(message) for message in MESSAGES)


def nested_sections() -> str:
    """The Structs that messages hold."""
    return "\n\n".join(map(_struct_section, _NESTED))


def inventory_sections() -> str:
    """The inventory and what it holds."""
    return "\n\n".join(map(_struct_section, _structs_of(inventory.Inventory)))


def family_sections() -> str:
    """Every family in full, with the Structs it holds below it."""
    parts: list[str] = []
    for family in FAMILIES:
        own, *held = _structs_of(families.FAMILY_TYPES[family])
        parts.append(f"#### {own.__name__}\n\nFamily `{family}`. {_struct_body(own)}")
        parts += map(_struct_section, held)
    return "\n\n".join(parts)


def core_table() -> str:
    """The core sample: position, name, unit, scale, meaning."""
    rows = [
        (str(metric.index), f"`{metric.name}`", metric.unit, str(metric.scale), metric.description)
        for metric in metrics.metrics()
    ]
    return table(("#", "name", "unit", "divide by", "meaning"), rows)


def violations() -> str:
    """What a peer is told when it broke the protocol."""
    return code_table(Violation)


def refusals() -> str:
    """Why a master refuses; the codes that end an agent are marked."""
    return code_table(m.Refusal, dict.fromkeys(m.Refusal.FINAL, "final"))


def partings() -> str:
    """Why an established link ends."""
    return code_table(m.Parting)


def hex_lines(data: bytes) -> str:
    """Bytes as lines of hex, as the examples show them."""
    return "\n".join(line.hex(" ") for line in _cut(data, HEX_BYTES_A_LINE))


def _cut(whole: bytes, size: int) -> Iterator[bytes]:
    return (whole[start : start + size] for start in range(0, len(whole), size))


def _arrow(phase: Phase, following: Phase, side: Side, names: Sequence[str]) -> str:
    lines = [
        ", ".join(names[start : start + NAMES_A_LINE])
        for start in range(0, len(names), NAMES_A_LINE)
    ]
    return f"    {phase.name} --> {following.name}: {side.value}: {'<br/>'.join(lines)}"


def _senders(message: type[m.Message]) -> tuple[str, str]:
    phases = {
        side: [phase.value for phase in Phase if message in TRANSITIONS.get((phase, side), {})]
        for side in Side
    }
    return ", ".join(phases[Side.CLIENT]), ", ".join(phases[Side.MASTER])


def _message_section(message: type[m.Message]) -> str:
    example = EXAMPLES[message]
    fields = field_table(message) or "No fields: the body is an empty array."
    said = msgspec.msgpack.decode(m.encode_body(example))
    return "\n\n".join(
        (
            f"#### {message.kind} {message.__name__}",
            summary(message),
            fields,
            f"```hex\n{hex_lines(m.encode(example))}\n```",
            f"says `{_as_text(said)}`",
        )
    )


def _struct_section(struct: type[Struct]) -> str:
    return f"#### {struct.__name__}\n\n{_struct_body(struct)}"


def _struct_body(struct: type[Struct]) -> str:
    return f"{summary(struct)}\n\n{field_table(struct)}"


def _structs_of(struct: type[Struct]) -> list[type[Struct]]:
    found = [struct]
    for info in msgspec.inspect.multi_type_info([struct]):
        found += [held for held in _held(info) if held is not struct]
    return list(dict.fromkeys(found))


def _held(info: msgspec.inspect.Type) -> Iterator[type[Struct]]:
    match info:
        case msgspec.inspect.Metadata(type=inner):
            yield from _held(inner)
        case msgspec.inspect.UnionType(types=types):
            for inner in types:
                yield from _held(inner)
        case msgspec.inspect.VarTupleType(item_type=inner):
            yield from _held(inner)
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            yield cls
            for field in fields:
                yield from _held(field.type)
        case _:
            return


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return f"h'{value.hex()}'"
    if isinstance(value, list):
        elements = cast("list[object]", value)
        return "[" + ", ".join(map(_as_text, elements)) + "]"
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value)
        return "{" + ", ".join(f"{_as_text(k)}: {_as_text(v)}" for k, v in pairs.items()) + "}"
    return "nil" if value is None else msgspec.json.encode(value).decode()
