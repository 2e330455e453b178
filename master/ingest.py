"""What agents say, made safe to keep and to show: the one place where their strings enter the
master."""

from typing import Any, Final, cast

import msgspec
from msgspec.structs import replace

from shared.errors import RemoteProtocolError, Violation
from shared.families import FAMILY_TYPES
from shared.inventory import Inventory
from shared.messages import FamilySample, Trouble, encode_body
from shared.text import NAME_LIMIT_CHARACTERS, TEXT_LIMIT_CHARACTERS, clean, clean_name

DEPTH_LIMIT: Final = 8
"""No family nests deeper than rows of rows; what does is hostile."""

_ANYTHING: Final = msgspec.msgpack.Decoder()
_INVENTORY: Final = msgspec.msgpack.Decoder(Inventory)
_FAMILIES: Final[dict[str, msgspec.msgpack.Decoder[Any]]] = {
    name: msgspec.msgpack.Decoder(type_) for name, type_ in FAMILY_TYPES.items()
}


def clean_troubles(troubles: tuple[Trouble, ...]) -> tuple[Trouble, ...]:
    """The troubles of a beat, safe to show."""
    return tuple(
        Trouble(
            clean(trouble.family, NAME_LIMIT_CHARACTERS),
            clean(trouble.state, NAME_LIMIT_CHARACTERS),
            trouble.age_s,
            clean(trouble.text),
        )
        for trouble in troubles
    )


def clean_inventory(packed: msgspec.Raw) -> tuple[bytes, Inventory]:
    """An inventory, safe to show, packed and decoded.

    Raises:
        RemoteProtocolError: it is not one.
    """
    cleaned = _cleaned(packed, "an inventory")
    try:
        return cleaned, _INVENTORY.decode(cleaned)
    except msgspec.DecodeError as error:
        raise RemoteProtocolError(Violation.BAD_FRAME, f"an inventory: {error}") from error


def clean_family(sample: FamilySample) -> FamilySample:
    """A family's sample, safe to show. Of a family that this version does not know too.

    Raises:
        RemoteProtocolError: its data is not what its name says.
    """
    data = _cleaned(sample.data, f"the family {clean_name(sample.family)}")
    decoder = _FAMILIES.get(sample.family)
    if decoder is not None:
        try:
            decoder.decode(data)
        except msgspec.DecodeError as error:
            raise RemoteProtocolError(
                Violation.BAD_FRAME, f"the family {sample.family}: {error}"
            ) from error
    return replace(sample, family=clean_name(sample.family), data=msgspec.Raw(data))


def _cleaned(packed: msgspec.Raw, what: str) -> bytes:
    try:
        value = _ANYTHING.decode(packed)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise RemoteProtocolError(Violation.BAD_FRAME, f"{what}: {error}") from error
    return encode_body(_clean_deep(value, what, DEPTH_LIMIT))


def _clean_deep(value: Any, what: str, depth: int) -> Any:
    if isinstance(value, str):
        return clean(value, TEXT_LIMIT_CHARACTERS)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth == 0:
        raise RemoteProtocolError(Violation.BAD_FRAME, f"{what}: nested too deep")
    if isinstance(value, list):
        return [_clean_deep(item, what, depth - 1) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {
            _clean_deep(key, what, 0): _clean_deep(item, what, depth - 1)
            for key, item in cast("dict[Any, Any]", value).items()
        }
    raise RemoteProtocolError(Violation.BAD_FRAME, f"{what}: {type(value).__name__} has no place")
