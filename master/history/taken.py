"""What the history is given to keep."""

from typing import Final, NamedTuple, TypeAlias

from msgspec import Struct


class Sample(Struct, frozen=True, gc=False):
    """A core sample: of which node and run of its agent, when, and the values."""

    node_id: str
    boot_id: str
    started_mono_ms: int
    """With the boot id, which run of the agent took it."""
    sequence: int
    """With the boot id, which sample of the host it is, for ever."""
    at_wall_ms: int
    """By the master's clock."""
    period_ms: int
    """When the next one was due after it."""
    core: bytes
    """A `shared.metrics.Core` in MessagePack, or nil."""
    is_late: bool
    """It came from the agent's spool."""


class LostSamples(NamedTuple):
    """Samples that an agent took and that are no more."""

    node_id: str
    boot_id: str
    started_mono_ms: int
    first: int
    """The sequence number of the first of them."""
    last: int
    first_wall_ms: int
    last_wall_ms: int


class TakenFamily(NamedTuple):
    """One family of one node at one time."""

    node_id: str
    at_wall_ms: int
    family: str
    period_ms: int
    data: bytes
    """The family's Struct in MessagePack."""


class Forget(NamedTuple):
    """Everything of this node that came before is to go."""

    node_id: str


Taken: TypeAlias = Sample | LostSamples | TakenFamily | Forget

OVERHEAD_BYTES: Final = 300
"""What one of these takes in memory beside its content, roughly."""


def size_bytes(taken: Taken) -> int:
    """What it takes in memory, roughly."""
    match taken:
        case Sample():
            return OVERHEAD_BYTES + len(taken.core)
        case TakenFamily():
            return OVERHEAD_BYTES + len(taken.data)
        case LostSamples() | Forget():
            return OVERHEAD_BYTES
