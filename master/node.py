"""One node as the master knows it: what the registry stores, and what its agent said last."""

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from shared.inventory import Inventory
from shared.liveness import Liveness, horizons
from shared.messages import FamilySample, NodeInfo, NodeVitals, TimeToDetect, Trouble
from shared.text import NAME_LIMIT_CHARACTERS

if TYPE_CHECKING:
    from master.agent_session import AgentSession

NIL: Final = msgspec.Raw(b"\xc0")
"""MessagePack's nil: no beat yet, no inventory yet."""

FAMILIES_LIMIT: Final = 32
"""Families kept of one node: twice what an agent of this version has. With the limit of a frame it
bounds what a hostile agent can make the master hold."""

LABELS_LIMIT: Final = 64
"""Labels of a node that viewers are shown, the operator's first."""

FILESYSTEMS_LIMIT: Final = 128
MOUNT_LIMIT_CHARACTERS: Final = 128
"""What every viewer's list holds of a node: with these, one node always fits one message, whatever
its agent says."""


OFF_GRID_PERIODS: Final = 2
"""A beat that begins a link or another cadence goes out off its grid, and promises the next one in
less than so many periods."""


class SeenFamily(NamedTuple):
    """The newest sample of a family, and when it arrived, on trio's clock."""

    sample: FamilySample
    seen_s: float


class Node:
    """Mutable, owned by the registry. The core sample is kept as it came (300 bytes, not 2.4
    kB)."""

    __slots__ = (
        "address",
        "agent_labels",
        "agent_version",
        "certificate_expires_wall_ms",
        "conflict",
        "core",
        "families",
        "filesystems",
        "first_seen_wall_ms",
        "flapping",
        "inventory",
        "labels",
        "liveness",
        "name",
        "node_id",
        "note",
        "os",
        "period_ms",
        "promised_ms",
        "seen_mono_s",
        "seen_wall_ms",
        "session",
        "shunned_until_s",
        "since_wall_ms",
        "spool_heard_s",
        "troubles",
        "watched_period_ms",
    )

    def __init__(
        self, node_id: str, name: str, liveness: Liveness, first_seen_wall_ms: int
    ) -> None:
        self.node_id: Final = node_id
        self.name = name
        self.liveness = liveness
        self.first_seen_wall_ms = first_seen_wall_ms
        self.since_wall_ms = first_seen_wall_ms
        self.labels: dict[str, str] = {}
        self.agent_labels: dict[str, str] = {}
        self.note = ""
        self.address = ""
        self.agent_version = ""
        self.certificate_expires_wall_ms = 0
        self.seen_mono_s: float | None = None
        self.seen_wall_ms: int | None = None
        self.period_ms = 0
        """How often its agent has been asked to beat while nobody looks."""
        self.watched_period_ms: int | None = None
        """How often it is asked to while somebody does; None: nobody looks."""
        self.promised_ms = 0
        """How soon after its last beat the next one is promised."""
        self.core: bytes | None = None
        self.troubles: tuple[Trouble, ...] = ()
        self.inventory: bytes | None = None
        self.os = ""
        self.filesystems: tuple[str, ...] = ()
        self.families: dict[str, SeenFamily] = {}
        self.conflict = False
        self.flapping = False
        self.session: AgentSession | None = None
        self.spool_heard_s: float | None = None
        """When its spool last had something to say, or could have begun to; None: not in this life
        of the master."""
        self.shunned_until_s = 0.0
        """An agent that broke the protocol is not let in again before, on trio's clock."""

    def __repr__(self) -> str:
        return f"<Node {self.name} {self.liveness.state}>"

    def take_inventory(self, packed: bytes, inventory: Inventory) -> None:
        """Keeps an inventory, and apart from it what every viewer's list shows."""
        self.inventory = packed
        self.os = inventory.os[:NAME_LIMIT_CHARACTERS]
        self.filesystems = tuple(
            filesystem.mount[:MOUNT_LIMIT_CHARACTERS]
            for filesystem in inventory.filesystems[:FILESYSTEMS_LIMIT]
        )
        self.agent_labels = {
            key[:NAME_LIMIT_CHARACTERS]: value[:NAME_LIMIT_CHARACTERS]
            for key, value in inventory.labels.items()
        }

    def take_family(self, sample: FamilySample, now_s: float) -> bool:
        """Keeps the newest sample of a family; False when there are too many families already."""
        if sample.family not in self.families and len(self.families) >= FAMILIES_LIMIT:
            return False
        self.families[sample.family] = SeenFamily(sample, now_s)
        return True

    def time_to_detect(self) -> TimeToDetect | None:
        """How soon it would be noticed if the node fell silent; None when it does not beat."""
        found = horizons(self.liveness)
        if found is None:
            return None
        seconds = msgspec.structs.astuple(found)
        return TimeToDetect(*(round(max(0.0, each_s) * 1000) for each_s in seconds))

    def info(self) -> NodeInfo:
        """What changes rarely. The operator's labels win over the agent's own."""
        return NodeInfo(
            self.node_id,
            self.name,
            self._shown_labels(),
            self.note,
            self.address,
            self.agent_version,
            self.first_seen_wall_ms,
            self.os,
            self.filesystems,
            self.certificate_expires_wall_ms,
        )

    def _shown_labels(self) -> dict[str, str]:
        shown = dict(self.labels)
        for key, value in self.agent_labels.items():
            if len(shown) == LABELS_LIMIT:
                break
            shown.setdefault(key, value)
        return shown

    def _kept_period_ms(self) -> int:
        # A longer promise than one off the grid shows that the agent keeps a period of its own.
        asked_ms = min(self.period_ms, self.watched_period_ms or self.period_ms)
        promised_ms = round(self.promised_ms, -2)  # it counts from a moment after the beat was due
        return asked_ms if promised_ms < OFF_GRID_PERIODS * asked_ms else promised_ms

    def vitals(self) -> NodeVitals:
        """What changes with every beat."""
        return NodeVitals(
            self.node_id,
            self.liveness.state,
            self.liveness.reason,
            self.since_wall_ms,
            None if self.seen_mono_s is None else int(self.seen_mono_s * 1000),
            self.seen_wall_ms,
            self._kept_period_ms(),
            NIL if self.core is None else msgspec.Raw(self.core),
            self.troubles,
            self.conflict,
            self.flapping,
        )
