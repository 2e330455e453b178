"""The node that is looked at closely: its families in full, its inventory, and how old they are.

A pure model, fed with what the master sends of the node in focus. Every string is the host's own
and may be hostile: all of them are cleaned here, once, so that no page has to remember to. What
cannot be decoded is left out, and said.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import Struct

from shared.families import FAMILY_TYPES, FamilyData, decode_family
from shared.inventory import Inventory
from shared.messages import FocusInventory, FocusUpdate
from shared.text import clean
from tui.moment import Moment
from tui.trail import Trail

_Data = TypeVar("_Data", bound=Struct)

_INVENTORY: Final[msgspec.msgpack.Decoder[Inventory | None]] = msgspec.msgpack.Decoder(
    Inventory | None
)
_TEXT_LIMIT: Final = 4096
"""Of a command line; the longest text that a family may hold."""

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_FAMILY_OF: Final[Mapping[type[Struct], str]] = {kind: name for name, kind in FAMILY_TYPES.items()}


class Sample:
    """One family as it last arrived."""

    def __init__(self, data: FamilyData | None, seen_mono_ms: int, period_ms: int) -> None:
        self.data = data
        """None: it arrived and could not be read."""
        self.seen_mono_ms = seen_mono_ms
        self.period_ms = period_ms

    def age_s(self, moment: Moment) -> float:
        """Seconds since it arrived."""
        if moment.master_mono_ms is None:
            return 0.0
        return max(0.0, (moment.master_mono_ms - self.seen_mono_ms) / 1000)


class Focus:
    """All that is known of one node beyond its row."""

    def __init__(self, node_id: str, trail: Trail) -> None:
        self.node_id = node_id
        self.trail = trail
        self.samples: dict[str, Sample] = {}
        self.inventory: Inventory | None = None

    def __repr__(self) -> str:
        return f"<Focus on {self.node_id}, {len(self.samples)} families>"

    def apply(self, message: FocusUpdate | FocusInventory) -> bool:
        """Takes in one message; False when it is about another node."""
        if message.node_id != self.node_id:
            return False
        match message:
            case FocusUpdate(sample=sample):
                data = _decoded(sample.family, sample.data)
                name = clean(sample.family)
                self.samples[name] = Sample(data, message.seen_mono_ms, sample.period_ms)
            case FocusInventory():
                try:
                    inventory = _INVENTORY.decode(message.inventory)
                except _UNREADABLE:
                    inventory = None
                self.inventory = cleaned(inventory) if inventory else None
        return True

    def data(self, kind: type[_Data]) -> _Data | None:
        """The latest sample of the family that `kind` is the Struct of."""
        sample = self.samples.get(_FAMILY_OF[kind])
        return sample.data if sample and isinstance(sample.data, kind) else None


def cleaned(value: _Data) -> _Data:
    """`value` with every text in it cleaned, however deep."""
    return cast("_Data", _cleaned(value))


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return clean(value, _TEXT_LIMIT)
        case tuple():
            return tuple(map(_cleaned, cast("tuple[object, ...]", value)))
        case dict():
            pairs = cast("dict[object, object]", value).items()
            return {_cleaned(key): _cleaned(item) for key, item in pairs}
        case Struct():
            fields = value.__struct_fields__
            return type(value)(*(_cleaned(getattr(value, field)) for field in fields))
        case _:
            return value


def _decoded(family: str, content: msgspec.Raw) -> FamilyData | None:
    try:
        data = decode_family(family, content)
    except _UNREADABLE:
        return None
    return cleaned(data) if data is not None else None
