"""What a node's vital signs were in the last minutes: bounded rings that graphs are drawn from.

Pure. Times are on the master's monotonic clock, in milliseconds. A value holds until the next one,
but never for longer than its node promised to stay silent: beyond that there is a gap.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from shared.metrics import Core

READINGS_KEPT: Final = 900
"""A quarter of an hour of a node that is watched."""

TRAILS_KEPT: Final = 32
"""Nodes looked at lately, whose graphs are there again when somebody comes back."""

HOLD_PERIODS: Final = 2.5
"""As with the age at which a row of the table is stale."""


class Field(NamedTuple):
    """What a reading has of a sample."""

    metric: str
    """A field of `Core`."""
    whole: int = 1
    """Divides what travels."""


FIELDS: Final[Mapping[str, Field]] = {
    "cpu": Field("cpu_busy_bp", 10_000),
    "memory": Field("memory_used_bp", 10_000),
    "swap": Field("swap_used_bp", 10_000),
    "received": Field("network_receive_bytes_per_s"),
    "sent": Field("network_transmit_bytes_per_s"),
    "read": Field("disk_read_bytes_per_s"),
    "written": Field("disk_write_bytes_per_s"),
    "load": Field("load_1m_centi", 100),
    "temperature": Field("temperature_max_dc", 10),
}
"""In the order of `Reading`."""


class Reading(NamedTuple):
    """What is drawn of one sample. Ratios of one, rates in bytes a second; None: not known."""

    at_ms: int
    hold_ms: float
    cpu: float | None
    memory: float | None
    swap: float | None
    received: float | None
    sent: float | None
    read: float | None
    written: float | None
    load: float | None
    temperature: float | None


class Trail:
    """The latest readings of one node."""

    def __init__(self) -> None:
        self._readings: deque[Reading] = deque(maxlen=READINGS_KEPT)

    def __len__(self) -> int:
        return len(self._readings)

    def clear(self) -> None:
        """Forgets all: another clock begins."""
        self._readings.clear()

    def add(self, at_ms: int | None, period_ms: int, core: Core) -> None:
        """Takes in a sample that arrived at `at_ms`; one that is known already changes nothing."""
        if at_ms is None or (self._readings and at_ms <= self._readings[-1].at_ms):
            return
        self._readings.append(
            Reading(
                at_ms,
                period_ms * HOLD_PERIODS,
                *(_part(getattr(core, each.metric), each.whole) for each in FIELDS.values()),
            )
        )

    def series(
        self, field: str, now_ms: float, *, step_ms: int, count: int
    ) -> tuple[float | None, ...]:
        """The values of `field` in the last `count` steps of time, the present step last.

        Of several in one step the highest is taken. Steps begin at multiples of their length, so
        that a graph moves by whole steps and never shimmers.
        """
        first = int(now_ms // step_ms) - count + 1
        held: list[float | None] = [None] * count
        measured: dict[int, float] = {}
        for reading in self._readings:
            value: float | None = getattr(reading, field)
            if value is None:
                continue
            begin = reading.at_ms // step_ms - first
            measured[begin] = max(value, measured.get(begin, value))
            end = int((reading.at_ms + reading.hold_ms) // step_ms) - first
            for step in range(max(begin, 0), min(end + 1, count)):
                held[step] = value
        return tuple(measured.get(step, value) for step, value in enumerate(held))


class Trails:
    """The trails of the nodes looked at lately; the one longest not looked at goes first."""

    def __init__(self) -> None:
        self._trails: OrderedDict[str, Trail] = OrderedDict()

    def open(self, node_id: str) -> Trail:
        """The trail of a node that somebody looks at from now on."""
        trail = self._trails.setdefault(node_id, Trail())
        self._trails.move_to_end(node_id)
        while len(self._trails) > TRAILS_KEPT:
            self._trails.popitem(last=False)
        return trail

    def get(self, node_id: str) -> Trail | None:
        """The trail of a node, if anybody has looked at it lately."""
        return self._trails.get(node_id)

    def clear(self) -> None:
        """Another master's clock begins: what was is not comparable with what comes."""
        for trail in self._trails.values():
            trail.clear()


def _part(value: int | None, whole: int) -> float | None:
    return None if value is None else value / whole
