"""One node as a viewer knows it: pure values, replaced when the master says something new.

What the master sends is cleaned again, and decoded only when somebody looks at it; a sample that
does not decode is a node without numbers.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import msgspec
from rich.cells import cell_len

from shared.liveness import SEVERITY, State
from shared.messages import NodeInfo, NodeVitals, Trouble
from shared.metrics import Core
from shared.text import clean, clean_name
from tui.moment import Moment

STALE_PERIODS: Final = 2.5
"""Numbers older than so many periods of their node are no longer how it is, only how it was."""

PULSE_BEATS: Final = 40
"""As many as the widest sparkline shows."""

_UNKNOWN_LEVEL: Final = 255

_CORE: Final[msgspec.msgpack.Decoder[Core | None]] = msgspec.msgpack.Decoder(Core | None)
_NO_CORE: Final = Core()
_DIGITS: Final = re.compile("([0-9]+)")

_RANKS: Final[Mapping[str, int]] = {state: 2 * rank for rank, state in enumerate(SEVERITY)}
_UNKNOWN_RANK: Final = _RANKS[State.AWAITED] + 1
"""A state that a newer master knows might be a problem: after those that certainly are."""

_ABSENT: Final = frozenset(
    {State.NEVER_SEEN, State.AWAITED, State.LOST, State.DOWN, State.LEFT, State.REVOKED}
)
"""States in which nothing is heard of a node, so that its numbers are not of today."""


class Profile:
    """What is rarely news about a node, made ready to show. Shared by all versions of the node."""

    def __init__(self, info: NodeInfo) -> None:
        self.node_id = info.node_id
        self.name = clean_name(info.name, fallback=clean_name(info.node_id))
        self.name_key = natural_key(self.name)
        self.address = clean(info.address)
        self.os = clean(info.os)
        self.agent_version = clean(info.agent_version)
        self.note = clean(info.note)
        self.first_seen_wall_ms = info.first_seen_wall_ms
        self.labels = {clean(key): clean(value) for key, value in sorted(info.labels.items())}
        self.filesystems = tuple(clean(mount) for mount in info.filesystems)
        self.name_width = cell_len(self.name)
        self.mount_width = max(map(cell_len, self.filesystems), default=0)
        """Of the longest mount point. Widths are in cells of a terminal."""

    def __repr__(self) -> str:
        return f"<Profile {self.name}>"

    @cached_property
    def searchable(self) -> str:
        """Its texts, each on a line, without the difference of capitals."""
        labels = (f"{key}={value}" for key, value in self.labels.items())
        texts = (self.name, *labels, self.address, self.os, self.agent_version, self.note)
        return "\n".join(texts).casefold()


class Pulse:
    """How busy a node was in its latest beats, coarsely: a few bytes, for a fleet has many nodes.

    Shared by all versions of the node; the only thing of it that changes.
    """

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        self._levels = bytearray()

    def add(self, cpu_busy_bp: int | None) -> None:
        """Takes in one beat."""
        level = _UNKNOWN_LEVEL if cpu_busy_bp is None else min(cpu_busy_bp // 100, 100)
        self._levels.append(level)
        del self._levels[:-PULSE_BEATS]

    def ratios(self, count: int) -> tuple[float | None, ...]:
        """The latest `count` beats, the last one at the end; None where nothing is known."""
        levels = self._levels[-count:]
        known = tuple(None if level == _UNKNOWN_LEVEL else level / 100 for level in levels)
        return (None,) * (count - len(known)) + known


class Node:
    """One node at one version: what the master last said of it. Replaced, never changed."""

    def __init__(self, profile: Profile, vitals: NodeVitals, pulse: Pulse | None = None) -> None:
        self.profile = profile
        self.vitals = vitals
        self.pulse = pulse or Pulse()
        self.state = clean(vitals.state)
        """A `shared.liveness.State`, or the word of a newer master."""

    def __repr__(self) -> str:
        return f"<Node {self.profile.name} {self.state}>"

    @cached_property
    def rank(self) -> int:
        """Where it stands among problems; the lowest is the worst. What is degraded, or comes and
        goes, stands before what is not."""
        is_worse = self.is_degraded or self.vitals.flapping
        return rank_of(self.state) - is_worse

    @property
    def is_degraded(self) -> bool:
        """Whether something about it is not as it should be, whatever its state."""
        return bool(self.vitals.troubles) or self.vitals.conflict

    @cached_property
    def troubles(self) -> Sequence[Trouble]:
        """Families that are not being measured as they should be, cleaned."""
        return tuple(
            Trouble(clean(t.family), clean(t.state), t.age_s, clean(t.text))
            for t in self.vitals.troubles
        )

    @property
    def is_problem(self) -> bool:
        """Whether somebody should look: it stands before those that are simply up."""
        return self.rank < rank_of(State.UP)

    @cached_property
    def reason(self) -> str:
        """Why it is in its state, and what else is wrong; empty when there is nothing to say."""
        remarks = [self.vitals.reason]
        if self.vitals.conflict:
            remarks.append("identity in use twice")
        remarks += [f"{t.family} {t.state}: {t.text}" for t in self.vitals.troubles]
        return clean(" · ".join(filter(None, remarks)))

    @cached_property
    def searchable(self) -> str:
        """All of its texts in one, without the difference of capitals: for finding it."""
        flapping = " flapping" * self.vitals.flapping
        return f"{self.profile.searchable}\n{self.state}{flapping}\n{self.reason.casefold()}"

    @cached_property
    def core(self) -> Core:
        """The latest sample; without values before the first, and if it cannot be read."""
        try:
            return _CORE.decode(self.vitals.core) or _NO_CORE
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _NO_CORE

    @property
    def fullest_filesystem(self) -> str:
        """The mount point of the filesystem in `core.filesystem_used_max_bp`; empty if unknown."""
        index = self.core.filesystem_fullest
        mounts = self.profile.filesystems
        return mounts[index] if index is not None and index < len(mounts) else ""

    def age_s(self, moment: Moment) -> float | None:
        """Seconds since the last sign of life; None when there never was one."""
        seen_mono_ms, seen_wall_ms = self.vitals.seen_mono_ms, self.vitals.seen_wall_ms
        if seen_mono_ms is not None and moment.master_mono_ms is not None:
            return max(0.0, (moment.master_mono_ms - seen_mono_ms) / 1000)
        if seen_wall_ms is not None:
            return max(0.0, (moment.wall_ms - seen_wall_ms) / 1000)
        return None

    def is_stale(self, moment: Moment) -> bool:
        """Whether its numbers are history."""
        if self.state in _ABSENT:
            return True
        age_s = self.age_s(moment)
        return age_s is None or age_s * 1000 > STALE_PERIODS * self.vitals.period_ms


def rank_of(state: str) -> int:
    """Where a state stands among problems; the lowest is the worst."""
    return _RANKS.get(state, _UNKNOWN_RANK)


def natural_key(name: str) -> list[str | int]:
    """A key that sorts digits by value, `web-2` before `web-10`. Any two such keys compare."""
    pieces: list[str | int] = [*_DIGITS.split(name.casefold())]
    pieces[1::2] = [int(digits) for digits in pieces[1::2]]
    return pieces
