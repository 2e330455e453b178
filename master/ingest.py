"""What agents say, made safe to keep and to show: the one place where their strings enter the
master."""

import math
from typing import Any, Final, cast

import msgspec
from msgspec.structs import replace

from shared.absence import Process
from shared.errors import RemoteProtocolError, Violation
from shared.families import FAMILY_TYPES
from shared.inventory import Inventory
from shared.messages import AgentHello, FamilySample, Returned, Trouble, encode_body
from shared.metrics import Core
from shared.text import NAME_LIMIT_CHARACTERS, TEXT_LIMIT_CHARACTERS, clean, clean_name

DEPTH_LIMIT: Final = 8
"""No family nests deeper than rows of rows; what does is hostile."""

VALUES_LIMIT: Final = 32_768
"""Values in one message. A host with a thousand processors sends 8,000; a quarter of a million
empty ones would fit into a message, and keep the master busy for a tenth of a second."""

REASON_CHARACTERS: Final = 200
"""Of an error in what an agent tells of its absence."""

_CORE: Final = msgspec.msgpack.Decoder(Core)
_ANYTHING: Final = msgspec.msgpack.Decoder()
_INVENTORY: Final = msgspec.msgpack.Decoder(Inventory)
_FAMILIES: Final[dict[str, msgspec.msgpack.Decoder[Any]]] = {
    name: msgspec.msgpack.Decoder(type_) for name, type_ in FAMILY_TYPES.items()
}


def clean_core(packed: msgspec.Raw) -> bytes:
    """A core sample, encoded anew: what a hostile agent adds to the numbers is neither kept nor
    sent to viewers.

    Raises:
        RemoteProtocolError: it is not one.
    """
    try:
        return encode_body(_CORE.decode(packed))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(Violation.BAD_FRAME, f"a core sample: {error}") from error


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


def clean_returned(told: Returned) -> Returned:
    """What an agent tells of its absence, safe to show, and no longer than agents write it."""
    return replace(
        told,
        boot_id=clean(told.boot_id, NAME_LIMIT_CHARACTERS),
        link_code=clean(told.link_code, NAME_LIMIT_CHARACTERS),
        link_error=clean(told.link_error, REASON_CHARACTERS),
        attempt_error=clean(told.attempt_error, REASON_CHARACTERS),
        runs=tuple(
            replace(
                run,
                boot_id=clean(run.boot_id, NAME_LIMIT_CHARACTERS),
                ended=clean(run.ended, NAME_LIMIT_CHARACTERS),
                link_error=clean(run.link_error, REASON_CHARACTERS),
                oom=clean(run.oom, NAME_LIMIT_CHARACTERS),
            )
            for run in told.runs
        ),
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
    return encode_body(_Cleaning(what).clean(value, DEPTH_LIMIT))


class _Cleaning:
    """One value on its way in: `what` is what an error calls it."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._room = VALUES_LIMIT

    def clean(self, value: Any, depth: int) -> Any:
        """The same value with clean strings and finite numbers."""
        if isinstance(value, str):
            return clean(value, TEXT_LIMIT_CHARACTERS)
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if value is None or isinstance(value, int):  # bool is one of them
            return value
        if isinstance(value, list):
            items = cast("list[object]", value)
            self._enter(len(items), depth)
            return [self.clean(item, depth - 1) for item in items]
        if isinstance(value, dict):
            pairs = cast("dict[object, object]", value)
            self._enter(len(pairs), depth)
            return {self.clean(key, 0): self.clean(item, depth - 1) for key, item in pairs.items()}
        raise self._refused(f"{type(value).__name__} has no place")

    def _enter(self, size: int, depth: int) -> None:
        self._room -= size
        if depth == 0:
            raise self._refused("nested too deep")
        if self._room < 0:
            raise self._refused(f"more than {VALUES_LIMIT} values")

    def _refused(self, why: str) -> RemoteProtocolError:
        return RemoteProtocolError(Violation.BAD_FRAME, f"{self._what}: {why}")


def process_of(hello: AgentHello) -> Process:
    """Which run of its agent a hello names."""
    return Process(clean(hello.boot_id, NAME_LIMIT_CHARACTERS), hello.started_mono_ms)
