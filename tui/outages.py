"""How reliably the node in focus is there: its outages, its availability, how soon it is missed.

A pure model, fed with the master's answers and cleaned here once; and the words for what is in it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import structs

from shared.causes import Cause, Verdict, in_words
from shared.messages import Availability, NodeDetail, Outage, Outages, TimeToDetect
from tui import formats
from tui.focus import cleaned
from tui.moment import Moment

OUTAGES_ASKED: Final = 200
"""How many of a node are asked for, the newest."""

COUNTED_EVERY_S: Final = 10
"""How often the availability is asked for while somebody looks at it."""

BEARING: Final = frozenset({"state", "outage"})
"""Events that may begin an outage, or end one, or tell its cause."""

_WINDOWS: Final[Mapping[int, str]] = {86_400: "day", 7 * 86_400: "week", 30 * 86_400: "month"}


class Record:
    """What the master has answered about one node."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.outages: Sequence[Outage] | None = None
        """Oldest first; None: not told yet."""
        self.availability: Sequence[Availability] = ()
        self.time_to_detect: TimeToDetect | None = None
        self.counted_mono_ms: int | None = None
        """When the master counted `availability`, on its clock; None: not told yet."""
        self.asked_s: float | None = None
        """When it was asked for last, on the viewer's clock."""

    def __repr__(self) -> str:
        count = "no" if self.outages is None else len(self.outages)
        return f"<Record of {self.node_id}, {count} outages>"

    def age_s(self, moment: Moment) -> float | None:
        """How old the availability is; None: it has not been told."""
        if self.counted_mono_ms is None or moment.master_mono_ms is None:
            return None
        return max(0.0, moment.master_mono_ms - self.counted_mono_ms) / 1000

    def is_due(self, now_s: float) -> bool:
        """Whether the availability is to be counted anew."""
        return self.asked_s is not None and now_s - self.asked_s >= COUNTED_EVERY_S

    def until(self, wall_ms: int) -> "Record":
        """What could have been said at that instant of the outages of before it."""
        then = Record(self.node_id)
        if self.outages is not None:
            began = (outage for outage in self.outages if outage.from_wall_ms <= wall_ms)
            then.outages = tuple(_until(outage, wall_ms) for outage in began)
        return then

    def apply(self, message: Outages | NodeDetail) -> bool:
        """Takes in an answer; False when it is about another node."""
        match message:
            case Outages(outages=outages):
                if any(outage.node_id != self.node_id for outage in outages):
                    return False
                self.outages = tuple(map(cleaned, outages))
            case NodeDetail():
                if message.info.node_id != self.node_id:
                    return False
                self.availability = message.availability
                self.time_to_detect = message.time_to_detect
                self.counted_mono_ms = message.now_mono_ms
        return True


def _until(outage: Outage, wall_ms: int) -> Outage:
    if outage.to_wall_ms is None or outage.to_wall_ms <= wall_ms:
        return outage
    return structs.replace(outage, to_wall_ms=None, cause="", evidence=())


def ratio_of(availability: Availability) -> float | None:
    """How much of the time that it was expected, and looked for, a node was there; None: never."""
    expected_s = availability.known_s - availability.planned_s - availability.unobserved_s
    if expected_s <= 0:
        return None
    return max(0.0, 1 - availability.down_s / expected_s)


def percent(ratio: float) -> str:
    """Rounded down: a node that was away is never said to have been there all the time."""
    return f"{math.floor(ratio * 100_000) / 1000:g} %"


def window(availability: Availability) -> str:
    """`day`, `week`, `month`."""
    return _WINDOWS.get(availability.window_s) or formats.duration(availability.window_s)


def cause_of(outage: Outage) -> str:
    """Why, as people say it: `host rebooted, unclean`."""
    if outage.to_wall_ms is None:
        return "left" if outage.planned else "still away"
    if not outage.cause:
        return "not judged yet"
    if outage.cause not in Cause.__members__.values():
        return outage.cause
    known = (outage.clean, outage.out_of_memory, outage.exit_reason)
    words = in_words(Verdict(Cause(outage.cause), (), *known))
    return f"{words}, planned" if outage.planned else words


def lasted_s(outage: Outage, now_wall_ms: int) -> float:
    """From its last sign of life to its return, or to now."""
    until_wall_ms = now_wall_ms if outage.to_wall_ms is None else outage.to_wall_ms
    return max(0, until_wall_ms - outage.from_wall_ms) / 1000


def noticed_s(outage: Outage) -> float:
    """How long after the last sign of life the master knew."""
    return max(0, outage.noticed_wall_ms - outage.from_wall_ms) / 1000
